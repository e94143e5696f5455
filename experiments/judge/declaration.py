"""What an author declares before the first run.

A claim is frozen data: statements, thresholds, tests and rules, with measures
that are named functions (or `functools.partial` of one), so that all of it has
a text and the text a hash (`experiments.judge.seal`). The author declares, the
engine judges (`experiments.judge.verdict`).
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import polars as pl

from experiments.judge.statistics import ANALYSES, Sample

EffectState = Literal['supported', 'refuted', 'inconclusive']
# The name of an effect, and the state that a rule asks of it.
Premise = tuple[str, EffectState | Literal['not supported']]
Tier = Literal['E0', 'E1', 'E2', 'E3']

STATES = ('supported', 'refuted', 'inconclusive', 'not supported')
EXCLUSION = (
  'A diverged run counts as a failure in a success probability. Elsewhere its '
  'seed and instance are left out of every condition, and the verdict says '
  'how many were.')


@dataclasses.dataclass(frozen=True)
class Effect:
  """A quantity whose size decides, positive in the predicted direction.

  Attributes:
    name: a noun phrase that reads well in a sentence.
    statement: what the effect says, in a sentence.
    unit: of the estimate.
    measure: from a stratum's rows of the results table to a Sample.
    smallest: the smallest effect of interest, in `unit`.
    test: 'mean', 'success' (a difference of success probabilities) or
      'trend' (a rank correlation, by Page's test).
    clears: what the interval must lie above; None means `smallest`.
    sided: 'two-sided' takes the 95 % interval (at alpha = 5 %) and needs 6
      replicates; 'greater' the one-sided bounds, which are those of the 90 %
      interval, and needs 5.
  """

  name: str
  statement: str
  unit: str
  measure: Callable[[pl.DataFrame], Sample]
  smallest: float
  test: Literal['mean', 'success', 'trend'] = 'mean'
  clears: float | None = None
  sided: Literal['two-sided', 'greater'] = 'two-sided'

  def __post_init__(self):
    where = f'effect {self.name!r}'
    _check_measure(where, self.measure)
    if not self.smallest > 0:
      raise ValueError(f'{where}: smallest={self.smallest} must be above 0; '
                       'turn the measure round if it is predicted to fall')
    if self.clears is not None and self.clears < 0:
      raise ValueError(f'{where}: clears={self.clears} must not be negative')
    if self.test not in ANALYSES:
      raise ValueError(
        f'{where}: test={self.test!r} must be one of {sorted(ANALYSES)}')
    if self.sided not in ('two-sided', 'greater'):
      raise ValueError(f"{where}: sided={self.sided!r} must be 'two-sided' or "
                       "'greater'")


@dataclasses.dataclass(frozen=True)
class Control:
  """A value that must lie in its range, or the stratum proves nothing."""

  name: str
  statement: str
  measure: Callable[[pl.DataFrame], float]
  at_least: float | None = None
  at_most: float | None = None

  def __post_init__(self):
    _check_measure(f'control {self.name!r}', self.measure)
    if self.at_least is None and self.at_most is None:
      raise ValueError(f'control {self.name!r}: give at_least or at_most')


@dataclasses.dataclass(frozen=True)
class Rule:
  """From the states of the effects to the verdict of the stratum.

  Each field lists premises that must all hold. They are tried in the order
  supported, refuted, conditional; the first to hold names the verdict, and with
  none it is inconclusive. An empty list never holds.
  """

  supported: tuple[Premise, ...]
  refuted: tuple[Premise, ...] = ()
  conditional: tuple[Premise, ...] = ()


@dataclasses.dataclass(frozen=True)
class Stratum:
  """One kind of input, or one setting, on which the claim is judged.

  `name` is the value of the results table's `stratum` column; `tier` the kind
  of evidence: E0 exact, E1 trained on a CPU, E2 accelerator, E3 pretrained.
  """

  name: str
  title: str
  prediction: str
  refutation: str
  effects: tuple[Effect, ...]
  rule: Rule
  controls: tuple[Control, ...] = ()
  tier: Tier = 'E1'

  def __post_init__(self):
    where = f'stratum {self.name!r}'
    names = [effect.name for effect in self.effects]
    _check_unique(f'{where}: effects', names)
    _check_unique(f'{where}: controls', [c.name for c in self.controls])
    if not self.rule.supported:
      raise ValueError(f'{where}: rule.supported must name an effect')
    for field in dataclasses.fields(Rule):
      for effect, state in getattr(self.rule, field.name):
        if effect not in names:
          raise ValueError(f'{where}: rule.{field.name} names {effect!r}, '
                           f'which is no effect; there are {names}')
        if state not in STATES:
          raise ValueError(f'{where}: rule.{field.name} asks for {state!r}; '
                           f'use one of {STATES}')


@dataclasses.dataclass(frozen=True)
class Claim:
  """A statement about language models, and all that decides on it.

  Attributes:
    id: short, the claim's name on the command line.
    title: a headline.
    claim: the statement, in our words.
    reading: how the statement is taken where it could be taken otherwise.
    strata: where it is judged.
    alpha: the level of every test.
    exclusion: what becomes of runs that diverge.
  """

  id: str
  title: str
  claim: str
  reading: str
  strata: tuple[Stratum, ...]
  alpha: float = 0.05
  exclusion: str = EXCLUSION

  def __post_init__(self):
    if not self.strata:
      raise ValueError(f'claim {self.id!r}: declare at least one stratum')
    _check_unique(f'claim {self.id!r}: strata', [s.name for s in self.strata])


def _check_measure(where: str, measure: Any) -> None:
  function = measure.func if isinstance(
    measure, functools.partial) else measure
  if not inspect.isfunction(function) or function.__name__ == '<lambda>':
    raise ValueError(
      f'{where}: measure must be a named function or a functools.partial of '
      'one, so that its source can be part of the declaration')


def _check_unique(where: str, names: list[str]) -> None:
  if len(set(names)) < len(names):
    raise ValueError(f'{where}: names must differ, not {names}')
