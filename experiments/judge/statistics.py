"""Samples, typical values, bootstrap intervals, and Holm's adjustment.

A unit of replication is one training run per condition, named by its seed and
its data instance (a grammar, a corpus), never a token. Runs that share an
instance are not independent, so the *replicates* are instance means; where
there is one instance only, they are its seeds, and what is found holds for that
instance. Where items are what differs (words, contexts of one model), the
replicates are clusters of items.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import scipy.stats

RESAMPLES = 9999
EXACT = 14  # sign flips are enumerated, not drawn, up to so many replicates


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
  """What a measure returns: one row per unit of replication, or per item.

  Attributes:
    values: (units,) one number each, for a mean; (units, conditions), for a
      trend, in the order in which the values are predicted to rise, and for a
      break, in that of their axis; (units, 2),
      for a time to solve, of the arm predicted slower and of the other, inf
      where it was not solved; (items, 2), for a correlation.
    seeds, instances: of each unit; of all that items were averaged over, in no
      order.
    excluded: units left out because a run diverged.
    budgets: (2,) until when the arms of a time to solve were watched.
    clusters: (items,) which items belong together; of a mean, a trend or a
      break each row is a cluster of its own.
    at: (conditions,) where along an axis the conditions lie, for a break.
  """

  values: np.ndarray
  seeds: tuple[int, ...]
  instances: tuple[int, ...]
  excluded: int = 0
  budgets: tuple[float, float] | None = None
  clusters: tuple[int, ...] | None = None
  at: tuple[float, ...] = ()

  def __post_init__(self):
    given = [len(self.seeds), len(self.instances)] if (
      self.clusters is None) else [len(self.clusters)]
    if any(size != len(self.values) for size in given):
      raise ValueError(
        f'Sample: {len(self.values)} values, {len(self.seeds)} seeds and '
        f'{len(self.instances)} instances; give one of each per unit, or a '
        'cluster per item')

  def replicates(self) -> np.ndarray:
    """The independent rows: instance means, or the one instance's seeds."""
    return by_instance(np.asarray(self.values, float), self.instances)

  @property
  def replicate(self) -> str:
    """What the independent rows are of."""
    if self.clusters is not None:
      return 'item cluster'
    return 'instance' if len(set(self.instances)) > 1 else 'seed'


def by_instance(values: np.ndarray, instances: Sequence[int]) -> np.ndarray:
  """(units, ...) to (replicates, ...): means over each of several instances."""
  each = np.asarray(instances)
  if len(set(instances)) < 2:
    return values
  return np.stack([np.mean(values[each == instance], 0)
                   for instance in sorted(set(instances))])


class TypicalValues:
  """The sign-flip test of a mean at every bound, and what inverts it.

  For values that spread evenly to both sides of their mean, the means of the
  2^n - 1 non-empty subsets cut the line into 2^n pieces that hold the true mean
  equally often (Hartigan, 1969). So the p-value at a bound (Fisher, 1935) and
  the interval are read from one sorted list, and cannot disagree.
  """

  def __init__(self, values: np.ndarray):
    """Works out the subset means of (n,) independent values."""
    values = np.asarray(values, float)
    self.means = np.sort(subsets(len(values)) @ values)
    self.pieces = len(self.means) + 1
    self._rounding = 1e-12 * float(np.max(np.abs(values), initial=0))

  def p_above(self, bound: float) -> float:
    """p of the hypothesis that the mean is at or below the bound."""
    below = np.searchsorted(self.means, bound + self._rounding, 'right')
    return (1 + int(below)) / self.pieces

  def p_below(self, bound: float) -> float:
    """p of the hypothesis that the mean is at or above the bound."""
    first = np.searchsorted(self.means, bound - self._rounding, 'left')
    return (self.pieces - int(first)) / self.pieces

  def interval(self, tail: float) -> tuple[float, float]:
    """The bounds between which neither p-value is at or below `tail`."""
    first = int(np.floor(tail * self.pieces * (1 + 1e-12))) - 1
    if first < 0:
      return -np.inf, np.inf
    return float(self.means[first]), float(self.means[-1 - first])


@functools.cache
def subsets(n: int) -> np.ndarray:
  """(subsets, n): each row takes the mean over one non-empty subset."""
  if n <= EXACT:
    bits = np.arange(1, 2**n)[:, None] >> np.arange(n) & 1
  else:
    bits = np.random.default_rng(0).integers(0, 2, (2**EXACT - 1, n))
    bits[bits.sum(1) == 0] = 1
  return bits / bits.sum(1, keepdims=True)


def bootstrap(values: np.ndarray, confidence: float) -> tuple[float, float]:
  """BCa interval of the mean of independent `values`, the same every time.

  Efron (1987). For the eye, where nothing is decided: of six values a nominal
  95 % covers about 86 %.
  """
  if len(values) < 2:
    return -np.inf, np.inf
  if np.ptp(values) <= 1e-12 * np.max(np.abs(values)):
    mean = float(np.mean(values))  # nothing to resample
    return mean, mean
  interval = scipy.stats.bootstrap(
    (values,), np.mean, n_resamples=RESAMPLES, confidence_level=confidence,
    method='BCa', rng=np.random.default_rng(0)).confidence_interval
  return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
  """Holm's (1979) step-down adjustment, in the order given."""
  p = np.asarray(p_values, float)
  ascending = np.argsort(p)
  adjusted = np.empty(len(p))
  adjusted[ascending] = np.minimum(1, np.maximum.accumulate(
    p[ascending] * np.arange(len(p), 0, -1)))
  return tuple(adjusted.tolist())
