"""How far each layer is from a linear function of the embeddings, in a ball.

All embeddings of a window are moved at once, each in a direction of its own
drawn at random. What a stream's change keeps beside the change that its
derivative foretells, over the change, is 0 of a linear network at any radius,
and goes to 0 with the radius wherever there is a derivative.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import passages as windows
from experiments.instruments import stream
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig, count

RADII = (.01, .1, .3, 1.0)  # of the length of each position's embedding
WINDOWS = 8  # at most, evenly spread
WIDTH = 64  # positions of each, where what comes later is not seen
SEED = 0  # of the directions


def measure(given: Given) -> list[Row]:
  """Moves the embeddings of a few windows.

  Returns:
    `nonlinearity` by layer (1 to n) and radius, the mean over positions (the
    first of each window left out), of the network and of its baseline.
  """
  passages = excerpt(given.passages, given.network.config)
  with jax.default_matmul_precision('highest'):
    found = [(_means(network.in_float32(), passages), places)
             for network, places in given.networks()]
  return [
    Row('nonlinearity', float(value),
        {'layer': layer, 'radius': radius, **places})
    for means, places in found
    for radius, value_N in zip(RADII, means)
    for layer, value in enumerate(value_N, start=1)]


def excerpt(passages: Passages, config: ModelConfig) -> Passages:
  """A few windows, cut short where this changes nothing of what is left."""
  width = (WIDTH if config.mask == 'causal' else passages.tokens_BT.shape[1])
  tokens_B = np.asarray(passages.valid_BT)[:, 1:width].sum(axis=1)
  (usable,) = np.nonzero(tokens_B)
  kept = usable[np.unique(np.linspace(
    0, len(usable) - 1, min(WINDOWS, len(usable))).round().astype(int))]
  return Passages(*(x[kept, :width] if x.ndim > 1 else x[kept]
                    for x in map(np.asarray, passages)))


def index(function: Callable[[jax.Array], jax.Array], x_BTD: jax.Array,
          direction_BTD: jax.Array, radii: jax.Array) -> jax.Array:
  """|f(x + r d) - f(x) - r J d| / |f(x + r d) - f(x)|, (radii, N, B, T).

  Lengths are over the last axis; 0 where nothing changes at all.

  Args:
    function: to (N,B,T,D).
    x_BTD: where it is linear by comparison.
    direction_BTD: d.
    radii: each r.
  """
  before, pull = jax.vjp(function, x_BTD)
  # The model's products have a backward pass of their own, and no forward one.
  push = jax.linear_transpose(lambda out: pull(out)[0], before)
  (slope,) = push(direction_BTD)

  def ratio(radius: jax.Array) -> jax.Array:
    change = function(x_BTD + radius * direction_BTD) - before
    left = jnp.linalg.norm(change - radius * slope, axis=-1)
    length = jnp.linalg.norm(change, axis=-1)
    return jnp.where(length > 0, left / jnp.where(length > 0, length, 1), 0)

  return jax.lax.map(ratio, radii)


def _means(network: Network, passages: Passages) -> np.ndarray:
  """(radii, N), over the positions of all windows."""
  total, positions = np.zeros(()), 0
  for number, part in enumerate(windows.parts(passages, 1)):
    total = total + np.asarray(_sums(network, part, number))
    positions += int(part.valid_BT[:, 1:].sum())
  return total / max(positions, 1)


@jax.jit
def _sums(network: Network, part: Passages, number: jax.Array) -> jax.Array:
  x_BTD = network.embed(part).astype(jnp.float32)
  draw_BTD = jax.random.normal(
    jax.random.fold_in(jax.random.key(SEED), number), x_BTD.shape)
  length_BT = jnp.linalg.norm(x_BTD, axis=-1, keepdims=True)
  direction_BTD = length_BT * draw_BTD / jnp.linalg.norm(
    draw_BTD, axis=-1, keepdims=True)

  def streams(x_BTD: jax.Array) -> jax.Array:
    taps = network.apply(part, {'resid_post': None}, stream.write(
      network.config, 0, x_BTD)).taps
    return taps['resid_post'].astype(jnp.float32)

  ratios = index(streams, x_BTD, direction_BTD, jnp.array(RADII))
  return jnp.sum(jnp.where(part.valid_BT, ratios, 0)[..., 1:], axis=(-1, -2))


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """One pass as it is, one for each radius, and the derivative's three."""
  del calibration
  width = min(tokens, WIDTH)
  moved = min(WINDOWS, -(-tokens // WIDTH))
  return 2.0 * moved * (4 + len(RADII)) * count.flops(config, width).stack


INSTRUMENT = Instrument(
  name='nonlinearity',
  title='How nonlinear the way to each layer is',
  says='The embeddings are moved a little, or far, and each layer’s change is '
       'compared with what its derivative foretells: 0 is a linear function, 1 '
       'is a change that the derivative knows nothing of, and above 1 it '
       'foretells one that does not come.',
  source='a definition of ours; of Taylor’s remainder',
  measure=measure, flops=flops,
  metrics={'nonlinearity': 'error of the derivative / length of the change'})
