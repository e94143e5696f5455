"""Which tokens a prediction hangs on: integrated gradients.

Of the log-probability F of the next token, along the straight line from a
baseline x' to the embeddings x (Sundararajan et al., 2017): the attribution of
a position is (x - x') times the mean of the gradient on the way, summed over
the width. Attributions add up to F(x) - F(x'), which is checked of each
prediction; where they miss it by more than GATE, the way is cut into more
steps.

The baseline has at each position another token of the same text, drawn at
random, and at the first, where many models keep what belongs to no token, the
same. Zero and the mean embedding, the usual choices, put one vector at every
position; on the way from there a language model jumps, and no number of steps
that one can pay for adds up.

Whether what it names is what matters is seen by deletion (Samek et al., 2017):
positions are given the baseline's tokens one after the other, the most
attributed first, and the prediction falls faster than in random order, or not.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import stream
from experiments.instruments.instrument import (
  Given,
  Instrument,
  scores_words,
)
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig, count

STEPS = 32  # of Gauss and Legendre, on each piece of the way
MOST = 8  # pieces
TOGETHER = 17  # points of the way, of which a piece has STEPS and its two ends
GATE = .01  # of F(x) - F(x')
LEAST = .1  # bits, which a difference counts as if it is smaller
TARGETS = 8  # predictions, evenly spread
CONTEXT = 32  # positions that they may hang on, where a model looks back alone
SHARES = 8  # of the positions, deleted one after the other
ORDERS = 4  # random ones
SEED = 0
BITS_PER_NAT = 1.4426950408889634  # 1 / ln 2


class Attribution(NamedTuple):
  """Of one prediction.

  Attributes:
    bits_T: of each position.
    difference: F(x) - F(x'), bits.
    error: |sum of bits_T - difference| / max(|difference|, LEAST).
    steps: gradients on the way.
  """

  bits_T: np.ndarray
  difference: float
  error: float
  steps: int


def measure(given: Given) -> list[Row]:
  """Attributes a few predictions.

  Returns:
    `completeness_error`: the largest; `complete_share` of the predictions:
    those within GATE, of which alone the rest is; `gradient_steps`: mean;
    `attribution_share` by distance (0 is the token last read, else the least
    of a power of two): of the sum of absolute values, mean;
    `deletion_drop` by order ('attributed', 'random'): how far the
    log-probability falls, bits, mean over shares deleted. No rows where
    nothing is scored.
  """
  with jax.default_matmul_precision('highest'):
    return _rows(given.network.in_float32(), given)


def _rows(network: Network, given: Given) -> list[Row]:
  rows = [(row, others(row, given.passages, number)) for number, row
          in enumerate(targets(given.passages, network.config))]
  if not rows:
    return []
  found = [attribute(network, row, other) for row, other in rows]
  complete = [(row, other, each) for (row, other), each in zip(rows, found)
              if each.error <= GATE]
  measured = [
    Row('completeness_error', max(each.error for each in found)),
    Row('complete_share', len(complete) / len(found)),
    Row('gradient_steps', float(np.mean([each.steps for each in found])))]
  if complete:
    share = np.mean([_by_distance(row, each) for row, _, each in complete],
                    axis=0)
    measured += [
      Row('attribution_share', float(value), {'distance': 2**number // 2})
      for number, value in enumerate(share) if value > 0]
    drop = np.mean([deletion(network, row, other, each.bits_T)
                    for row, other, each in complete], axis=0)
    measured += [Row('deletion_drop', float(value), {'order': order})
                 for order, value in zip(('attributed', 'random'), drop)]
  return measured


def targets(passages: Passages, config: ModelConfig) -> list[Passages]:
  """Single rows, each with weight on the one position that is asked about."""
  width = CONTEXT if config.mask == 'causal' else passages.tokens_BT.shape[1]
  passages = Passages(*(np.asarray(x)[:, :width] if np.ndim(x) > 1
                        else np.asarray(x) for x in passages))
  row_B, position_B = np.nonzero(passages.weights_BT)
  late = position_B > 0  # what hangs on one token needs no attribution
  row_B, position_B = row_B[late], position_B[late]
  chosen = np.unique(np.linspace(0, len(row_B) - 1, min(TARGETS, len(row_B))
                                 ).round().astype(int))
  rows = []
  for row, position in zip(row_B[chosen], position_B[chosen]):
    one = Passages(*(x[row:row + 1] for x in passages))
    weights_BT = np.zeros_like(one.weights_BT)
    weights_BT[0, position] = 1
    rows.append(one._replace(weights_BT=weights_BT))
  return rows


def others(row: Passages, passages: Passages, seed: int) -> Passages:
  """The baseline of a row: other tokens of the text at all places but one."""
  drawn_BT = np.random.default_rng((SEED, seed)).choice(
    np.asarray(passages.tokens_BT)[np.asarray(passages.valid_BT)],
    size=row.tokens_BT.shape)
  drawn_BT[:, 0] = row.tokens_BT[:, 0]
  return row._replace(tokens_BT=drawn_BT)


def attribute(network: Network, row: Passages, other: Passages) -> Attribution:
  """Integrates the gradient of one prediction.

  Attributions of a piece of the way add up to what F changes along it, so the
  piece that misses it by most is halved until all together are within GATE.
  """
  def piece(first: float, last: float) -> tuple[float, float, np.ndarray,
                                                float, float]:
    bits_T, start, end = map(np.asarray, _piece(
      network, row, other, first, last))
    return first, last, bits_T, float(start), float(end)

  def miss(piece: tuple[float, float, np.ndarray, float, float]) -> float:
    _, _, bits_T, start, end = piece
    return abs(float(bits_T.sum()) - (end - start))

  pieces = [piece(0.0, 1.0)]
  _, _, _, start, end = pieces[0]
  difference = end - start
  done = 1
  size = max(abs(difference), LEAST)
  while sum(map(miss, pieces)) > GATE * size and len(pieces) < MOST:
    worst = max(pieces, key=miss)
    pieces.remove(worst)
    first, last, *_ = worst
    middle = (first + last) / 2
    pieces += [piece(first, middle), piece(middle, last)]
    done += 2
  bits_T = np.sum([bits_T for _, _, bits_T, _, _ in pieces], axis=0)
  error = abs(float(bits_T.sum()) - difference) / size
  return Attribution(bits_T, difference, error, done * STEPS)


def deletion(network: Network, row: Passages, other: Passages,
             bits_T: np.ndarray) -> tuple[float, float]:
  """How far F falls, mean over shares deleted: as attributed, and at random."""
  seen_T = _seen(row, network.config)
  (places,) = np.nonzero(seen_T)
  rng = np.random.default_rng(SEED)
  orders = [places[np.argsort(-bits_T[places], kind='stable')],
            *(rng.permutation(places) for _ in range(ORDERS))]
  drops = []
  for order in orders:
    rank_T = np.full(len(seen_T), len(seen_T))
    rank_T[order] = np.arange(len(order))
    counts = np.linspace(0, len(order), SHARES + 1).round()
    bits_B = np.asarray(_without(network, row, other,
                                 rank_T < counts[:, None]))
    drops.append(float(np.mean(bits_B[0] - bits_B[1:])))
  return drops[0], float(np.mean(drops[1:]))


def _seen(row: Passages, config: ModelConfig) -> np.ndarray:
  """Which positions the prediction can hang on, (T,)."""
  seen_T = np.asarray(row.valid_BT[0]).copy()
  if config.mask == 'causal':
    seen_T[int(np.argmax(row.weights_BT)) + 1:] = False
  return seen_T


def _by_distance(row: Passages, found: Attribution) -> np.ndarray:
  """Shares of distances 0, 1, 2 and 3, 4 to 7, …"""
  distance_T = np.abs(int(np.argmax(row.weights_BT))
                      - np.arange(len(found.bits_T)))
  number_T = np.ceil(np.log2(distance_T + 1)).astype(int)
  share = np.bincount(number_T, np.abs(found.bits_T),
                      minlength=len(found.bits_T).bit_length() + 1)
  return share / max(share.sum(), 1e-30)


def _bits(network: Network, row: Passages, x_BTD: jax.Array) -> jax.Array:
  """F of embeddings, (B,): log2 of the target's probability."""
  position = jnp.argmax(row.weights_BT[0])
  rows = Passages(*(jnp.broadcast_to(x, (len(x_BTD), *x.shape[1:]))
                    for x in row))
  taps = network.apply(
    rows, {'resid_post': lambda x_BTD: x_BTD[:, position]},
    stream.write(network.config, 0, x_BTD)).taps
  logits_BV = network.unembed(taps['resid_post'][-1][:, None])[:, 0]
  return BITS_PER_NAT * jax.nn.log_softmax(logits_BV)[
    :, row.targets_BT[0, position]]


@jax.jit
def _piece(network: Network, row: Passages, other: Passages,
           first: jax.Array, last: jax.Array):
  """Attributions of [first, last] of the way, (T,), and F at its ends."""
  node, weight = np.polynomial.legendre.leggauss(STEPS)
  node = np.concatenate([[-1, 1], node])
  weight = np.concatenate([[0, 0], weight]) / 2
  start_TD, x_TD = (network.embed(each)[0].astype(jnp.float32)
                    for each in (other, row))
  way_TD = x_TD - start_TD
  share = first + (last - first) * (node + 1) / 2

  def slope(share: jax.Array) -> tuple[jax.Array, jax.Array]:
    x_BTD = start_TD + share[:, None, None] * way_TD
    bits_B, pull = jax.vjp(functools.partial(_bits, network, row), x_BTD)
    (slope_BTD,) = pull(jnp.ones_like(bits_B))
    return bits_B, slope_BTD

  bits, slope_TD = jax.lax.map(slope, share.reshape(-1, TOGETHER))
  slope_TD = slope_TD.reshape(-1, *way_TD.shape)
  mean_TD = jnp.tensordot(jnp.asarray(weight, jnp.float32), slope_TD, 1)
  bits = bits.reshape(-1)
  return (last - first) * jnp.sum(mean_TD * way_TD, axis=-1), bits[0], bits[1]


@jax.jit
def _without(network: Network, row: Passages, other: Passages,
             deleted_BT: jax.Array) -> jax.Array:
  """F with the tokens of the baseline at some positions, (B,)."""
  start_BTD, x_BTD = map(network.embed, (other, row))
  return _bits(network, row,
               jnp.where(deleted_BT[..., None], start_BTD, x_BTD))


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """As if one piece were enough of each prediction."""
  del calibration
  width = min(tokens, CONTEXT)
  once = (count.flops(config, width).stack
          + count.flops(config, 1).unembedding)
  points = 3 * (STEPS + 2) + (1 + ORDERS) * (SHARES + 1)
  return float(min(TARGETS, tokens) * points * once)


INSTRUMENT = Instrument(
  name='attribution',
  title='Which tokens a prediction hangs on',
  says='Each prediction’s log-probability is shared out among the tokens that '
       'were read, so that the shares add up. Deleting tokens in that order '
       'hurts it more than deleting them at random, if the shares are right.',
  source='Sundararajan et al., 2017',
  measure=measure, flops=flops, refusal=scores_words,
  metrics={
    'completeness_error': 'largest error of the sum, of its value',
    'complete_share': 'share of predictions within 1 %',
    'gradient_steps': 'gradients for one prediction',
    'attribution_share': 'share of the attribution',
    'deletion_drop': 'bits that the target loses'})
