"""The verdict record: what was measured, and what follows."""

import dataclasses
from typing import Literal

from experiments.judge.declaration import EffectState, PropertyState
from experiments.judge.numbers import listed
from experiments.judge.seal import Amendment, Late

NOT_RUN = 'It was not asked for.'

Verdict = Literal['supported', 'refuted', 'conditional', 'inconclusive',
                  'invalid', 'incomplete', 'not run']


@dataclasses.dataclass(frozen=True)
class EffectResult:
  """One effect, measured and decided.

  Attributes:
    estimate: NaN when every unit was left out.
    low, high: the interval: the bounds that the deciding test does not reject;
      infinite when there are too few replicates for one.
    smallest: the smallest effect of interest; None where there is a band.
    test: how the interval and the p-value were found.
    p_value: of the test that decided, at `bound`; to be held against `alpha`.
    bound: at which the p-value is; while nothing is decided, that which the
      effect would have to exceed.
    seeds: of each instance.
    instances: of the data.
    replicates: how many independent values there are.
    replicate: what they are of: a seed, an instance, an item cluster.
    values: one per unit of replication.
    null: what no effect is: 0, or 1 of a ratio.
    band: where the effect is predicted to lie, if not beyond `smallest`.
    confidence: of the interval; a one-sided test at 5 % has the bounds of
      the 90 % interval.
    alpha: the level.
    p_holm: the p-value, adjusted over the effects of the stratum: for a
      statement about this effect alone.
    excluded: units left out because a run diverged.
  """

  name: str
  statement: str
  unit: str
  estimate: float
  low: float
  high: float
  smallest: float | None
  test: str
  p_value: float
  bound: float
  seeds: int
  instances: int
  replicates: int
  replicate: str
  values: tuple[float, ...]
  state: EffectState
  null: float = 0.0
  band: tuple[float, float] | None = None
  confidence: float = 0.9
  alpha: float = 0.05
  p_holm: float | None = None
  excluded: int = 0

  @property
  def alone(self) -> bool:
    """Whether its state may be told without the rest of the stratum."""
    return self.p_holm is not None and self.p_holm <= self.alpha

  @property
  def trained(self) -> int:
    """How many independent units of training: instances, or one's seeds."""
    return self.instances if self.instances > 1 else self.seeds

  @property
  def word(self) -> str:
    """Its state as a person reads it.

    A band has no opposite side, and what is there is not equivalent to nothing.
    """
    if self.band is not None and self.state == 'opposite':
      return 'outside'
    there = self.low > self.null or self.high < self.null
    return 'smaller' if self.state == 'equivalent' and there else self.state

  @property
  def bounds(self) -> tuple[float, ...]:
    """What the interval is held against."""
    return (self.smallest,) if self.band is None else self.band  # type: ignore


@dataclasses.dataclass(frozen=True)
class PropertyResult:
  """One exact statement, checked; the counterexample is '' where it holds."""

  name: str
  statement: str
  state: PropertyState
  counterexample: str


@dataclasses.dataclass(frozen=True)
class ControlResult:
  """One control, measured and checked."""

  name: str
  statement: str
  value: float
  requirement: str
  passed: bool


@dataclasses.dataclass(frozen=True)
class StratumResult:
  """One stratum, judged; `cells` planned runs of which `missing` are not in.

  `controls` begin with the positive controls of the effects.
  """

  name: str
  title: str
  prediction: str
  refutation: str
  verdict: Verdict
  reason: str
  effects: tuple[EffectResult, ...]
  controls: tuple[ControlResult, ...]
  cells: int
  missing: int
  tier: str
  properties: tuple[PropertyResult, ...] = ()

  @property
  def asked(self) -> bool:
    """Whether it was asked for, even if it could not be run."""
    return self.verdict != 'not run' or self.reason != NOT_RUN


@dataclasses.dataclass(frozen=True)
class ClaimResult:
  """The verdict record.

  Attributes:
    verdict: on the strata that were run.
    declaration: the sha256 of all that decides, as it was sealed.
    evidence: 'smoke' for a smoke preset or fewer than five replicates, which
      are units of training wherever something was trained: the verdict then
      shows that the machinery runs, and nothing about the claim.
    partial: whether strata were left out without which there is no verdict on
      the whole claim.
    left_out: which.
    amendments: measurements that were changed after the first run.
    late: strata that were declared when some of their runs were finished.
    strong: whether it is supported by evidence of two kinds.
  """

  id: str
  title: str
  claim: str
  reading: str
  verdict: Verdict
  reason: str
  strata: tuple[StratumResult, ...]
  declaration: str
  evidence: Literal['verdict', 'smoke']
  commit: str
  partial: bool = False
  left_out: tuple[str, ...] = ()
  amendments: tuple[Amendment, ...] = ()
  late: tuple[Late, ...] = ()
  strong: bool = False

  @property
  def judged(self) -> tuple[StratumResult, ...]:
    """The strata that were run."""
    return tuple(s for s in self.strata if s.verdict != 'not run')

  @property
  def qualification(self) -> str:
    """What a headline must say beside the verdict; '' where nothing."""
    words = []
    if self.partial and self.judged:
      words.append(f'on {listed([s.name for s in self.judged])} only')
    words += [late.words for late in self.late]
    if self.amendments:
      words.append('amended after the first run')
    return ', '.join(words)

  @property
  def headline(self) -> str:
    """The verdict with its qualification."""
    verdict = f'{self.verdict} (strong)' if self.strong else self.verdict
    alone = self.partial and self.judged
    between = ' ' if alone else ', ' if self.qualification else ''
    return f'{verdict}{between}{self.qualification}'
