"""Estimates, intervals and exact tests on one value per unit of replication.

Tests and intervals are scipy's. A unit of replication is one training run per
condition, named by its seed and its data instance (a grammar, a corpus), never
a token. Runs that share an instance are not independent, so the *replicates*
that are resampled are instance means; where there is one instance only, they
are its seeds, and what is found holds for that instance.

A bootstrap interval of six values is too narrow: under normal noise a nominal
95 % covers about 86 %. So a mean counts as above or below a bound only if the
interval *and* the exact sign-flip test of that bound say so. Hence the least
numbers of replicates: 5 for a one-sided test at 5 %, 6 for a two-sided one.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.stats

Alternative = Literal['greater', 'less', 'two-sided']

RESAMPLES = 9999
EXACT = 2**14  # sign flips are enumerated, not drawn, up to 14 replicates


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
  """What a measure returns: one row per unit of replication.

  Attributes:
    values: (units,) one number each, for a mean; (units, 2) zeros and ones,
      for two success probabilities; (units, conditions), for a trend, in the
      order in which the values are predicted to rise.
    seeds: of each unit.
    instances: of each unit.
    excluded: units left out because a run diverged.
  """

  values: np.ndarray
  seeds: tuple[int, ...]
  instances: tuple[int, ...]
  excluded: int = 0

  def __post_init__(self):
    if not len(self.values) == len(self.seeds) == len(self.instances):
      raise ValueError(
        f'Sample: {len(self.values)} values, {len(self.seeds)} seeds and '
        f'{len(self.instances)} instances; give one of each per unit')

  def replicates(self) -> np.ndarray:
    """The independent rows: instance means, or the one instance's seeds."""
    instances = np.asarray(self.instances)
    if len(set(self.instances)) < 2:
      return np.asarray(self.values, float)
    return np.stack([np.mean(self.values[instances == instance], 0)
                     for instance in sorted(set(self.instances))])


class Mean:
  """The mean over replicates: BCa bootstrap and exact sign flips.

  Efron (1987); the sign-flip test is exact where the values spread evenly to
  both sides of their mean (Fisher, 1935).
  """

  description = 'BCa bootstrap over replicates, exact sign-flip test'

  def __init__(self, sample: Sample):
    self.values = np.asarray(sample.values, float)
    self.replicates = sample.replicates()

  @property
  def estimate(self) -> float:
    """The mean; NaN when nothing is left to average."""
    return float(np.mean(self.replicates)) if len(self.replicates) else np.nan

  def interval(self, confidence: float) -> tuple[float, float]:
    """The two-sided BCa interval; unbounded below two replicates."""
    return bootstrap(self.replicates, confidence)

  def p_value(self, alternative: Alternative) -> float:
    """That of no effect."""
    return sign_flip(self.replicates, alternative)

  def above(self, bound: float, alpha: float) -> bool:
    """Whether the mean is shown to lie above `bound`, one-sided at alpha."""
    low, _ = self.interval(1 - 2 * alpha)
    return (low > bound
            and sign_flip(self.replicates - bound, 'greater') <= alpha)

  def below(self, bound: float, alpha: float) -> bool:
    """Whether the mean is shown to lie below `bound`, one-sided at alpha."""
    _, high = self.interval(1 - 2 * alpha)
    return (high < bound
            and sign_flip(self.replicates - bound, 'less') <= alpha)


class Trend(Mean):
  """Mean rank correlation with the predicted order; Page's (1963) L test.

  Each replicate's value is its share of L scaled to [-1, 1]: Spearman's
  correlation where nothing ties, and 0 for a flat row.
  """

  description = "BCa bootstrap over replicates, Page's L test"

  def __init__(self, sample: Sample):
    if sample.values.ndim != 2 or sample.values.shape[1] < 3:
      raise ValueError('a trend needs three conditions or more; compare two '
                       'with a paired difference')
    self.table = sample.replicates()
    self.values = rank_correlation(np.asarray(sample.values, float))
    self.replicates = rank_correlation(self.table)

  def p_value(self, alternative: Alternative) -> float:
    """Page's, against no order; doubled when two-sided."""
    if len(self.table) < 2:
      return 1.0
    if alternative == 'two-sided':
      return min(1.0, 2 * min(self.p_value('greater'), self.p_value('less')))
    table = self.table if alternative == 'greater' else self.table[:, ::-1]
    return float(scipy.stats.page_trend_test(table).pvalue)


