"""The mean of paired differences, or of any one number a unit."""

import numpy as np

from experiments.judge.analyses.analysis import Analysis, Design, planted
from experiments.judge.statistics import Sample, TypicalValues


class Mean(Analysis):
  """The mean over replicates, by the exact sign-flip test (Fisher, 1935).

  It is exact where values spread evenly to both sides of their mean. Those that
  are all near 0 or near 1, as of seeds that solve a task or do not, do so about
  0.5 alone: of eight, a bound of 0.3 is wrongly cleared in 6 % at a nominal
  5 %, one of 0.1 in 44 %. So differences in accuracy need a smallest effect of
  0.3 or more.
  """

  description = 'exact sign-flip test and its inverse'

  def __init__(self, sample: Sample):
    values = np.asarray(sample.values, float)
    if values.ndim != 1:
      raise ValueError('a mean needs one number a unit')
    self._take(values, sample.replicates())

  def _take(self, values: np.ndarray, replicates: np.ndarray) -> None:
    self.values, self.replicates = values, len(replicates)
    self.estimate = float(np.mean(replicates)) if len(replicates) else np.nan
    self._typical = TypicalValues(replicates)

  def p_above(self, bound: float) -> float:
    """p of the hypothesis that the mean is at or below the bound."""
    return self._typical.p_above(bound)

  def p_below(self, bound: float) -> float:
    """p of the hypothesis that the mean is at or above the bound."""
    return self._typical.p_below(bound)

  def interval(self, tail: float) -> tuple[float, float]:
    """The bounds between which neither p-value is at or below `tail`."""
    return self._typical.interval(tail)

  @staticmethod
  def plant(effect: float, sigma: float, design: Design,
            rng: np.random.Generator) -> Sample:
    """Normal values; of an infinite effect, values above every bound."""
    if np.isinf(effect):
      return planted(np.full(design.replicates, np.copysign(1e300, effect)))
    return planted(rng.normal(effect, sigma, design.replicates))
