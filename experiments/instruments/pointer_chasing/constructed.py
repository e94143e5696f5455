"""Networks that follow links, with weights set by hand.

Both are ordinary `model`s: bidirectional, without positions. They say what a
number of layers can do, as training cannot: two layers answer up to four links
of a cycle exactly, and one layer answers two. So where a trained network fails
at these, it was not unable, it had not learned.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np

import model
from data.sources.pointer_chasing import PointerChasing
from model.language_model import Params

# A constant feature far larger than all others keeps the root mean square, and
# with it the norm's gain, the same at every position to one part in 10^3.
BALLAST = 100.0
SHARPNESS = 50.0  # of scores and logits; a softmax of 0s and this is hard

Features = Mapping[str, np.ndarray]  # name → where it lies in the model width


def two_layers(source: PointerChasing) -> tuple[model.ModelConfig, Params]:
  """Answers one to four links, with two heads.

  In layer 1 one head lets whoever holds a symbol (an edge a → b its end b, a
  query its x) find the edge that starts there, and copies where that ends: an
  edge learns its successor c, a query y, one link on. Another head lets each
  edge find the edge that ends at a, and copies its start z. An edge then spans
  z → a → b → c. In layer 2 a query finds the edge whose z is its y, and copies
  all four symbols, which are 1, 2, 3 and 4 links from x; the feed-forward picks
  the one that is asked for.

  Args:
    source: asks for links up to 4, without chain of thought.

  Returns:
    The config and the parameters.

  Raises:
    ValueError: it asks for more.
  """
  _check(source, most=4)
  v = source.symbols
  features, width = _lay_out({
    'start': v, 'end': v, 'asked': v, 'hops': len(source.hops), 'next': v,
    'before': v, 'read': 4 * v, 'answer': v})
  config, params = _empty(source, width, n_layers=2, d_head=4 * v,
                          units=len(source.hops) * v)
  edge = np.arange(v * v)
  embedding_VD = params['token_embedding']['embedding_VD']
  embedding_VD[edge, features['start'][edge // v]] = 1
  embedding_VD[edge, features['end'][edge % v]] = 1
  _write_ends(source, params, features)
  mixer = params['stack']['mixer']
  for holds in ('end', 'asked'):
    _match(mixer, 0, 0, features[holds], features['start'])
  _copy(mixer, 0, 0, features['end'], features['next'])
  _match(mixer, 0, 1, features['start'], features['end'])
  _copy(mixer, 0, 1, features['start'], features['before'])
  _match(mixer, 1, 0, features['next'], features['before'])
  spans = [features[name] for name in ('before', 'start', 'end', 'next')]
  _copy(mixer, 1, 0, np.concatenate(spans), features['read'])
  links = features['read'].reshape(4, v)
  for unit, (group, symbol) in enumerate(np.ndindex(len(source.hops), v)):
    read = links[source.hops[group] - 1, symbol]
    _all_of(params, 1, unit, [read, features['hops'][group]],
            features['answer'][symbol])
  return config, params


def one_layer(source: PointerChasing) -> tuple[model.ModelConfig, Params]:
  """Answers one and two links, with two heads and v (v - 1) units for two.

  One head finds the edge that starts at x and copies its end y. The other
  attends to everything alike, so a query holds the bag of all edges. For each
  pair of symbols a feed-forward unit is on when y is the first and the edge
  from it to the second lies in the bag: the whole cycle, looked up at y.

  Args:
    source: asks for links up to 2, without chain of thought.

  Returns:
    The config and the parameters.

  Raises:
    ValueError: it asks for more.
  """
  _check(source, most=2)
  v = source.symbols
  features, width = _lay_out({
    'edge': v * v, 'asked': v, 'hops': len(source.hops), 'next': v,
    'answer': v})
  pairs = [(a, b) for a, b in np.ndindex(v, v) if a != b]
  config, params = _empty(
    source, width, n_layers=1, d_head=v * v,
    units=sum({1: v, 2: len(pairs)}[k] for k in source.hops))
  edge, symbol = np.arange(v * v), np.arange(v)
  params['token_embedding']['embedding_VD'][edge, features['edge'][edge]] = 1
  _write_ends(source, params, features)
  mixer = params['stack']['mixer']
  mixer['w_q_DHK'][0, features['asked'], 0, symbol] = (
    SHARPNESS * math.sqrt(v * v))
  mixer['w_k_DGK'][0, features['edge'][edge], 0, edge // v] = 1
  mixer['w_v_DGK'][0, features['edge'][edge], 0, edge % v] = 1
  mixer['w_o_HKD'][0, 0, symbol, features['next']] = 1
  # Scores of 0: each edge has a weight of one over the length. A query holds
  # no edge of its own, so the bag fits where an edge holds itself.
  mixer['w_v_DGK'][0, features['edge'], 1, edge] = 1
  mixer['w_o_HKD'][0, 1, edge, features['edge']] = source.length
  lookups: list[tuple[list[np.ndarray], int]] = []
  for k, asked in zip(source.hops, features['hops']):
    one = [([features['next'][b], asked], b) for b in symbol]
    two = [([features['next'][a], features['edge'][a * v + b], asked], b)
           for a, b in pairs]
    lookups += {1: one, 2: two}[k]
  for unit, (needed, b) in enumerate(lookups):
    _all_of(params, 0, unit, needed, features['answer'][b])
  return config, params


def _check(source: PointerChasing, most: int) -> None:
  if source.chain_of_thought or max(source.hops) > most:
    raise ValueError(f'hops: {source.hops} must be answered at once, and be '
                     f'at most {most}')


def _lay_out(sizes: Mapping[str, int]) -> tuple[Features, int]:
  """Gives each feature its place; the ballast comes last."""
  ends = np.cumsum(list(sizes.values()))
  features = {name: np.arange(end - size, end)
              for (name, size), end in zip(sizes.items(), ends)}
  width = int(ends[-1]) + 1
  return {**features, 'ballast': np.array([width - 1])}, width


def _empty(source: PointerChasing, width: int, n_layers: int, d_head: int,
           units: int) -> tuple[model.ModelConfig, Params]:
  """A network of these sizes whose weights are all 0."""
  config = model.ModelConfig(
    n_layers=n_layers, d_model=width,
    mixer=model.AttentionConfig(n_heads=2, d_head=d_head),
    position=model.NoPosition(), mask='bidirectional', norm='rms',
    feed_forward=model.PlainFeedForward(units / width, 'relu'),
    parameterisation='standard',
    vocab_size=source.vocab_size, max_length=source.length)
  return config, jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, np.float32),
    jax.eval_shape(lambda key: model.init(config, key), jax.random.key(0)))


def _write_ends(source: PointerChasing, params: Params,
                features: Features) -> None:
  """Sets what every token holds, the queries, the norms, the unembedding."""
  h, ballast = len(source.hops), features['ballast'][0]
  embedding_VD = params['token_embedding']['embedding_VD']
  query = np.arange(source.symbols * h)
  embedding_VD[source.first_query + query, features['asked'][query // h]] = 1
  embedding_VD[source.first_query + query, features['hops'][query % h]] = 1
  embedding_VD[:, ballast] = BALLAST
  # Undoes the norm's gain, and hides the ballast from the branches.
  for norm in (params['norm'], params['stack']['mixer_norm'],
               params['stack']['ffn_norm']):
    norm['scale_D'][...] = BALLAST / math.sqrt(ballast + 1)
    norm['scale_D'][..., ballast] = 0
  symbol = np.arange(source.symbols)
  params['unembedding']['w_DV'][
    features['answer'], source.first_symbol + symbol] = SHARPNESS


def _match(mixer: Params, layer: int, head: int, query: np.ndarray,
           key: np.ndarray) -> None:
  """Has a head attend to where `key` holds the symbol of `query`."""
  channel = np.arange(len(key))
  d_head = mixer['w_q_DHK'].shape[-1]
  mixer['w_q_DHK'][layer, query, head, channel] = SHARPNESS * math.sqrt(d_head)
  mixer['w_k_DGK'][layer, key, head, channel] = 1


def _copy(mixer: Params, layer: int, head: int, read: np.ndarray,
          write: np.ndarray) -> None:
  """Has a head copy the features `read` to `write`."""
  channel = np.arange(len(read))
  mixer['w_v_DGK'][layer, read, head, channel] = 1
  mixer['w_o_HKD'][layer, head, channel, write] = 1


def _all_of(params: Params, layer: int, unit: int,
            needed: Sequence[np.ndarray], write: int | np.ndarray) -> None:
  """Has a unit be 1 where all the features are 1, and write that."""
  ffn = params['stack']['ffn']
  ffn['w_up_DF'][layer, needed, unit] = 1
  ffn['b_up_F'][layer, unit] = 1 - len(needed)
  ffn['w_down_FD'][layer, unit, write] = 1
