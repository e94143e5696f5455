"""How alike two layers are, whatever axes each has: centred kernel alignment.

Linear CKA (Kornblith et al., 2019) compares the inner products that all pairs
of points have in one layer with those in the other. It is 1 where a rotation
and a scale turn one into the other. The plain estimate is far above 0 for
unrelated layers that are wider than there are points; here the unbiased one is
taken (Song et al., 2012), summed over small sets of points before the ratio
(Nguyen et al., 2021). It is near 0 for what is unrelated, and may fall below.
"""

import functools

import jax
import jax.numpy as jnp

from experiments.instruments import points
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import forward_flops
from experiments.runs.subject import Row
from model import ModelConfig

TOGETHER = 256  # points of a set, whose products are taken at once
FEWEST = 4  # points that the estimate needs
OUTLIERS = 3
ALL, FEWER = 'all', f'without the {OUTLIERS} largest'


@functools.partial(jax.jit, static_argnums=1)
def alignment(points_NVD: jax.Array, together: int = TOGETHER) -> jax.Array:
  """Debiased linear CKA of all pairs of layers.

  Args:
    points_NVD: the same points in each layer.
    together: points of a set at most, about. Sets are of equal size and spread
      over the points; fewer points than sets are left out.

  Returns:
    (N,N), at most 1; NaN where a layer does not vary.
  """
  n_layers, count, _ = points_NVD.shape
  sets = max(1, count // together)
  size = count // sets

  def add(total_NN: jax.Array, first: jax.Array
          ) -> tuple[jax.Array, None]:
    own_NVD = points_NVD[:, first + sets * jnp.arange(size)]
    # The mean decides nothing, and costs digits.
    own_NVD -= own_NVD.mean(1, keepdims=True)
    products_NF = jax.lax.map(_products, own_NVD)
    return total_NN + _dot(products_NF, products_NF.T), None

  total_NN, _ = jax.lax.scan(
    add, jnp.zeros((n_layers, n_layers)), jnp.arange(sets))
  spread_N = jnp.sqrt(jnp.diagonal(total_NN))
  return total_NN / (spread_N[:, None] * spread_N)


def _products(points_VD: jax.Array) -> jax.Array:
  """Inner products of all pairs, U-centred, flat, (F,).

  The inner product of two such is V (V - 3) times the unbiased estimate of
  HSIC (Székely and Rizzo, 2014); what it is multiplied by cancels in CKA.
  """
  size = len(points_VD)
  others_VV = 1 - jnp.eye(size)
  product_VV = _dot(points_VD, points_VD.T) * others_VV
  sum_V = product_VV.sum(1)
  product_VV -= (sum_V[:, None] + sum_V) / (size - 2) - sum_V.sum() / (
    (size - 1) * (size - 2))
  return (product_VV * others_VV).reshape(-1)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.matmul(a, b, precision='highest')


def measure(given: Given) -> list[Row]:
  """Both maps, of the model and of a random one."""
  rows = []
  for network, where in given.networks():
    points_NVD, _ = points.gather(network, given.passages)
    if points_NVD.shape[1] < FEWEST:
      return []
    narrow = points_NVD.shape[2] <= OUTLIERS + 1
    for dimensions, own_NVD in ((ALL, points_NVD),) if narrow else (
        (ALL, points_NVD),
        (FEWER, points.without_largest(points_NVD, OUTLIERS))):
      found_NN = jax.device_get(alignment(own_NVD))
      rows += [Row('cka', float(value), {
        **where, 'dimensions': dimensions, 'layer': layer,
        'other_layer': other})
        for layer, values_N in enumerate(found_NN)
        for other, value in enumerate(values_N) if value == value]
  return rows


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading, and the products of points and of layers, of two networks."""
  del calibration
  streams, count = config.n_layers + 1, min(tokens, points.POINTS)
  together = min(count, TOGETHER)
  return 2 * (forward_flops(config, tokens) + 4 * streams * count * together * (
    config.d_model + streams))


INSTRUMENT = Instrument(
  name='similarity',
  title='Which layers are alike?',
  says='1: two layers hold the same, up to a rotation and a scale; about 0: '
       'what lies close in one says nothing of what lies close in the other. '
       'Blocks of like layers show where the work changes. A few dimensions '
       'are so large that they can make all layers look alike; the second map '
       f'is without the {OUTLIERS} that vary most in each layer.',
  source='Kornblith et al., 2019; debiased: Nguyen et al., 2021',
  measure=measure, flops=flops,
  metrics={'cka': 'debiased linear CKA'},
  default=True)
