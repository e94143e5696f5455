"""How far two numbers of each item rise together."""

import functools

import numpy as np
import scipy.stats

from experiments.judge.analyses.analysis import (
  Analysis,
  Design,
  check_correlation,
)
from experiments.judge.statistics import Sample

RESAMPLES = 1999


class RankCorrelation(Analysis):
  """Spearman's correlation over items, by a bootstrap of their clusters.

  Items of one cluster (pieces of one word, pairs that share one) are not
  independent, so whole clusters are resampled (Field and Welsh, 2007). The
  share of resamples at or below a bound, stretched as few clusters need it, is
  the p-value there; its inverse is the expanded percentile interval
  (Hesterberg, 2015). A resample in which one of the numbers does not vary has
  no correlation, and counts against whatever is to be shown.
  """

  description = "Spearman's correlation, bootstrap of item clusters"
  spreads = False

  def __init__(self, sample: Sample):
    values = np.asarray(sample.values, float)
    if values.ndim != 2 or values.shape[1] != 2 or sample.clusters is None:
      raise ValueError('a rank correlation needs two columns, and a cluster '
                       'for each item')
    if not np.isfinite(values).all():
      raise ValueError('a rank correlation needs finite numbers: NaN has no '
                       'rank')
    names, which = np.unique(np.asarray(sample.clusters), return_inverse=True)
    self.replicates = len(names)
    ones = np.ones((1, len(values)))
    self.estimate = float(spearman(values, ones)[0]) if len(values) else np.nan
    ranks = scipy.stats.rankdata(values, axis=0)
    self.values = ranks[:, 0] - ranks[:, 1]
    rng = np.random.default_rng(0)
    counts = rng.multinomial(
      self.replicates, np.full(self.replicates, 1 / self.replicates), RESAMPLES
    ) if self.replicates > 1 else np.empty((0, self.replicates), int)
    resampled = spearman(values, counts[:, which])
    self._undefined = int(np.isnan(resampled).sum())
    self._resampled = np.sort(resampled[~np.isnan(resampled)])
    self._p = stretched(self.replicates, len(resampled))

  def p_above(self, bound: float) -> float:
    """p of the hypothesis that the correlation is at or below the bound."""
    below = np.searchsorted(self._resampled, bound, 'right')
    return float(self._p[below + self._undefined])

  def p_below(self, bound: float) -> float:
    """p of the hypothesis that the correlation is at or above the bound."""
    first = np.searchsorted(self._resampled, bound, 'left')
    return float(self._p[len(self._p) - 1 - first])

  def interval(self, tail: float) -> tuple[float, float]:
    """The bounds between which neither p-value is at or below `tail`."""
    rejected = np.searchsorted(self._p[:-1], tail, 'right') - self._undefined
    if rejected <= 0:
      return -np.inf, np.inf
    return (float(self._resampled[rejected - 1]),
            float(self._resampled[-rejected]))

  check = staticmethod(check_correlation)

  @staticmethod
  def plant(effect: float, sigma: float, design: Design,
            rng: np.random.Generator) -> Sample:
    """Two normal numbers an item, an item a cluster; no spread to choose."""
    del sigma
    r = float(np.clip(2 * np.sin(np.pi * np.clip(effect, -1, 1) / 6), -1, 1))
    x, noise = rng.normal(size=(2, design.replicates))
    y = r * x + np.sqrt(1 - r * r) * noise
    return Sample(np.column_stack([x, y]), (0,), (0,),
                  clusters=tuple(range(design.replicates)))


@functools.cache
def stretched(replicates: int, resamples: int) -> np.ndarray:
  """p-values by how many resamples, from none to all, lie beyond a bound."""
  share = np.arange(1, resamples + 2) / (1 + resamples)
  if replicates < 2:
    return share
  normal = scipy.stats.norm.ppf(share) * np.sqrt(1 - 1 / replicates)
  return np.asarray(scipy.stats.t.cdf(normal, replicates - 1))


def spearman(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """(items, 2) numbers and (draws, items) counts to (draws,) correlations.

  Of the ranks of a sample that has each item so many times; NaN where one of
  the numbers does not vary.
  """
  x, y = (_centred_ranks(column, counts) for column in values.T)
  spread = np.sqrt((counts * x * x).sum(1) * (counts * y * y).sum(1))
  return np.divide((counts * x * y).sum(1), spread, where=spread > 0,
                   out=np.full(len(counts), np.nan))


def _centred_ranks(column: np.ndarray, counts: np.ndarray) -> np.ndarray:
  """(draws, items) ranks about their mean; ties share the middle one."""
  if not len(column):
    return counts.astype(float)
  order = np.argsort(column, kind='stable')
  distinct, group = np.unique(column, return_inverse=True)
  starts = np.searchsorted(column[order], distinct)
  sizes = np.add.reduceat(counts[:, order], starts, axis=1)
  middle = sizes.cumsum(1) - sizes / 2
  return middle[:, group] - counts.sum(1, keepdims=True) / 2
