"""At which point along an axis a curve breaks, if it does."""

import functools
from collections.abc import Sequence

import numpy as np

from experiments.judge.analyses.analysis import Analysis, Design
from experiments.judge.analyses.correlation import RESAMPLES, stretched
from experiments.judge.statistics import Sample

FEWEST = 6  # points: a broken stick bends between two at either end
STEPS = 4  # places between two points at which it may break
EXPONENTS = np.arange(-3, 4.25, 0.25)
# Of the axis, after which an exponential has fallen by e.
SCALES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
NONE = 0.0  # the place of a break where there is none
STICK = 'broken stick'


class Break(Analysis):
  """Where a broken stick bends, in resamples in which it is the best form.

  Each cluster is a curve with an intercept of its own. Clusters are resampled;
  seven forms (constant, linear, logarithm, power, exponential, parabola, broken
  stick) are fitted to those drawn and compared on those left out, so that a
  form with more parameters wins only by what is there again in other clusters,
  and noise that neighbouring points share is not taken for a bend. Without the
  exponential and the parabola a curve that levels off was taken for a break in
  15 % of simulations. A resample that another form wins has its break at 0,
  before all points. So a break is shown above a bound only if the broken stick
  wins nearly always, and `outside` a band says that it bends elsewhere or that
  a smooth form wins. As few clusters need it, shares of resamples are stretched
  to p-values (Hesterberg, 2015).
  """

  description = ('seven forms compared on clusters left out, bootstrap of '
                 'clusters')

  def __init__(self, sample: Sample):
    curves = np.asarray(sample.values, float)
    if curves.ndim != 2 or curves.shape[1] < FEWEST:
      raise ValueError(f'a break needs {FEWEST} points or more on each curve')
    if not np.isfinite(curves).all():
      raise ValueError('a break needs finite numbers')
    at = sample.at or tuple(range(1, curves.shape[1] + 1))
    if len(at) != curves.shape[1] or at[0] <= 0 or np.diff(at).min() <= 0:
      raise ValueError('a break needs a place above 0 for each point, rising')
    curves = curves - curves.mean(1, keepdims=True)
    self.replicates = len(curves)
    self.values = _fitted(curves, at, STICK)[1]
    found = _resampled(curves, at)
    self._resampled = np.sort(found)
    self._p = stretched(self.replicates, len(found))
    self.estimate = np.nan
    if len(curves):
      whole = float(_fitted(curves.mean(0)[None], at, STICK)[1][0])
      often = len(found) and np.mean(found > NONE) > 0.5
      self.estimate = whole if often else NONE

  def p_above(self, bound: float) -> float:
    """p of the hypothesis that it breaks at or before the bound, or nowhere."""
    return float(self._p[np.searchsorted(self._resampled, bound, 'right')])

  def p_below(self, bound: float) -> float:
    """p of the hypothesis that it breaks at or after the bound."""
    first = np.searchsorted(self._resampled, bound, 'left')
    return float(self._p[len(self._p) - 1 - first])

  def interval(self, tail: float) -> tuple[float, float]:
    """The bounds between which neither p-value is at or below `tail`."""
    rejected = np.searchsorted(self._p[:-1], tail, 'right')
    if rejected <= 0:
      return -np.inf, np.inf
    return (float(self._resampled[rejected - 1]),
            float(self._resampled[-rejected]))

  @staticmethod
  def plant(effect: float, sigma: float, design: Design,
            rng: np.random.Generator) -> Sample:
    """Curves that fall by 1 a step up to the break and stay there.

    So sigma, the spread of each point, is in steps. An infinite effect breaks
    at the last place without noise; one at or below 0 is no break.
    """
    at = np.asarray(design.at or range(1, design.conditions + 1), float)
    clear = np.isinf(effect)
    place = float(np.clip(effect, 0, at[-2]))
    noise = 0 if clear else sigma * rng.normal(
      size=(design.replicates, len(at)))
    curve = -np.minimum(at, place) if place > 0 else np.zeros(len(at))
    return Sample(
      np.broadcast_to(curve + noise, (design.replicates, len(at))), (0,), (0,),
      clusters=tuple(range(design.replicates)), at=tuple(at.tolist()))


@functools.cache
def forms(at: Sequence[float]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """The forms that are compared on an axis, the simplest first.

  Returns:
    By name: (shapes, points, columns), an orthonormal basis of the centred
    columns of each shape; and (shapes,), where it breaks.
  """
  x = np.asarray(at, float)
  places = np.linspace(x[1], x[-2], STEPS * (len(x) - 3) + 1)
  columns = {
    'constant': [np.empty((0, len(x)))], 'linear': [x[None]],
    'logarithm': [np.log(x)[None]],
    'power': [(x / x[-1])[None] ** p for p in EXPONENTS if p],
    'exponential': [np.exp(-along / scale)[None] for scale in SCALES
                    for along in (x / x[-1], 1 - x / x[-1])],
    'parabola': [np.stack([x, x**2])],
    STICK: [np.stack([x, np.maximum(x - place, 0)]) for place in places]}
  return {name: (
    np.stack([np.linalg.qr((own - own.mean(1, keepdims=True)).T)[0]
              for own in shapes]),
    places if name == STICK else np.full(len(shapes), NONE))
    for name, shapes in columns.items()}


def _fitted(curves: np.ndarray, at: Sequence[float],
            name: str) -> tuple[np.ndarray, np.ndarray]:
  """(rows, points) to the form's best fit to each, and where that breaks."""
  bases, places = forms(tuple(at))[name]
  weights = np.einsum('rp,spc->rsc', curves, bases, optimize=True)
  best = (weights**2).sum(2).argmax(1)
  rows = np.arange(len(curves))
  return np.einsum('rc,rpc->rp', weights[rows, best], bases[best]), places[best]


def _resampled(curves: np.ndarray, at: Sequence[float]) -> np.ndarray:
  """Where the winning form of each resample breaks."""
  n = len(curves)
  if n < 2:
    return np.empty(0)
  rng = np.random.default_rng(0)
  drawn = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)
  drawn = drawn[(drawn == 0).any(1)]
  left = drawn == 0
  inside = drawn @ curves / n
  outside = left @ curves / left.sum(1, keepdims=True)
  errors, places = [], []
  for name in forms(tuple(at)):
    fit, place = _fitted(inside, at, name)
    errors.append(((outside - fit)**2).sum(1))
    places.append(place)
  # Of forms that are as good, the simplest: what is left is rounding.
  least = np.min(errors, 0) + 1e-12 * (outside**2).sum(1)
  winner = (np.array(errors) <= least).argmax(0)
  found: np.ndarray = np.array(places)[winner, np.arange(len(drawn))]
  return found
