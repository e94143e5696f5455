"""Lenses: what the model would say if it stopped after each layer.

A lens carries every layer's residual stream to where the last layer leaves it,
and reads it there with the model's own final norm and unembedding. The logit
lens (nostalgebraist, 2020) carries nothing: a layer may know what it does not
yet say in the output's own basis, so it is pessimistic. The others differ in
the affine map that they put there, and in nothing else.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments.instrument import (
  RANDOM,
  Given,
  Instrument,
  scores_words,
)
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages, parts, scored
from experiments.runs.subject import Row
from model import ModelConfig

BITS_PER_NAT = 1.4426950408889634  # 1 / ln 2
TOP = 5  # words whose overlap is taken
POSITIONS = 384  # scored at most; of the random baseline fewer
BASELINE_POSITIONS = 128
BASELINE_TOKENS = 1024
BASELINE_SHARE = 4  # of what the Jacobian lens is fitted on: a fourth
TOGETHER = 512  # tokens read at a time, about
LOGITS = 2**24  # held at a time, about

METRICS: Mapping[str, str] = {
  'lens_bits': 'cross-entropy of the next token (bits)',
  'lens_divergence': 'KL(last layer || this layer) (bits)',
  'lens_agreement': 'share with the last layer’s likeliest token',
  'lens_overlap': f'share of the last layer’s {TOP} likeliest tokens',
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Transport:
  """What a lens does with streams 0 to n - 1; stream n is left as it is.

  Attributes:
    w_NDD: what a stream is multiplied by, `x @ w`; None: the identity.
    b_ND: what is then added to a product; None: nothing.
  """

  w_NDD: jax.Array | None = None
  b_ND: jax.Array | None = None

  def carry(self, layer: jax.Array, x_TD: jax.Array) -> jax.Array:
    """Stream `layer` of T positions; the layer may be traced."""
    if self.w_NDD is None:
      return x_TD
    last = len(self.w_NDD)
    place = jnp.minimum(layer, last - 1)
    # In full precision a lens of identities is the logit lens to the last bit.
    y_TD = jnp.matmul(x_TD.astype(jnp.float32), self.w_NDD[place],
                      precision='highest')
    if self.b_ND is not None:
      y_TD += self.b_ND[place]
    return jnp.where(layer == last, x_TD, y_TD.astype(x_TD.dtype))


LOGIT = Transport()


class Lens(NamedTuple):
  """Means over scored positions; N is the n + 1 streams.

  Attributes:
    bits_N: cross-entropy of the target, bits a position. Times `positions`,
      over the bytes these stand for, it is bits a byte.
    divergence_N: KL(last layer || this layer), bits a position; the last
      entry is exactly 0.
    agreement_N: share of positions whose likeliest token is the last layer's.
    overlap_N: share of the last layer's five likeliest that are among this
      one's.
    positions: sum of the weights, a scalar.
  """

  bits_N: np.ndarray
  divergence_N: np.ndarray
  agreement_N: np.ndarray
  overlap_N: np.ndarray
  positions: jax.Array | float


class Scored(NamedTuple):
  """The streams at T scored positions; those that fill up have no weight."""

  stream_NTD: jax.Array
  targets_T: jax.Array
  weights_T: jax.Array


def streams(network: Network, passages: Passages) -> Scored:
  """Streams 0 to n at the scored positions; the rest never leaves a layer."""
  length = passages.tokens_BT.shape[1]
  found = [part for part in parts(passages, max(1, TOGETHER // length))
           if np.any(part.weights_BT)]
  most = max(np.count_nonzero(part.weights_BT) for part in found)
  stream, *others = zip(*(_streams(network, part, most) for part in found))
  return Scored(jnp.concatenate(stream, axis=1), *map(jnp.concatenate, others))


@functools.partial(jax.jit, static_argnames='most')
def _streams(network: Network, passages: Passages, most: int) -> Scored:
  place = jnp.flatnonzero(passages.weights_BT, size=most, fill_value=-1)

  def pick(x_BT: jax.Array) -> jax.Array:
    return x_BT.reshape(-1, *x_BT.shape[2:])[place]

  return Scored(network.stream(passages, pick), pick(passages.targets_BT),
                jnp.where(place < 0, 0.0, pick(passages.weights_BT)))


def read(network: Network, scored: Scored,
         transport: Transport = LOGIT) -> Lens:
  """Reads out every layer of a model.

  Logits exist of some positions and one layer at a time, beside the last
  layer's.

  Args:
    network: has logits.
    scored: its streams.
    transport: what makes the lens.

  Returns:
    The readings, stream 0 (the embeddings) first.
  """
  sums: Lens | None = None
  for piece in pieces(scored, network.config.vocab_size):
    one = _sums(network, transport, piece)
    sums = one if sums is None else jax.tree.map(jnp.add, sums, one)
  assert sums, 'no position is scored'
  positions = float(sums.positions)
  bits_N, divergence_N, agreement_N, overlap_N = (
    np.asarray(x_N, np.float64) / positions for x_N in sums[:-1])
  return Lens(bits_N, divergence_N, agreement_N, overlap_N, positions)


def pieces(scored: Scored, vocabulary: int) -> Iterator[Scored]:
  """Of one size, for as many logits as are held at a time."""
  count = len(scored.targets_T)
  size = math.ceil(count / math.ceil(count * vocabulary / LOGITS))
  for first in range(0, count, size):
    part = slice(first, first + size)
    missing = size - len(scored.targets_T[part])
    yield Scored(
      jnp.pad(scored.stream_NTD[:, part], ((0, 0), (0, missing), (0, 0))),
      *(jnp.pad(x_T[part], (0, missing)) for x_T in scored[1:]))


@jax.jit
def _sums(network: Network, transport: Transport, scored: Scored) -> Lens:
  stream_NTD, targets_T, weights_T = scored
  n_layers, vocabulary = network.config.n_layers, network.config.vocab_size
  top = min(TOP, vocabulary)

  def read_out(last, x_and_layer):
    x_TD, layer = x_and_layer
    log_TV = jax.nn.log_softmax(logits(network, transport, layer, x_TD))
    # XLA:CPU sorts the whole vocabulary where it sees that less is used of
    # them than five; the barrier hides it.
    top_T5 = jax.lax.optimization_barrier(jax.lax.top_k(log_TV, top)[1])
    last_TV, last_T5 = last = jax.tree.map(
      functools.partial(jnp.where, layer == n_layers), (log_TV, top_T5), last)
    target_T = jnp.take_along_axis(log_TV, targets_T[:, None], axis=1)[:, 0]
    divergence_T = jnp.sum(jnp.exp(last_TV) * (last_TV - log_TV), axis=1)
    both_T = jnp.sum(top_T5[:, :, None] == last_T5[:, None, :], axis=(1, 2))
    return last, (
      -BITS_PER_NAT * target_T @ weights_T,
      BITS_PER_NAT * divergence_T @ weights_T,
      (top_T5[:, 0] == last_T5[:, 0]) @ weights_T,
      both_T / top @ weights_T)

  # From the last layer down, so that the reference is made by the same
  # compiled body as what it is compared with, and agrees to the last bit.
  start = (jnp.zeros((len(targets_T), vocabulary)),
           jnp.zeros((len(targets_T), top), jnp.int32))
  _, (bits_N, divergence_N, agreement_N, overlap_N) = jax.lax.scan(
    read_out, start, (stream_NTD, jnp.arange(n_layers + 1)), reverse=True)
  return Lens(bits_N, divergence_N, agreement_N, overlap_N,
              jnp.sum(weights_T))


def logits(network: Network, transport: Transport, layer: jax.Array,
           x_TD: jax.Array) -> jax.Array:
  """What a lens makes of stream `layer` at T positions, (T,V)."""
  return network.unembed(transport.carry(layer, x_TD)[None])[0]


def rows(given: Given, name: str,
         fit: Callable[[Given], Transport]) -> list[Row]:
  """A lens of the network, and of its random baseline on less text."""
  found = []
  for own, where in ((given, {}), (baseline(given), RANDOM)):
    seen = read(own.network, own.once(_scored), own.once(fit))
    found += [
      Row(metric, float(value), {'lens': name, 'layer': layer, **where})
      for metric, value_N in zip(METRICS, seen[:-1])
      for layer, value in enumerate(value_N)]
  return found


def _scored(given: Given) -> Scored:
  return streams(given.network, scored(given.passages, POSITIONS))


def baseline(given: Given) -> Given:
  """The random network, with as much text as tells that it knows nothing."""
  return given.once(_baseline)


def _baseline(given: Given) -> Given:
  calibration = given.calibration
  return dataclasses.replace(
    given, network=given.baseline, untrained=None,
    passages=scored(first(given.passages, BASELINE_TOKENS),
                    BASELINE_POSITIONS),
    calibration=calibration and first(calibration, BASELINE_TOKENS),
    jacobian_tokens=given.jacobian_tokens // BASELINE_SHARE,
    folder=given.folder and given.folder / 'random')


def first(passages: Passages, tokens: int) -> Passages:
  """The windows with the first `tokens` tokens, and at least one."""
  before_B = np.cumsum(passages.valid_BT.sum(1)) - passages.valid_BT.sum(1)
  return Passages(*(x[before_B < tokens] for x in passages))


def readable(given: Given) -> str:
  """Refuses what has no logits, or nothing to predict."""
  if why := scores_words(given):
    return why
  if not np.any(given.passages.weights_BT):
    return 'the text has no token after its first; give a longer one'
  return ''


def reading_flops(config: ModelConfig, tokens: int,
                  transported: bool = True) -> float:
  """Of one lens over a network and its baseline."""
  positions = (min(tokens, POSITIONS) + min(tokens, BASELINE_POSITIONS))
  layers = config.n_layers + 1
  carried = 2 * config.n_layers * config.d_model**2 if transported else 0
  vocabulary = 2 * layers * config.d_model * config.vocab_size
  return (forward_flops(config, tokens)
          + forward_flops(config, min(tokens, BASELINE_TOKENS))
          + positions * (carried + vocabulary))


def identity(given: Given) -> Transport:
  """That of the logit lens, which is fitted on nothing."""
  del given
  return LOGIT


def _flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  del calibration
  return reading_flops(config, tokens, transported=False)


def _measure(given: Given) -> list[Row]:
  return rows(given, 'logit', identity)


INSTRUMENT = Instrument(
  name='logit-lens', title='Where predictions form: the logit lens',
  says='What the model would predict if it stopped after each layer, read with '
       'its own output. It is pessimistic: a layer may know more than it says '
       'in the output’s own terms.',
  source='nostalgebraist, 2020', measure=_measure, flops=_flops,
  metrics=METRICS, default=True, refusal=readable)
