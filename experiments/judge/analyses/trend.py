"""Whether values rise in the order that was predicted."""

import functools

import numpy as np
import scipy.optimize
import scipy.stats

from experiments.judge.analyses.analysis import (
  Design,
  check_correlation,
  planted,
)
from experiments.judge.analyses.mean import Mean
from experiments.judge.statistics import Sample

GRID = np.round(np.linspace(-1, 1, 81), 6)  # of correlations
DRAWS = 4000  # from each
STEEP = 1e3  # steps of a line that no noise of one bends


class Trend(Mean):
  """Mean rank correlation with the predicted order; Page's (1963) L test.

  Each replicate's value is its share of L scaled to [-1, 1]: Spearman's
  correlation where nothing ties, and 0 for a flat row. Whether there is an
  order at all is Page's test, which knows how the mean is distributed where
  there is none. How strong it is cannot be tested by sign flips alone:
  correlations near 1 are skewed, and flips then find too much (up to 18 % at a
  nominal 5 %). So at other bounds the distribution is that of rows of normal
  noise around a line with that mean correlation. The largest p-value of these
  tests is the one that counts.
  """

  description = "Page's L test, and its like at other correlations"
  spreads = False

  def __init__(self, sample: Sample):
    if sample.values.ndim != 2 or sample.values.shape[1] < 3:
      raise ValueError('a trend needs three conditions or more; compare two '
                       'with a paired difference')
    self._table = sample.replicates()
    self._take(rank_correlation(np.asarray(sample.values, float)),
               rank_correlation(self._table))

  def p_above(self, bound: float) -> float:
    """p of a correlation at or below the bound; from 0 on, Page's too."""
    likely = self._rising[np.searchsorted(GRID, bound - 1e-9)]
    p = max(super().p_above(bound), float(likely))
    return p if bound < 0 else max(p, self._rises)

  def p_below(self, bound: float) -> float:
    """p of a correlation at or above the bound; up to 0, Page's too."""
    likely = self._falling[np.searchsorted(GRID, -bound - 1e-9)]
    p = max(super().p_below(bound), float(likely))
    return p if bound > 0 else max(p, self._falls)

  def interval(self, tail: float) -> tuple[float, float]:
    """The correlations that none of the tests rejects."""
    low, high = super().interval(tail)
    low = min(low, _last(self._rising, tail))
    high = max(high, -_last(self._falling, tail))
    return (low if self._rises <= tail else min(low, 0.0),
            high if self._falls <= tail else max(high, 0.0))

  @functools.cached_property
  def _rises(self) -> float:
    return _page(self._table)

  @functools.cached_property
  def _falls(self) -> float:
    return _page(self._table[:, ::-1])

  @functools.cached_property
  def _rising(self) -> np.ndarray:
    return _beyond(self.estimate, self._table.shape)

  @functools.cached_property
  def _falling(self) -> np.ndarray:
    return _beyond(-self.estimate, self._table.shape)

  check = staticmethod(check_correlation)

  @staticmethod
  def plant(effect: float, sigma: float, design: Design,
            rng: np.random.Generator) -> Sample:
    """Normal values around a line; its slope alone makes the spread."""
    del sigma
    noise = rng.normal(size=(design.replicates, design.conditions))
    return planted(noise + slope(effect, design.conditions)
                   * np.arange(design.conditions))


def rank_correlation(table: np.ndarray) -> np.ndarray:
  """(rows, conditions) to (rows,): each row's ranks against column order."""
  order = np.arange(table.shape[1]) - (table.shape[1] - 1) / 2
  return scipy.stats.rankdata(table, axis=1) @ order / (order @ order)


@functools.cache
def slope(correlation: float, conditions: int) -> float:
  """The steps of a line that unit noise turns into a mean rank correlation."""
  order = np.arange(conditions) - (conditions - 1) / 2
  apart = order[:, None] - order

  def excess(step: float) -> float:
    # A rank is the number of the others that are lower.
    ranks = scipy.stats.norm.cdf(apart * step / np.sqrt(2)).sum(1)
    return float(ranks @ order / (order @ order)) - correlation

  if abs(correlation) >= 1:
    return float(np.copysign(STEEP, correlation))
  return float(scipy.optimize.brentq(excess, -STEEP, STEEP))


@functools.cache
def _means(replicates: int, conditions: int) -> np.ndarray:
  """(grid, draws), sorted: mean correlations where the true one is of GRID."""
  noise = np.random.default_rng(1).normal(size=(DRAWS, replicates, conditions))
  half = [np.sort(_correlations(noise, slope(c, conditions)).mean(1))
          for c in GRID[len(GRID) // 2:]]
  return np.array([*(-means[::-1] for means in half[:0:-1]), *half])


def _beyond(estimate: float, shape: tuple[int, ...]) -> np.ndarray:
  """(grid + 1,) p of a mean correlation as high as the estimate, or higher."""
  if not shape[0]:
    return np.ones(len(GRID) + 1)
  means = _means(*shape)
  p = (1 + (means >= estimate - 1e-9).sum(1)) / (1 + DRAWS)
  return np.append(np.maximum.accumulate(p), 1.0)


def _last(p: np.ndarray, tail: float) -> float:
  """Up to which correlation of the grid a p-value is at or below `tail`."""
  rejected = int((p <= tail).sum())
  return float(GRID[rejected - 1]) if rejected else -np.inf


def _correlations(noise: np.ndarray, step: float) -> np.ndarray:
  """Of (..., conditions) rows of noise around a line, without ties."""
  conditions = noise.shape[-1]
  ranks = (noise + step * np.arange(conditions)).argsort(-1).argsort(-1)
  order = np.arange(conditions) - (conditions - 1) / 2
  return ranks @ order / (order @ order)


def _page(table: np.ndarray) -> float:
  if len(table) < 2:
    return 1.0
  return float(scipy.stats.page_trend_test(table).pvalue)
