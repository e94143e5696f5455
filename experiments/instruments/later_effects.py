"""What later blocks owe to a block: now, and at later tokens.

Block s is left out at the first half of each window's positions and is there at
the others. Block l > s then adds c' where it added c, and the effect of s on l
is the mean over tokens of ||c' - c|| / ||c|| (Csordás, Manning and Potts,
2025). Over the first half, where s is missing, it is the effect 'now': what l
makes of these tokens depends on what s wrote there. Over the second half it is
the effect 'later': s is there, and all that differs is what blocks above s have
read from earlier positions. No model that looks both ways has such a half.

Csordás et al. leave the block out everywhere for the first, draw where the
second begins, and take the largest over tokens, which one odd token decides.
Since earlier positions never see later ones, one run gives both.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import blocks
from experiments.instruments.contributions import additive
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig

WINDOW = 64  # positions, at most: half of them are read from
TOKENS = 128  # that are read, about: each runs half of the stack n times
NOW, LATER = 'now', 'later'


@jax.jit
def _sums(network: Network, passages: Passages
          ) -> tuple[jax.Array, jax.Array]:
  """Counts (2,), and sums (2,N,N) by block left out and block above."""
  n_layers, length = network.config.n_layers, passages.tokens_BT.shape[1]
  stream_NBTD = network.stream(passages).astype(jnp.float32)
  missing_T = jnp.arange(length) < length // 2
  # A window that ends in its first half has nothing later.
  whole_BT = passages.valid_BT & passages.valid_BT[:, -1:]
  halves = (whole_BT & missing_T, whole_BT & ~missing_T)

  def without(_: None, left_out: jax.Array) -> tuple[None, jax.Array]:
    before_BTD, after_BTD = stream_NBTD[left_out - 1], stream_NBTD[left_out]
    x_BTD = jnp.where(missing_T[:, None], before_BTD, after_BTD)

    def above(layer: jax.Array, carried: tuple[jax.Array, jax.Array]
              ) -> tuple[jax.Array, jax.Array]:
      x_BTD, sums_2N = carried
      # Of the model's own type, which the stream was widened from.
      y_BTD = network.block(layer, x_BTD, passages)
      was_BTD = stream_NBTD[layer] - stream_NBTD[layer - 1]
      effect_BT = blocks.relative(
        y_BTD.astype(jnp.float32) - x_BTD.astype(jnp.float32) - was_BTD,
        was_BTD)
      return y_BTD, sums_2N.at[:, layer - 1].set(jnp.stack(
        [blocks.add(effect_BT, half_BT) for half_BT in halves]))

    dtype = network.embed(passages).dtype
    _, sums_2N = jax.lax.fori_loop(
      left_out + 1, n_layers + 1, above,
      (x_BTD.astype(dtype), jnp.zeros((2, n_layers))))
    return None, sums_2N

  _, found_N2N = jax.lax.scan(without, None, jnp.arange(1, n_layers + 1))
  return (jnp.stack([jnp.sum(half_BT) for half_BT in halves]),
          jnp.moveaxis(found_N2N, 1, 0))


def _short(passages: Passages) -> Passages:
  """Windows of at most `WINDOW` positions, evenly spread, none of them padded.

  Those of a text that is shorter are as long as its longest.
  """
  width = min(WINDOW, int(np.sum(passages.valid_BT, axis=1).max()))
  starts = [(row, first)
            for row, count in enumerate(np.sum(passages.valid_BT, axis=1))
            for first in range(0, int(count) - width + 1, width)]
  most = max(1, TOKENS // width)
  if len(starts) > most:
    starts = [starts[i] for i in np.linspace(0, len(starts) - 1, most).round(
      ).astype(int)]
  row, first = np.array(starts).T
  place_BT = first[:, None] + np.arange(width)
  *arrays_BT, text_B = map(np.asarray, passages)
  return Passages._make([
    *(x_BT[row[:, None], place_BT] for x_BT in arrays_BT), text_B[row]])


def measure(given: Given) -> list[Row]:
  """By block left out (`layer`) and block above (`other_layer`); and its mean
  over the blocks above.
  """
  passages = _short(given.passages)
  counts, sums = blocks.total(_sums, given.network, passages)
  rows = []
  for tokens, count, effect_NN in zip((NOW, LATER), counts, sums):
    if not count:
      continue
    for layer in range(1, len(effect_NN)):
      own = effect_NN[layer - 1, layer:] / count
      where: dict[str, int | str] = {'layer': layer, 'tokens': tokens}
      rows.append(Row('effect_above', float(np.mean(own)), where))
      rows += [Row('effect', float(value), {**where, 'other_layer': other})
               for other, value in enumerate(own, layer + 1)]
  return rows


def _refusal(given: Given) -> str:
  config = given.network.config
  if config.mask != 'causal':
    return (f'it looks both ways (model.mask={config.mask}), so that no token '
            'comes later; skipping can be taken')
  if config.n_layers == 1:
    return 'it has one layer (model.n_layers=1), and none above it'
  return additive(given)


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Half of the stack for each block."""
  del calibration
  return forward_flops(
    config, min(tokens, TOKENS) * (1 + config.n_layers / 2), WINDOW)


INSTRUMENT = Instrument(
  name='later-effects',
  title='What do later layers owe to a layer?',
  says='How much what the layers above add changes when a layer is left out: '
       'now, at the tokens where it is missing; and later, at tokens behind '
       'them, which can only have read the difference. A layer with little '
       'effect later works for its own token’s prediction alone.',
  source='Csordás, Manning and Potts, 2025',
  measure=measure, flops=flops,
  metrics={'effect_above': 'relative change of what blocks above add, mean',
           'effect': 'relative change of what a block above adds'},
  refusal=_refusal)
