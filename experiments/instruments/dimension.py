"""How many dimensions the points of a layer fill, as their neighbours see it.

A stream of D numbers may hold points that lie on a surface of far fewer. The
distances to a point's second and first neighbour have a ratio mu whose law
depends on the dimension alone, if points are about evenly dense as far as the
second neighbour (Facco et al., 2017, TwoNN): P(mu > x) = x^-d. `two_nearest`
takes d from the slope of -log(1 - F(mu)) against log(mu), through the origin,
over the first fifth of the points in order of mu, as LLM-microscope does
(Razzhigaev et al., 2024). `at_scale` is the likeliest d from the distances to
the neighbours 2k and k (Denti et al., 2022, GRIDE): the larger k, the coarser
the scale, and the less noise across the surface counts. At k = 1 it is TwoNN's
maximum likelihood form (`geometry.two_nearest_dimension`).

Equal points have no ratio. Positions with the same token are one point of
stream 0, and of each stream in a model that sees the same before them; of those
that differ by rounding alone the first stands for all.
`distinct` says how many are left; where they are fewer than 100 there is no
number.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from experiments.instruments import points
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import forward_flops
from experiments.runs.subject import Row
from model import ModelConfig

FRACTION = 0.2
FEWEST = 100  # distinct points
SCALES = (1, 2, 4, 8, 16, 32)
NEAR = 1e-5  # of the length, from the mean of all: points this near are one
ROWS = 64  # points whose neighbours are measured at a time


class Neighbours(NamedTuple):
  """Distances to the nearest distinct points.

  Attributes:
    distance_VK: to the first, second, … K-th; inf where there is none.
    distinct_V: bool, whether a point counts.
  """

  distance_VK: jax.Array
  distinct_V: jax.Array


@functools.partial(jax.jit, static_argnums=1)
def neighbours(points_VD: jax.Array, count: int) -> Neighbours:
  """The nearest `count` distinct points of each point, of one layer.

  They are found by inner products, and their distances then taken exactly,
  since of inner products the small ones have few digits.
  """
  count = min(count, len(points_VD) - 1)
  points_VD = points_VD - points_VD.mean(0)
  square_V = jnp.square(points_VD).sum(1)
  near_VV = square_V[:, None] + square_V - 2 * jnp.matmul(
    points_VD, points_VD.T, precision='highest')
  earlier_VV = jnp.tri(len(points_VD), k=-1, dtype=bool)
  same_V = jnp.argmin(jnp.where(earlier_VV, near_VV, jnp.inf), axis=1)
  distinct_V = jnp.square(points_VD - points_VD[same_V]).sum(1) > (
    NEAR**2 * square_V)
  distinct_V = distinct_V.at[0].set(True)  # there is none before it
  others_VV = distinct_V & ~jnp.eye(len(points_VD), dtype=bool)
  # Kept apart: with the loop below in one, XLA:CPU takes ten times as long.
  nearness_VK, nearest_VK = jax.lax.optimization_barrier(jax.lax.top_k(
    jnp.where(others_VV, -near_VV, -jnp.inf), count))

  def distances(given: tuple[jax.Array, jax.Array]) -> jax.Array:
    point_D, nearest_K = given
    return jnp.linalg.norm(points_VD[nearest_K] - point_D, axis=1)

  distance_VK = jax.lax.map(distances, (points_VD, nearest_VK),
                            batch_size=ROWS)
  return Neighbours(jnp.sort(jnp.where(
    jnp.isfinite(nearness_VK), distance_VK, jnp.inf), axis=1), distinct_V)


def two_nearest(distance_VK: np.ndarray) -> float:
  """TwoNN by the slope over the first fifth.

  Args:
    distance_VK: of distinct points, to at least their two nearest.
  """
  log_V = np.sort(np.log(distance_VK[:, 1] / distance_VK[:, 0]))
  below_V = np.arange(1, len(log_V) + 1) / len(log_V)
  first = slice(0, int(FRACTION * len(log_V)))
  x, y = log_V[first], -np.log1p(-below_V[first])
  return float(x @ y / (x @ x))


def at_scale(distance_VK: np.ndarray, k: int) -> float:
  """The likeliest dimension, by the neighbours 2k and k.

  Args:
    distance_VK: of distinct points, to at least their 2k nearest.
    k: the scale.
  """
  log_V = np.log(distance_VK[:, 2 * k - 1] / distance_VK[:, k - 1])

  def slope(dimension: float) -> float:
    """Of the mean log-likelihood, 1/d + (k-1) m - (2k-1) log mu.

    m = log mu / (1 - mu^-d), which is 1/d where mu is 1.
    """
    power_V = -np.expm1(-dimension * log_V)
    middle_V = np.divide(log_V, power_V, where=power_V > 0,
                         out=np.full(len(log_V), 1 / dimension))
    return float(np.mean(1 / dimension + (k - 1) * middle_V
                         - (2 * k - 1) * log_V))

  return float(optimize.brentq(slope, 1e-3, 1e5))


def measure(given: Given) -> list[Row]:
  """TwoNN by layer, of the model and of a random one."""
  return _rows(given, 2, lambda distance_VK: [
    Row('two_nearest_dimension', two_nearest(distance_VK))])


def measure_scales(given: Given) -> list[Row]:
  """GRIDE by layer and scale, of the model and of a random one."""
  return _rows(given, 2 * SCALES[-1], lambda distance_VK: [
    Row('dimension_at_scale', at_scale(distance_VK, k), {'neighbour': k})
    for k in SCALES])


def _rows(given: Given, count: int, take: Callable[[np.ndarray], list[Row]]
          ) -> list[Row]:
  rows = []
  for network, where in given.networks():
    points_NVD, _ = points.gather(network, given.passages)
    if points_NVD.shape[1] < FEWEST:
      return []
    for layer, points_VD in enumerate(points_NVD):
      distance_VK, distinct_V = jax.device_get(neighbours(points_VD, count))
      here = {**where, 'layer': layer}
      rows.append(Row('distinct', int(distinct_V.sum()), here))
      if distinct_V.sum() >= FEWEST:
        rows += [Row(row.metric, row.value, {**here, **row.where})
                 for row in take(distance_VK[distinct_V].astype(float))]
  return rows


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading, and products of all pairs of points, of two networks."""
  del calibration
  count = min(tokens, points.POINTS)
  return 2 * (forward_flops(config, tokens)
              + 2 * (config.n_layers + 1) * count**2 * config.d_model)


INSTRUMENT = Instrument(
  name='dimension',
  title='How many dimensions do the vectors fill?',
  says='Each vector has as many numbers as the model is wide, but they may lie '
       'on a surface of far fewer dimensions. This is how many the two '
       'nearest neighbours of each point tell; it is low where points are few '
       'for the dimension, so compare layers and not models.',
  source='Facco et al., 2017; the fit of Razzhigaev et al., 2024',
  measure=measure, flops=flops,
  metrics={'two_nearest_dimension': 'TwoNN dimension',
           'distinct': 'distinct points'},
  default=True)

SCALES_INSTRUMENT = Instrument(
  name='dimension-scales',
  title='How many dimensions, seen from how far?',
  says='The same by the neighbours k and 2k: the larger k, the coarser the '
       'look. Where the number holds from one k to the next it is to be '
       'trusted; a number that falls with k was noise, or points too few.',
  source='Denti et al., 2022',
  measure=measure_scales, flops=flops,
  metrics={'dimension_at_scale': 'GRIDE dimension',
           'distinct': 'distinct points'})
