"""The verdict record: what was measured, and what follows."""

import dataclasses
from typing import Literal

from experiments.judge.declaration import EffectState
from experiments.judge.numbers import listed
from experiments.judge.seal import Amendment

Verdict = Literal['supported', 'refuted', 'conditional', 'inconclusive',
                  'invalid', 'incomplete', 'not run']


@dataclasses.dataclass(frozen=True)
class EffectResult:
  """One effect, measured and decided.

  Attributes:
    estimate: NaN when every unit was left out.
    low, high: the interval the decision rests on; infinite when there are
      too few replicates for one.
    test: how the interval and the p-value were found.
    p_value: exact, of no effect; one-sided where the effect is.
    seeds: of each instance.
    instances: of the data.
    values: one per unit of replication.
    clears: what the interval had to lie above.
    confidence: of the interval; a one-sided test at 5 % has the bounds of
      the 90 % interval.
    p_holm: the p-value, adjusted over all effects of the claim.
    excluded: units left out because a run diverged.
  """

  name: str
  statement: str
  unit: str
  estimate: float
  low: float
  high: float
  smallest: float
  test: str
  p_value: float | None
  seeds: int
  instances: int
  values: tuple[float, ...]
  state: EffectState
  clears: float = 0.0
  confidence: float = 0.95
  p_holm: float | None = None
  excluded: int = 0

  @property
  def replicates(self) -> int:
    """How many independent values there are."""
    return self.instances if self.instances > 1 else self.seeds


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
  """One stratum, judged; `cells` planned runs of which `missing` are not in."""

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


@dataclasses.dataclass(frozen=True)
class ClaimResult:
  """The verdict record.

  Attributes:
    verdict: on the strata that were run.
    declaration: the sha256 of all that decides, as it was sealed.
    evidence: 'smoke' for a smoke preset or fewer than five replicates: the
      verdict then shows that the machinery runs, and nothing about the claim.
    partial: whether strata were left out without which there is no verdict on
      the whole claim.
    left_out: which.
    amendments: measurements that were changed after the first run.
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

  @property
  def judged(self) -> tuple[StratumResult, ...]:
    """The strata that were run."""
    return tuple(s for s in self.strata if s.verdict != 'not run')

  @property
  def qualification(self) -> str:
    """What a headline must say beside the verdict; '' where nothing."""
    words = []
    if self.partial:
      words.append(f'on {listed([s.name for s in self.judged])} only')
    if self.amendments:
      words.append('amended after the first run')
    return ', '.join(words)

  @property
  def headline(self) -> str:
    """The verdict with its qualification."""
    between = ' ' if self.partial else ', ' if self.amendments else ''
    return f'{self.verdict}{between}{self.qualification}'