class Success:
  """The difference of two success probabilities over the same units.

  The interval runs from the first arm's lower Clopper-Pearson (1934) bound
  minus the second's upper one to the reverse. By Bonferroni it errs at most
  twice as often as one bound does, whatever the dependence between the arms
  that share a seed; enumerating small samples shows that it errs no more
  often than one bound does (tests/experiments/test_statistics.py), which is
  the level it is used at. The p-value is McNemar's (1947) exact one, valid
  for paired arms where Fisher's and Barnard's are not.
  """

  description = "Clopper-Pearson per arm, McNemar's exact test"

  def __init__(self, sample: Sample):
    if sample.values.ndim != 2 or sample.values.shape[1] != 2:
      raise ValueError('a success difference needs two columns, one per arm')
    instances = len(set(sample.instances))
    if 1 < instances < len(sample.instances):
      raise ValueError(
        'a success difference counts its units as independent, and seeds '
        'that share an instance are not; use one seed per instance, or one '
        'instance')
    self.first, self.second = sample.values.astype(bool).T
    self.values = self.first.astype(float) - self.second

  @property
  def estimate(self) -> float:
    """The difference of the observed frequencies."""
    return float(np.mean(self.values))

  def interval(self, confidence: float) -> tuple[float, float]:
    """The two-sided interval, conservative whatever the dependence."""
    a_low, a_high = proportion_interval(self.first, confidence)
    b_low, b_high = proportion_interval(self.second, confidence)
    return a_low - b_high, a_high - b_low

  def p_value(self, alternative: Alternative) -> float:
    """McNemar's: the sign test of the units where the arms differ."""
    differ = int(np.sum(self.values != 0))
    if not differ:
      return 1.0
    wins = int(np.sum(self.values > 0))
    return float(scipy.stats.binomtest(wins, differ,
                                       alternative=alternative).pvalue)

  def above(self, bound: float, alpha: float) -> bool:
    """Whether the difference is shown above `bound`, one-sided at alpha."""
    return self.interval(1 - 2 * alpha)[0] > bound

  def below(self, bound: float, alpha: float) -> bool:
    """Whether the difference is shown below `bound`, one-sided at alpha."""
    return self.interval(1 - 2 * alpha)[1] < bound


Analysis = Mean | Success
ANALYSES: dict[str, type[Mean] | type[Success]] = {
  'mean': Mean, 'success': Success, 'trend': Trend}


def equivalent(analysis: Analysis, smallest: float, alpha: float) -> bool:
  """Whether |effect| < smallest is shown: two one-sided tests.

  TOST (Schuirmann, 1987), that is the interval at 1 - 2 alpha inside
  ±smallest.
  """
  return (analysis.above(-smallest, alpha)
          and analysis.below(smallest, alpha))


def bootstrap(values: np.ndarray, confidence: float) -> tuple[float, float]:
  """BCa interval of the mean of independent `values`, the same every time."""
  if len(values) < 2:
    return -np.inf, np.inf
  if np.ptp(values) <= 1e-12 * np.max(np.abs(values)):
    mean = float(np.mean(values))  # nothing to resample
    return mean, mean
  interval = scipy.stats.bootstrap(
    (values,), np.mean, n_resamples=RESAMPLES, confidence_level=confidence,
    method='BCa', rng=np.random.default_rng(0)).confidence_interval
  return float(interval.low), float(interval.high)


def sign_flip(values: np.ndarray, alternative: Alternative) -> float:
  """p of the hypothesis that independent `values` are symmetric about zero."""
  if len(values) < 2:
    return 1.0
  return float(scipy.stats.permutation_test(
    (values,), np.mean, permutation_type='samples', n_resamples=EXACT,
    alternative=alternative, rng=np.random.default_rng(0)).pvalue)


def rank_correlation(table: np.ndarray) -> np.ndarray:
  """(rows, conditions) to (rows,): each row's ranks against column order."""
  order = np.arange(table.shape[1]) - (table.shape[1] - 1) / 2
  return scipy.stats.rankdata(table, axis=1) @ order / (order @ order)


def proportion_interval(successes: np.ndarray,
                        confidence: float) -> tuple[float, float]:
  """Two-sided Clopper-Pearson interval of the probability of a success."""
  interval = scipy.stats.binomtest(
    int(np.sum(successes)), len(successes)).proportion_ci(confidence, 'exact')
  return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
  """Holm's (1979) step-down adjustment, in the order given."""
  p = np.asarray(p_values, float)
  ascending = np.argsort(p)
  adjusted = np.empty(len(p))
  adjusted[ascending] = np.minimum(1, np.maximum.accumulate(
    p[ascending] * np.arange(len(p), 0, -1)))
  return tuple(adjusted.tolist())
