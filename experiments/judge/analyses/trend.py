"""Whether values rise in the order that was predicted."""

import functools

import numpy as np
import scipy.optimize
import scipy.stats

from experiments.judge.analyses.analysis import Design, planted
from experiments.judge.analyses.mean import Mean
from experiments.judge.statistics import Sample


class Trend(Mean):
  """Mean rank correlation with the predicted order; Page's (1963) L test.

  Each replicate's value is its share of L scaled to [-1, 1]: Spearman's
  correlation where nothing ties, and 0 for a flat row. That there is an order
  at all is decided by Page's test, how strong it is by sign flips of the
  correlations; the larger p-value is the one that counts.
  """

  description = "Page's L test, and sign flips of the rank correlations"

  def __init__(self, sample: Sample):
    if sample.values.ndim != 2 or sample.values.shape[1] < 3:
      raise ValueError('a trend needs three conditions or more; compare two '
                       'with a paired difference')
    self._table = sample.replicates()
    self._take(rank_correlation(np.asarray(sample.values, float)),
               rank_correlation(self._table))

  def p_above(self, bound: float) -> float:
    """p of a correlation at or below the bound; from 0 on, Page's too."""
    flips = super().p_above(bound)
    return flips if bound < 0 else max(flips, self._rises)

  def p_below(self, bound: float) -> float:
    """p of a correlation at or above the bound; up to 0, Page's too."""
    flips = super().p_below(bound)
    return flips if bound > 0 else max(flips, self._falls)

  def interval(self, tail: float) -> tuple[float, float]:
    """The sign flips' interval, which holds 0 where Page's test finds nothing.
    """
    low, high = super().interval(tail)
    return (low if self._rises <= tail else min(low, 0.0),
            high if self._falls <= tail else max(high, 0.0))

  @functools.cached_property
  def _rises(self) -> float:
    return _page(self._table)

  @functools.cached_property
  def _falls(self) -> float:
    return _page(self._table[:, ::-1])

  @staticmethod
  def check(smallest: float) -> None:
    """A correlation beyond 1 cannot be shown, nor can one of exactly 1."""
    if not 0 < smallest < 1:
      raise ValueError(f'smallest={smallest} must lie between 0 and 1: it is a '
                       'rank correlation')

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
  steep = 1e3
  noise = np.random.default_rng(0).normal(size=(20_000, conditions))

  def excess(step: float) -> float:
    rows = noise + step * np.arange(conditions)
    return float(rank_correlation(rows).mean()) - correlation

  if abs(correlation) >= 1:
    return float(np.copysign(steep, correlation))
  return float(scipy.optimize.brentq(excess, -steep, steep))


def _page(table: np.ndarray) -> float:
  if len(table) < 2:
    return 1.0
  return float(scipy.stats.page_trend_test(table).pvalue)
