"""What an analysis gives: an estimate, a test, and its inverse, the interval.
"""

import abc
import dataclasses
from typing import ClassVar

import numpy as np

from experiments.judge.statistics import Sample


@dataclasses.dataclass(frozen=True)
class Design:
  """What of a sample is known before there is one.

  Attributes:
    replicates: how many independent values there will be.
    conditions: of a trend or a break, how many are compared.
    at: of a break, where they lie; 1, 2, … where it is not given.
  """

  replicates: int
  conditions: int = 2
  at: tuple[float, ...] = ()


class Analysis(abc.ABC):
  """One way to estimate an effect and to test it at any bound.

  Attributes:
    description: how interval and p-value are found, for the reader.
    spreads: whether how far replicates spread is to be planted; else it
      follows from the effect's size.
    estimate: NaN where no unit is left.
    values: one per unit, for the eye.
    replicates: how many independent values there are.
  """

  description: ClassVar[str]
  spreads: ClassVar[bool] = True
  estimate: float
  values: np.ndarray
  replicates: int

  @abc.abstractmethod
  def __init__(self, sample: Sample):
    """Takes the sample; raises ValueError where its shape is another's."""

  @abc.abstractmethod
  def p_above(self, bound: float) -> float:
    """p of the hypothesis that the effect is at or below the bound."""

  @abc.abstractmethod
  def p_below(self, bound: float) -> float:
    """p of the hypothesis that the effect is at or above the bound."""

  @abc.abstractmethod
  def interval(self, tail: float) -> tuple[float, float]:
    """The bounds between which neither p-value is at or below `tail`."""

  @staticmethod
  def size(smallest: float, times: float) -> float:
    """So many times the smallest effect; 0 times is no effect."""
    return times * smallest

  @staticmethod
  def check(smallest: float) -> None:
    """Raises ValueError for a smallest effect that cannot be one."""
    if not smallest > 0:
      raise ValueError(f'smallest={smallest} must be above 0; turn the measure '
                       'round if it is predicted to fall')

  @staticmethod
  @abc.abstractmethod
  def plant(effect: float, sigma: float, design: Design,
            rng: np.random.Generator) -> Sample:
    """A sample of a true effect, of replicates that spread by sigma.

    An infinite effect is the clearest that the design can give.
    """


def planted(values: np.ndarray,
            budgets: tuple[float, float] | None = None) -> Sample:
  """A sample of independent rows."""
  n = len(values)
  return Sample(values, tuple(range(n)), (0,) * n, budgets=budgets)


def check_correlation(smallest: float) -> None:
  """A correlation beyond 1 cannot be shown, nor can one of exactly 1."""
  if not 0 < smallest < 1:
    raise ValueError(f'smallest={smallest} must lie between 0 and 1: it is a '
                     'rank correlation')
