"""Recoverability: how much of a feed-forward one matrix would do.

The share of the variance of what a feed-forward adds that a ridge from what it
reads explains, on text that the ridge was not fitted on. The ridge is in closed
form: those trained by gradient descent end well below it (a study of GPT-2,
Pythia and Llama of 2026 finds .3 to .99, and neighbours that differ much).
"""

import jax
import jax.numpy as jnp

from experiments.instruments import linear_map
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row


@jax.jit
def _sums(network: Network, passages: Passages) -> linear_map.Sums:
  config = network.config
  site = 'resid_pre' if config.branches == 'parallel' else 'resid_mid'
  taps = network.apply(passages, {site: None, 'ffn_out': None}).taps

  def of_block(both: tuple[jax.Array, jax.Array]) -> linear_map.Sums:
    x_BTD, z_BTD = (points.astype(jnp.float32) for points in both)
    # What its norm does beyond a scale and a bias of each coordinate, which
    # any matrix can undo.
    if config.norm_placement != 'post':
      if config.norm == 'layer':
        x_BTD -= x_BTD.mean(-1, keepdims=True)
      x_BTD *= jax.lax.rsqrt(
        jnp.mean(x_BTD ** 2, -1, keepdims=True) + config.norm_epsilon)
    return linear_map.sums(x_BTD, z_BTD, passages.valid_BT)

  found: linear_map.Sums = jax.lax.map(of_block, (taps[site], taps['ffn_out']))
  return found


def measure(given: Given) -> list[Row]:
  """Held-out R2 by block, of the model and of a random one."""
  return linear_map.rows(given, _sums, {'recoverability': 'z_D'},
                         (linear_map.HELD_OUT,))


def fed(given: Given) -> str:
  """Refuses blocks that are a mixer alone."""
  return '' if given.network.config.ff_width else (
    'its blocks have no feed-forward (model.feed_forward=none); linearity can '
    'be taken')


INSTRUMENT = Instrument(
  name='recoverability',
  title='How much of each feed-forward would one matrix do?',
  says='1: what the feed-forward adds is a linear function of what it reads, '
       'on text that the function was not fitted on; 0: such a function is no '
       'better than a constant.',
  source='linear recoverability of feed-forwards, 2026',
  measure=measure, flops=linear_map.flops,
  metrics={'recoverability': 'variance of what it adds that a matrix explains'},
  refusal=fed)
