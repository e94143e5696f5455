"""What an author declares before the first run.

A claim is frozen data: statements, thresholds, analyses and rules, with
measures that are named functions (or `functools.partial` of one), so that all
of it has a text and the text a hash (`experiments.judge.seal`). The author
declares, the engine judges (`experiments.judge.verdict`).
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

import polars as pl

from experiments.judge.analyses import ANALYSES
from experiments.judge.statistics import Sample

EffectState = Literal['supported', 'equivalent', 'opposite', 'inconclusive']
PropertyState = Literal['holds', 'fails']
Asked = EffectState | PropertyState | Literal[
  'not supported', 'not equivalent', 'equivalent or opposite']
# The name of an effect or a property, and the state that a rule asks of it.
Premise = tuple[str, Asked]
Tier = Literal['E0', 'E1', 'E2', 'E3']

EFFECT_STATES = ('supported', 'equivalent', 'opposite', 'inconclusive',
                 'not supported', 'not equivalent', 'equivalent or opposite')
PROPERTY_STATES = ('holds', 'fails')
# What one-sided tests of eight replicates at 5 % can show of each on its own.
MOST_EFFECTS = 6
EXCLUSION = (
  'A diverged run never solves its task. Elsewhere its seed and instance are '
  'left out of every condition, and the verdict says how many were.')


@dataclasses.dataclass(frozen=True)
class Control:
  """A value that must lie in its range, or the stratum proves nothing."""

  name: str
  statement: str
  measure: Callable[[pl.DataFrame], float]
  at_least: float | None = None
  at_most: float | None = None

  def __post_init__(self):
    _check_function(f'control {self.name!r}', 'measure', self.measure)
    if self.at_least is None and self.at_most is None:
      raise ValueError(f'control {self.name!r}: give at_least or at_most')


@dataclasses.dataclass(frozen=True)
class Effect:
  """A quantity whose size decides, positive in the predicted direction.

  Attributes:
    name: a noun phrase that reads well in a sentence.
    statement: what the effect says, in a sentence.
    unit: of the estimate.
    measure: from a stratum's rows of the results table to a Sample.
    smallest: the smallest effect of interest, in `unit`; of times to solve a
      ratio above 1. None where there is a band.
    positive: shows that at least one arm can do the task. Where none can, no
      difference means anything, and the stratum is invalid.
    analysis: a name in `experiments.judge.analyses`.
    band: where the effect is predicted to lie, instead of beyond `smallest`.
    sided: 'greater' decides by one-sided bounds, which are those of the 90 %
      interval (at alpha = 5 %); 'two-sided' by the 95 % interval.
    sigma: the spread of one replicate that pilots found, in `unit`, with which
      `fathom power` plants effects; None: as large as `smallest`, or half the
      width of the band.
  """

  name: str
  statement: str
  unit: str
  measure: Callable[[pl.DataFrame], Sample]
  _: dataclasses.KW_ONLY
  smallest: float | None = None
  positive: Control
  analysis: str = 'mean'
  band: tuple[float, float] | None = None
  sided: Literal['greater', 'two-sided'] = 'greater'
  sigma: float | None = None

  def __post_init__(self):
    where = f'effect {self.name!r}'
    _check_function(where, 'measure', self.measure)
    if self.analysis not in ANALYSES:
      raise ValueError(f'{where}: analysis={self.analysis!r} must be one of '
                       f'{sorted(ANALYSES)}')
    if (self.smallest is None) == (self.band is None):
      raise ValueError(f'{where}: give smallest or band, and not both')
    if self.smallest is not None:
      try:
        ANALYSES[self.analysis].check(self.smallest)
      except ValueError as error:
        raise ValueError(f'{where}: {error}') from None
    if self.band is not None and not self.band[0] < self.band[1]:
      raise ValueError(f'{where}: band={self.band} must rise')
    if not isinstance(self.positive, Control):
      raise ValueError(f'{where}: positive must be a Control that shows that '
                       'at least one arm can do the task')
    if self.sided not in ('greater', 'two-sided'):
      raise ValueError(f"{where}: sided={self.sided!r} must be 'greater' or "
                       "'two-sided'")
    if self.sigma is not None and not self.sigma > 0:
      raise ValueError(f'{where}: sigma={self.sigma} must be above 0')


@dataclasses.dataclass(frozen=True)
class Property:
  """An exact statement: it holds, or one counterexample refutes it.

  Attributes:
    name: a noun phrase.
    statement: what is said to hold, in a sentence.
    check: from a stratum's rows of the results table to a counterexample in
      words, or '' where it holds. It needs no seeds.
  """

  name: str
  statement: str
  check: Callable[[pl.DataFrame], str]

  def __post_init__(self):
    _check_function(f'property {self.name!r}', 'check', self.check)


@dataclasses.dataclass(frozen=True)
class Rule:
  """From the states of effects and properties to the verdict of the stratum.

  Each field lists premises that must all hold. They are tried in the order
  supported, refuted, conditional; the first to hold names the verdict. An empty
  list never holds; `conditional` may be several, of which one must hold. Where
  none does the verdict is inconclusive, of properties
  alone as well: only what is listed as a refutation refutes.
  """

  supported: tuple[Premise, ...]
  refuted: tuple[Premise, ...] = ()
  conditional: tuple[Any, ...] = ()  # premises, or several lists of them

  def lists(self) -> list[tuple[Literal['supported', 'refuted', 'conditional'],
                                tuple[Premise, ...]]]:
    """Each list with the verdict that it names, in the order tried."""
    several = self.conditional
    if not several or isinstance(several[0][0], str):
      several = (several,)
    return [('supported', self.supported), ('refuted', self.refuted),
            *(('conditional', own) for own in several)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stratum:
  """One kind of input, or one setting, on which the claim is judged.

  `name` is the value of the results table's `stratum` column; `tier` the kind
  of evidence: E0 exact, E1 trained on a CPU, E2 accelerator, E3 pretrained.
  """

  name: str
  title: str
  prediction: str
  refutation: str
  effects: tuple[Effect, ...] = ()
  properties: tuple[Property, ...] = ()
  rule: Rule
  controls: tuple[Control, ...] = ()
  tier: Tier = 'E1'

  def __post_init__(self):
    where = f'stratum {self.name!r}'
    effects = [effect.name for effect in self.effects]
    properties = [own.name for own in self.properties]
    _check_unique(f'{where}: effects and properties', [*effects, *properties])
    _check_unique(f'{where}: controls', [c.name for c in self.every_control()])
    if len(effects) > MOST_EFFECTS:
      raise ValueError(
        f'{where}: {len(effects)} effects; at most {MOST_EFFECTS} can be shown '
        'one by one with eight replicates')
    if not self.rule.supported:
      raise ValueError(
        f'{where}: rule.supported must name an effect or a property')
    for verdict, premises in self.rule.lists():
      for name, state in premises:
        if name not in (*effects, *properties):
          raise ValueError(
            f'{where}: rule.{verdict} names {name!r}, which is no effect '
            f'and no property; there are {[*effects, *properties]}')
        states = EFFECT_STATES if name in effects else PROPERTY_STATES
        if state not in states:
          raise ValueError(f'{where}: rule.{verdict} asks for {state!r} of '
                           f'{name!r}; use one of {states}')

  def every_control(self) -> tuple[Control, ...]:
    """The effects' positive controls, each once, and the others."""
    controls: list[Control] = []
    for control in (*(effect.positive for effect in self.effects),
                    *self.controls):
      if _parts(control) not in map(_parts, controls):
        controls.append(control)
    return tuple(controls)


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


def _parts(control: Control) -> tuple[Any, ...]:
  """What a control consists of: two partials of the same are the same."""
  measure = control.measure
  own = (measure.func, measure.args, measure.keywords) if isinstance(
    measure, functools.partial) else (measure,)
  return (control.name, control.statement, control.at_least, control.at_most,
          own)


def _check_function(where: str, field: str, value: Any) -> None:
  function = value.func if isinstance(value, functools.partial) else value
  if not inspect.isfunction(function) or function.__name__ == '<lambda>':
    raise ValueError(
      f'{where}: {field} must be a named function or a functools.partial of '
      'one, so that its source can be part of the declaration')


def _check_unique(where: str, names: Sequence[str]) -> None:
  if len(set(names)) < len(names):
    raise ValueError(f'{where}: names must differ, not {list(names)}')
