"""Do all vectors of a layer point the same way?

Two definitions that are often taken for one. The mean cosine of all pairs
(Ethayarajh, 2019) is high where vectors share a direction, their mean say. The
share of variance along the first principal direction (Razzhigaev et al., 2024)
takes the mean away first. One dimension that a few positions make huge, such as
a text's first, raises the second and not the first; so both are told without
the first position of each window too.
"""

import jax
import jax.numpy as jnp

from experiments.instruments import points
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import forward_flops
from experiments.runs.subject import Row
from model import ModelConfig

FEWEST = 30  # points
ALL, LATER = 'all', 'not the first'


@jax.jit
def mean_cosine(points_NVD: jax.Array) -> jax.Array:
  """Mean cosine over all pairs of different points, (N,).

  A vector of length 0 has cosine 0 with all.
  """
  length_NV1 = jnp.linalg.norm(points_NVD, axis=2, keepdims=True)
  unit_NVD = points_NVD / jnp.where(length_NV1 > 0, length_NV1, 1)
  own_N = jnp.square(unit_NVD).sum((1, 2))
  count = points_NVD.shape[1]
  return (jnp.square(unit_NVD.sum(1)).sum(1) - own_N) / (count * (count - 1))


@jax.jit
def top_share(points_NVD: jax.Array) -> jax.Array:
  """Share of the variance along the first principal direction, (N,).

  1/D for a ball. Of few points it is too high, by less than
  (1/sqrt(V) + 1/sqrt(D))^2 where no direction stands out. NaN where nothing
  varies.
  """

  def share(points_VD: jax.Array) -> jax.Array:
    points_VD = points_VD - points_VD.mean(0)
    points_VD /= jnp.sqrt(jnp.square(points_VD).mean())  # for the digits
    count, width = points_VD.shape
    product = jnp.matmul(points_VD.T, points_VD, precision='highest') if (
      width <= count) else jnp.matmul(
        points_VD, points_VD.T, precision='highest')
    return jnp.linalg.eigvalsh(product)[-1] / jnp.trace(product)

  return jax.lax.map(share, points_NVD)


def measure(given: Given) -> list[Row]:
  """Both numbers by layer, of the model and of a random one."""
  rows = []
  for network, where in given.networks():
    stream_NVD, first_V = points.gather(network, given.passages)
    for positions, kept_V in ((ALL, first_V | True), (LATER, ~first_V)):
      if kept_V.sum() < FEWEST:
        continue
      for metric, take in (('mean_cosine', mean_cosine),
                           ('top_share', top_share)):
        found_N = jax.device_get(take(stream_NVD[:, kept_V]))
        rows += [Row(metric, float(value), {
          **where, 'positions': positions, 'layer': layer})
          for layer, value in enumerate(found_N) if value == value]
  return rows


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading, and covariances and their eigenvalues, of two networks."""
  del calibration
  streams, count = config.n_layers + 1, min(tokens, points.POINTS)
  small = min(count, config.d_model)
  return 2 * (forward_flops(config, tokens) + 2 * streams * (
    2 * count * config.d_model * small + 4 / 3 * small**3))


INSTRUMENT = Instrument(
  name='anisotropy',
  title='Do all vectors point the same way?',
  says='Mean cosine: 1 where all vectors of a layer point the same way, 0 '
       'where they point anywhere. Share: how much of their spread about the '
       'mean lies along one direction. A high share in the middle is often the '
       'doing of a few positions, the first of a text above all; the second '
       'line is without the first of each window.',
  source='Ethayarajh, 2019; Razzhigaev et al., 2024',
  measure=measure, flops=flops,
  metrics={'mean_cosine': 'mean cosine of pairs',
           'top_share': 'share of variance along one direction'},
  default=True)
