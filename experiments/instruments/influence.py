"""How far the stream turns: in one block, and over spans of blocks.

Block influence is 1 - E cos(stream l - 1, stream l) (Men et al., 2024, called
ShortGPT); the angular distance of a span of k blocks is arccos of the cosine
between the streams before and behind it, over pi (Gromov et al., 2024, who take
the last token of a text; here it is the mean over tokens). Where they are
small, the blocks can be expected to be dispensable. Neither says so: what
leaving a block out does is measured by skipping.
"""

import jax
import jax.numpy as jnp

from experiments.instruments import blocks
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig

SPANS = (1, 2, 4, 8, 16, 32)  # blocks, where the model has so many


@jax.jit
def _sums(network: Network, passages: Passages
          ) -> tuple[jax.Array, jax.Array, dict[int, jax.Array]]:
  stream_NBTD = network.stream(passages).astype(jnp.float32)
  valid_BT = passages.valid_BT
  cosines = {span: blocks.cosine(stream_NBTD[:-span], stream_NBTD[span:])
             for span in SPANS if span < len(stream_NBTD)}
  return (
    jnp.sum(valid_BT), blocks.add(1 - cosines[1], valid_BT),
    {span: blocks.add(jnp.arccos(jnp.clip(cosine, -1, 1)) / jnp.pi, valid_BT)
     for span, cosine in cosines.items()})


def measure(given: Given) -> list[Row]:
  """Means over tokens; a span's `layer` is the first block of it."""
  rows = []
  for where, network, passages in blocks.networks(given):
    tokens, influence_N, angles = blocks.total(_sums, network, passages)
    rows += [Row('block_influence', float(value / tokens),
                 {**where, 'layer': layer})
             for layer, value in enumerate(influence_N, 1)]
    rows += [Row('angular_distance', float(value / tokens),
                 {**where, 'layer': layer, 'span': span})
             for span, angle_N in angles.items()
             for layer, value in enumerate(angle_N, 1)]
  return rows


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading the passages, and less of them with the baseline."""
  del calibration
  return forward_flops(
    config, tokens + min(tokens, blocks.BASELINE_TOKENS))


INSTRUMENT = Instrument(
  name='influence',
  title='How far does each layer turn the stream?',
  says='0: a layer, or a span of them, leaves the direction of the stream as '
       'it is. Where it turns little, layers may be dispensable; whether they '
       'are, skipping tells.',
  source='Men et al., 2024; Gromov et al., 2024',
  measure=measure, flops=flops,
  metrics={'block_influence': '1 - cosine of the streams around a block',
           'angular_distance': 'angle between the streams around a span / π'},
  default=True)
