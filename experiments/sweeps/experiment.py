"""What an experiment consists of, whether a claim of ours or anyone's file.

A file `my_depth.py` that sets `EXPERIMENT` is all that `fathom run` needs;
`fathom init` writes one to begin with.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.sweeps.algebra import Cell, Pins

PRESETS = ('smoke', 'cpu', 'accelerator')


@dataclasses.dataclass(frozen=True)
class Part:
  """One stratum: what is run, what is measured, and what decides.

  Attributes:
    name: of the stratum.
    sweep: from a preset, and the fields that a person pinned, to its cells.
    measure: from a subject to rows of the results table; a pure function (see
      `experiments.runs.subject`). None: the held-out scores alone.
    declare: from a preset to what is predicted and what decides (see
      `experiments.judge.declaration`). None: there is no verdict.
    figures: from the table's finished rows and the stratum's result to plots
      (see `experiments.report.figures`). None: the held-out loss.
    notes: what `fathom plan` adds in words.
    asks: what a person must say at a preset: dotted path → why, in words.
    sentence: from the stratum's result to what it shows, in a sentence or two
      that a layman understands; '' where it has no words for that. None: the
      declaration speaks for itself (see `experiments.report.sentence`).
    problem: from the finished cells, each with its subject, to a picture of one
      sample problem and a model's own answer, or to None where there is none
      (see `experiments.report.picture`).
    optional: left out unless it is asked for by name; without it the claim has
      a verdict all the same.
    needs: from a preset to why the part cannot be run here, with the fix, or ''
      where it can. Such a part is not run, and its verdict says why.
  """

  name: str
  sweep: Callable[[str, Pins], Sequence[Cell]]
  measure: Callable[[Any], Sequence[Any]] | None = None
  declare: Callable[[str], Any] | None = None
  figures: Callable[[Any, Any], Sequence[Any]] | None = None
  notes: Callable[[str, Pins], Sequence[str]] | None = None
  asks: Callable[[str], Mapping[str, str]] | None = None
  optional: bool = False
  sentence: Callable[[Any], str] | None = None
  problem: Callable[[Sequence[tuple[Cell, Any]]], Any] | None = None
  needs: Callable[[str], str] | None = None


@dataclasses.dataclass(frozen=True)
class Experiment:
  """An experiment.

  Attributes:
    name: of its folder of results.
    title: a headline.
    parts: its strata, one or more.
    claim: the statement that is judged, in our words; '' for none.
    reading: how the statement is taken where it could be taken otherwise.
    presets: the sizes it can be run at.
    terms: words of its own that the report explains, {term: explanation}.
  """

  name: str
  title: str
  parts: tuple[Part, ...]
  claim: str = ''
  reading: str = ''
  presets: tuple[str, ...] = PRESETS
  terms: Mapping[str, str] = dataclasses.field(
    default_factory=dict, compare=False)

  def __post_init__(self) -> None:
    """Raises TypeError or ValueError for parts or presets that are none."""
    for name in ('parts', 'presets'):
      value = getattr(self, name)
      if not isinstance(value, tuple):
        raise TypeError(f'{name} must be a tuple; one alone is written (x,)')
      if not value:
        raise ValueError(f'{name} must name at least one')
    names = [part.name for part in self.parts]
    if len(set(names)) < len(names):
      raise ValueError(f'parts must have different names, not {names}')

  def part(self, name: str) -> Part:
    """The part of that name."""
    return {part.name: part for part in self.parts}[name]

  def required(self) -> Mapping[str, Part]:
    """The parts without which there is no verdict on the whole claim."""
    return {part.name: part for part in self.parts if not part.optional}
