"""What becomes of a model when one block is left out, swapped or repeated.

Blocks below the one that is changed do what they did, so their streams are kept
and only the blocks above are run: n (n - 1) / 2 blocks for all that can be left
out, in one program whose layer is traced (Csordás, Manning and Potts, 2025;
Lad, Gurnee and Tegmark, 2024).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import blocks
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages, scored
from experiments.runs.subject import Row
from model import ModelConfig, count

BITS_PER_NAT = 1.4426950408889634  # 1 / ln 2
POSITIONS = 512  # whose predictions are compared, at most
BASELINE_TOKENS = 256  # that the random network reads, about

Run = Callable[[jax.Array, jax.Array], jax.Array]  # block and stream to stream


def _skip(run: Run, before_BTD: jax.Array, after_BTD: jax.Array,
          layer: jax.Array) -> jax.Array:
  del run, after_BTD, layer
  return before_BTD


def _swap(run: Run, before_BTD: jax.Array, after_BTD: jax.Array,
          layer: jax.Array) -> jax.Array:
  del after_BTD
  return run(layer, run(layer + 1, before_BTD))


def _repeat(run: Run, before_BTD: jax.Array, after_BTD: jax.Array,
            layer: jax.Array) -> jax.Array:
  del before_BTD
  return run(layer, after_BTD)


class Change(NamedTuple):
  """Something done to block l.

  Attributes:
    stream: what block l + `blocks` then reads, of the streams before and
      behind block l.
    blocks: how many stand in the place of those that are run as ever.
  """

  stream: Callable[[Run, jax.Array, jax.Array, jax.Array], jax.Array]
  blocks: int


CHANGES = {'skip': Change(_skip, 1), 'swap': Change(_swap, 2),
           'repeat': Change(_repeat, 1)}


class Effects(NamedTuple):
  """Sums, the changed block on the leading axis.

  Attributes:
    agreement_N: scored positions whose likeliest token stays.
    divergence_N: KL(as it is || changed), bits.
    bits_N: what the target's cross-entropy grows by, bits.
    change_N: tokens' relative change of stream n.
    cosine_N: of stream n with what it was.
    positions: how many are scored.
    tokens: how many are real.
  """

  agreement_N: jax.Array
  divergence_N: jax.Array
  bits_N: jax.Array
  change_N: jax.Array
  cosine_N: jax.Array
  positions: jax.Array
  tokens: jax.Array


@functools.partial(jax.jit, static_argnames=('change', 'most'))
def effects(network: Network, passages: Passages, change: str,
            most: int) -> Effects:
  """Does one thing to each block in turn.

  Args:
    network: whose blocks.
    passages: a few windows; the streams of all of them are held.
    change: a name in `CHANGES`.
    most: scored positions, at most; nothing is scored of an encoder.
  """
  n_layers, (altered, width) = network.config.n_layers, CHANGES[change]
  place_T = jnp.flatnonzero(passages.weights_BT, size=most, fill_value=-1)
  valid_BT = passages.valid_BT

  def pick(x_BT: jax.Array) -> jax.Array:
    return x_BT.reshape(-1, *x_BT.shape[2:])[place_T]

  def run(layer: jax.Array, x_BTD: jax.Array) -> jax.Array:
    return network.block(layer, x_BTD, passages)

  stream_NBTD = network.stream(passages)
  last_BTD = stream_NBTD[n_layers].astype(jnp.float32)
  weights_T = jnp.where(place_T < 0, 0, pick(passages.weights_BT))

  def without(whole_TV: jax.Array, layer: jax.Array
              ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    untouched = layer == 0
    x_BTD = altered(run, stream_NBTD[layer - 1], stream_NBTD[layer], layer)
    x_BTD = jnp.where(untouched, stream_NBTD[n_layers], x_BTD)
    first = jnp.where(untouched, n_layers + 1, layer + width)
    x_BTD = jax.lax.fori_loop(first, n_layers + 1, run, x_BTD)
    end_BTD = x_BTD.astype(jnp.float32)
    stream = (
      blocks.add(blocks.relative(end_BTD - last_BTD, last_BTD), valid_BT),
      blocks.add(blocks.cosine(end_BTD, last_BTD), valid_BT))
    if not network.scores_words:
      return whole_TV, (jnp.zeros(()),) * 3 + stream
    log_TV = jax.nn.log_softmax(network.unembed(pick(x_BTD)[None])[0])
    whole_TV = jnp.where(untouched, log_TV, whole_TV)

    def gained(x_TV: jax.Array) -> jax.Array:
      return jnp.take_along_axis(x_TV, pick(passages.targets_BT)[:, None],
                                 axis=-1)[:, 0]

    same_T = jnp.argmax(whole_TV, -1) == jnp.argmax(log_TV, -1)
    divergence_T = jnp.sum(jnp.exp(whole_TV) * (whole_TV - log_TV), -1)
    return whole_TV, (
      jnp.sum(weights_T * same_T),
      BITS_PER_NAT * jnp.sum(weights_T * divergence_T),
      BITS_PER_NAT * jnp.sum(weights_T * (gained(whole_TV) - gained(log_TV))),
      *stream)

  # The model as it is comes first, out of the same compiled body, so that what
  # changes nothing is a divergence of exactly 0.
  vocabulary = network.config.vocab_size if network.scores_words else 0
  layers_N = jnp.arange(n_layers + 2 - width)
  _, found = jax.lax.scan(without, jnp.zeros((most, vocabulary)), layers_N)
  agreement_N, divergence_N, bits_N, change_N, cosine_N = (
    x_N[1:] for x_N in found)
  return Effects(agreement_N, divergence_N, bits_N, change_N, cosine_N,
                 jnp.sum(weights_T), jnp.sum(valid_BT))


def measure(given: Given, change: str) -> list[Row]:
  """Means over scored positions and tokens, by the block that is changed."""
  rows = []
  for where, network, passages in blocks.networks(given, BASELINE_TOKENS):
    found = _total(network, scored(passages, POSITIONS), change)
    shares = {'change': found.change_N / found.tokens,
              'cosine': found.cosine_N / found.tokens}
    if network.scores_words and found.positions:
      shares |= {'agreement': found.agreement_N / found.positions,
                 'divergence': found.divergence_N / found.positions,
                 'bits': found.bits_N / found.positions}
    rows += [Row(f'{change}_{name}', float(value),
                 {**where, 'layer': layer})
             for name, values_N in shares.items()
             for layer, value in enumerate(values_N, 1)]
  return rows


def _total(network: Network, passages: Passages, change: str) -> Effects:
  most = max(int(np.count_nonzero(part.weights_BT))
             for part in blocks.pieces(passages)) if network.scores_words else 0
  found: Effects = blocks.total(
    functools.partial(effects, change=change, most=most), network, passages)
  return found


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Half of the stack for each block, and the logits behind each."""
  del calibration
  words = config.unembedding != 'absent'
  read = tokens + min(tokens, BASELINE_TOKENS)
  logits = count.flops(config, 1).unembedding
  return (forward_flops(config, read * (1 + config.n_layers / 2))
          + words * config.n_layers * logits * (
            min(tokens, POSITIONS) + min(tokens, BASELINE_TOKENS)))


