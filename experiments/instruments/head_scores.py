"""Heads that look back: at the previous token, and at what came next before.

On random tokens that come twice nothing but copying helps. There a head that
looks from a token's second occurrence at what followed the first is an
induction head (Olsson et al., 2022), and what it stands on, usually, is a head
of a lower layer that looks at the previous token.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import passages
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig, count

ROWS = 16
LONGEST = 32  # tokens before they come again
SHORTEST = 4  # with fewer there are next to no other places to look at


class Scores(NamedTuple):
  """Mean attention of each head; 1: all of it.

  Attributes:
    previous_NH: from every token but the first to the one before it.
    induction_NH: from a token that comes again to what followed it before.
    duplicate_NH: from a token that comes again to itself before.
  """

  previous_NH: jax.Array
  induction_NH: jax.Array
  duplicate_NH: jax.Array


def repeated(config: ModelConfig) -> Passages:
  """Random tokens, no two alike, and then all of them again: (B, 2 L)."""
  length = _period(config)
  rng = np.random.default_rng(0)
  return passages.cut([np.tile(rng.choice(
    config.vocab_size, length, replace=False), 2).tolist()
    for _ in range(ROWS)], 2 * length)


@jax.jit
def scores(network: Network, given: Passages) -> Scores:
  """Reads the attention of every head on tokens that `repeated` made."""
  T = given.tokens_BT.shape[1]

  def back(pattern_BHTS: jax.Array, steps: int, first: int) -> jax.Array:
    """(H,): mean attention so many steps back, from position `first` on."""
    return jnp.diagonal(pattern_BHTS[:, :, steps:], axis1=2, axis2=3)[
      :, :, first - steps:].mean((0, 2))

  def read(pattern_BHTS: jax.Array) -> jax.Array:
    return jnp.stack([back(pattern_BHTS, 1, 1),
                      back(pattern_BHTS, T // 2 - 1, T // 2),
                      back(pattern_BHTS, T // 2, T // 2)])

  taps = network.apply(given, {'attention_pattern': read}).taps
  return Scores(*jnp.moveaxis(taps['attention_pattern'], 1, 0))


def measure(given: Given) -> list[Row]:
  """The scores of every head, and of those of a network without training."""
  tokens = repeated(given.network.config)
  rows = []
  for network, where in given.networks():
    found = scores(network, tokens)
    for name, table_NH in zip(INSTRUMENT.metrics, found, strict=True):
      rows += [Row(name, float(score), {'layer': layer + 1, 'head': head,
                                        **where})
               for (layer, head), score in np.ndenumerate(np.asarray(table_NH))]
  return rows


def without_scores(given: Given) -> str:
  """Refuses mixers that do not attend."""
  config = given.network.config
  if not config.mixer.has_scores:
    return (f'model.mixer={config.mixer_name} has no attention to look at; '
            'take a model with model.mixer=attention')
  return ''


def refusal(given: Given) -> str:
  """Also refuses models for which tokens cannot come again."""
  if _period(given.network.config) < SHORTEST:
    return (f'{SHORTEST} different tokens, twice, do not fit into its '
            'vocabulary (model.vocab_size) and length (model.max_length)')
  return without_scores(given)


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Of the model and of a random one, whatever the text."""
  del tokens, calibration
  return 2.0 * ROWS * count.flops(config, 2 * _period(config)).total


def _period(config: ModelConfig) -> int:
  """L: how many tokens come before they come again."""
  return min(LONGEST, config.vocab_size,
             (config.max_length or 2 * LONGEST) // 2)


INSTRUMENT = Instrument(
  name='head-scores',
  title='Which heads copy',
  says='On random tokens that come twice: how much of its attention each head '
       'gives to the token before, and, where a token comes again, to what '
       'followed it the first time (an induction head) or to the token itself.',
  source='Olsson et al., 2022',
  measure=measure,
  flops=flops,
  metrics={'previous_token_score': 'attention to the token before',
           'induction_score': 'attention to what came next before',
           'duplicate_token_score': 'attention to the same token before'},
  refusal=refusal)
