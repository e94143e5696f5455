"""Residual contributions: how much each block adds, and in which direction.

Where norms stand inside the residual branches, the stream that leaves the
stack is what entered it plus what every mixer and every feed-forward added. So
a part's share is plain: the length of what it adds over that of the stream that
enters its block (Csordás, Manning and Potts, 2025). The cosine between the two
says what is done: below 0 something is taken out, about 0 something new is
written, above 0 what is there is made larger.
"""

import jax
import jax.numpy as jnp

from experiments.instruments import blocks
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig

MIXER, FEED_FORWARD, BOTH = 'mixer', 'feed-forward', 'both'


def parts_of(network: Network, passages: Passages
             ) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The stream that enters each block, and what its parts add to it.

  Returns:
    (N,B,T,D), and the same by part, float32. Stream 0 and all of 'both' add up
    to stream n.
  """
  fed = bool(network.config.ff_width)
  sites = ['resid_pre', 'mixer_out'] + ['ffn_out'] * fed
  taps = network.apply(passages, dict.fromkeys(sites)).taps
  before_NBTD, *added = (taps[site].astype(jnp.float32) for site in sites)
  found = dict(zip((MIXER, FEED_FORWARD), added))
  return before_NBTD, {**found, BOTH: jnp.asarray(sum(added))}


@jax.jit
def _sums(network: Network, passages: Passages
          ) -> tuple[jax.Array, dict[str, tuple[jax.Array, jax.Array]]]:
  before_NBTD, parts = parts_of(network, passages)
  valid_BT = passages.valid_BT
  return jnp.sum(valid_BT), {
    name: (blocks.add(blocks.relative(added, before_NBTD), valid_BT),
           blocks.add(blocks.cosine(added, before_NBTD), valid_BT))
    for name, added in parts.items()}


def measure(given: Given) -> list[Row]:
  """Means over tokens, by block and part."""
  rows = []
  for where, network, passages in blocks.networks(given):
    tokens, sums = blocks.total(_sums, network, passages)
    rows += [
      Row(metric, float(value / tokens),
          {**where, 'layer': layer, 'part': part})
      for part, found in sums.items()
      for metric, values_N in zip(METRICS, found)
      for layer, value in enumerate(values_N, 1)]
  return rows


def additive(given: Given) -> str:
  """Refuses blocks that change the whole stream."""
  if given.network.config.norm_placement != 'post':
    return ''
  return ('each of its blocks normalises the whole stream '
          '(model.norm_placement=post), so that no sum of parts is left; '
          'influence and skipping can be taken')


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading the passages, and less of them with the baseline."""
  del calibration
  return forward_flops(
    config, tokens + min(tokens, blocks.BASELINE_TOKENS))


METRICS = {
  'contribution_norm': 'length of what is added / of the stream',
  'contribution_cosine': 'cosine of what is added with the stream',
}

INSTRUMENT = Instrument(
  name='contributions',
  title='How much does each layer add?',
  says='How long the vector is that a layer adds, beside the stream that it '
       'adds it to; and its direction: below 0 it takes something out, about 0 '
       'it writes something new, above 0 it makes larger what is there.',
  source='Csordás, Manning and Potts, 2025',
  measure=measure, flops=flops, metrics=METRICS, default=True,
  refusal=additive)