def _distinct(given: Given) -> str:
  """Refuses where all blocks are one."""
  config = given.network.config
  if config.n_layers == 1:
    return 'it has one layer (model.n_layers=1), and none to swap it with'
  if config.layers != 'tied':
    return ''
  return ('all of its layers are one (model.layers=tied); skipping and '
          'repeating can be taken')


def _metrics(change: str, done: str) -> dict[str, str]:
  return {
    f'{change}_agreement': f'share of likeliest tokens that stay, {done}',
    f'{change}_divergence': f'KL(as it is || {done}) (bits)',
    f'{change}_bits': f'growth of the cross-entropy, {done} (bits)',
    f'{change}_change': f'change of the last stream / its length, {done}',
    f'{change}_cosine': f'cosine of the last stream with itself, {done}'}


INSTRUMENT = Instrument(
  name='skipping',
  title='Which layers can go?',
  says='What the model says when one layer is left out: the share of likeliest '
       'words that stay, how far its probabilities move, and how much worse it '
       'predicts. A layer whose absence changes little can go, alone.',
  source='Lad, Gurnee and Tegmark, 2024; Csordás, Manning and Potts, 2025',
  measure=functools.partial(measure, change='skip'), flops=flops,
  metrics=_metrics('skip', 'one layer left out'), default=True)

SWAPPING = dataclasses.replace(
  INSTRUMENT, name='swapping', title='Does the order of layers matter?',
  says='The same when a layer and the next change places. Layers that can be '
       'swapped do not build on one another.',
  measure=functools.partial(measure, change='swap'),
  metrics=_metrics('swap', 'swapped with the next layer'), default=False,
  refusal=_distinct)

REPEATING = dataclasses.replace(
  INSTRUMENT, name='repeating', title='Can a layer be run twice?',
  says='The same when a layer is run twice in a row.',
  measure=functools.partial(measure, change='repeat'),
  metrics=_metrics('repeat', 'run twice'), default=False)
