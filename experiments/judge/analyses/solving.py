"""How many times longer one arm takes than the other to solve a task."""

import numpy as np

from experiments.judge.analyses.analysis import Analysis, Design, planted
from experiments.judge.statistics import Sample, by_instance, subsets

BEYOND = 4.0  # past the last ratio at which anything changes
ROUNDING = 1 + 1e-9  # times that differ by less are equal


class TimeToSolve(Analysis):
  """The ratio of two times, by a paired permutation log-rank test.

  At a ratio c the faster arm's times are multiplied by c, and both arms are
  watched until the earlier of their ends, so that an arm's budget is no
  evidence. The log-rank statistic (Mantel, 1966) is a sum of scores, and
  exchanging the arms of a pair changes the sign of the pair's difference: the
  permutation test is the sign-flip test of these differences. The ratios that
  it does not reject are the interval. As c grows the set of watched times
  changes, so a p-value is taken to be the largest up to c. It holds its level
  where one arm's times are a multiple of the other's, as long and short alike;
  where one arm spreads twice as far it errs in up to 9 % at a nominal 5 %.
  """

  description = 'inverse of the paired permutation log-rank test'

  def __init__(self, sample: Sample):
    values = np.asarray(sample.values, float)
    if values.ndim != 2 or values.shape[1] != 2 or sample.budgets is None:
      raise ValueError('a time to solve needs two columns, of the slower and '
                       'of the faster arm, and their budgets')
    if not (values > 0).all():
      raise ValueError('a time to solve must be above 0')
    self._budgets = np.asarray(sample.budgets, float)
    self._times = np.where(values <= self._budgets, values, np.inf)
    self.replicates = len(sample.replicates())
    slower, faster = np.minimum(self._times, self._budgets).T
    self.values = np.where(np.isinf(self._times).all(1), np.nan,
                           slower / faster)
    self._edges = self._critical()
    inside = np.sqrt(self._edges[1:] * self._edges[:-1])
    self._ratios = np.concatenate([
      self._edges[:1] / BEYOND,
      np.ravel(np.column_stack([self._edges[:-1], inside])),
      self._edges[-1:], self._edges[-1:] * BEYOND])
    # Pairs of one instance are exchanged together.
    ahead = by_instance(self._ahead(self._ratios).T, sample.instances).T
    self._above = np.maximum.accumulate(flipped(ahead))
    self._below = np.maximum.accumulate(flipped(-ahead)[::-1])[::-1]
    self.estimate = self._middle(ahead.sum(1))

  def p_above(self, bound: float) -> float:
    """p of the hypothesis that the ratio is at or below the bound."""
    return float(self._above[self._piece(bound)])

  def p_below(self, bound: float) -> float:
    """p of the hypothesis that the ratio is at or above the bound."""
    return float(self._below[self._piece(bound)])

  def interval(self, tail: float) -> tuple[float, float]:
    """The ratios that are not rejected; 0 and inf where there is no end."""
    open_ = np.flatnonzero((self._above > tail) & (self._below > tail))
    if not len(open_):  # cannot be: no pair of p-values is that small
      return 0.0, np.inf
    first, last = open_[0], open_[-1]
    edges = self._edges
    low = edges[(first - 1) // 2] if first else 0.0
    high = edges[last // 2] if last // 2 < len(edges) else np.inf
    return float(low), float(high)

  @staticmethod
  def size(smallest: float, times: float) -> float:
    """A power of the smallest ratio; 1 is no effect."""
    return float(smallest**times)

  @staticmethod
  def check(smallest: float) -> None:
    """A ratio of interest is above 1."""
    if not smallest > 1:
      raise ValueError(f'smallest={smallest} must be above 1: it is a ratio of '
                       'times')

  @staticmethod
  def plant(effect: float, sigma: float, design: Design,
            rng: np.random.Generator) -> Sample:
    """Lognormal times; ln(sigma) is the spread of the ratio's logarithm."""
    spread = np.log(sigma) / np.sqrt(2)
    times = np.exp(spread * rng.normal(size=(design.replicates, 2)))
    times[:, 0] *= 1e9 if np.isinf(effect) else effect
    return planted(times, budgets=(np.inf, np.inf))

  def _critical(self) -> np.ndarray:
    """The ratios at which the order of all times and ends changes."""
    slower, faster = (np.append(times, budget) for times, budget in zip(
      self._times.T, self._budgets))
    with np.errstate(invalid='ignore'):
      ratios = (slower[:, None] / faster).ravel()
    ratios = np.unique(ratios[np.isfinite(ratios) & (ratios > 0)])
    if not len(ratios):
      return np.ones(1)
    # Rounding makes no two of one.
    return ratios[np.append(True, np.diff(ratios) > 1e-12 * ratios[1:])]

  def _ahead(self, ratios: np.ndarray) -> np.ndarray:
    """(ratios, pairs) how much sooner the faster arm is, in log-rank scores."""
    ends = np.minimum(self._budgets[0], ratios * self._budgets[1])[:, None]
    shape = len(ratios), len(self._times)
    times = np.stack([np.broadcast_to(self._times[:, 0], shape),
                      ratios[:, None] * self._times[:, 1]])
    solved = times <= ends * ROUNDING
    times = np.concatenate(np.where(solved, times, ends), 1)
    scores = log_rank(times, np.concatenate(solved, 1))
    return scores[:, len(self._times):] - scores[:, :len(self._times)]

  def _piece(self, bound: float) -> int:
    """Where a ratio stands among edges and the gaps between them."""
    left = np.searchsorted(self._edges, bound * (1 - 1e-12), 'left')
    right = np.searchsorted(self._edges, bound * (1 + 1e-12), 'right')
    return int(left + right)

  def _middle(self, sums: np.ndarray) -> float:
    """Where neither arm is ahead (Hodges and Lehmann, 1963).

    The least ratio that could be where one of them is unsolved throughout.
    """
    if not self.replicates:
      return np.nan
    ahead, behind = (self._ratios[s > 1e-9] for s in (sums, -sums))
    ends = [*ahead[-1:], *behind[:1]]
    return float(np.exp(np.mean(np.log(ends)))) if ends else np.nan


def log_rank(times: np.ndarray, solved: np.ndarray) -> np.ndarray:
  """(..., units) scores: 1 if solved, less the hazard survived until then.

  Summed over an arm they are its observed less its expected number of events.
  """
  later = times[..., None, :] >= times[..., :, None] / ROUNDING
  at_risk = later.sum(-1)  # when each unit's time comes
  hazard = (later * (solved / at_risk)[..., :, None]).sum(-2)
  return solved - hazard


def flipped(differences: np.ndarray) -> np.ndarray:
  """(ratios, pairs) to (ratios,): p of each row's mean being 0 or less."""
  means = differences @ subsets(differences.shape[1]).T
  return (1 + (means <= 1e-12).sum(1)) / (1 + means.shape[1])
