"""Networks whose weights are set by hand, so that the answers are known.

An instrument earns trust by returning the known layer on a network where there
is one. The tree reader here is an ordinary `model` that computes exact bottom-
up inference on a tree grammar, one level in each of the layers it is told to.
"""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

import model
from data import Instance
from data.sources.tree import Tree
from model.language_model import Params

# A constant feature far larger than all others keeps the root mean square, and
# with it the norm's gain, the same at every position to one part in 10^3.
BALLAST = 100.0
SHARPNESS = 50.0  # of scores and logits; a softmax of 0s and this is hard


def tree_reader(source: Tree, instance: Instance,
                write_layers: Sequence[int],
                n_layers: int = 0) -> tuple[model.ModelConfig, Params]:
  """Builds a network that reads a tree grammar's leaves up to the root.

  Layer `write_layers[k - 1]` (layers counted from 1) writes the symbol of each
  node of level k, one-hot, at all leaf positions under the node: attention
  fetches the sibling's symbol from the same place in the sibling's subtree,
  and one feed-forward unit for each ordered pair of symbols looks up their
  parent. The last layer copies the root to the query position, where the
  unembedding reads it. All other layers do nothing. Masked leaves read as no
  symbol, and nothing is then written above them.

  So, in streams (see `stream`): level k is linearly decodable at its span from
  `write_layers[k - 1]` on. The prediction hangs on it from there until the
  level above is written; the root, from then on.

  Args:
    source: an unfiltered tree.
    instance: its grammar.
    write_layers: ascending, one for each level from 1 to the root.
    n_layers: n; 0: one more than the last of `write_layers`.

  Returns:
    The config and the parameters of an ordinary model.

  Raises:
    ValueError: no network can have these layers.
  """
  n_layers = n_layers or write_layers[-1] + 1
  ascending = [0, *write_layers, n_layers]
  if (source.filter_level or len(write_layers) != source.levels
      or any(a >= b for a, b in itertools.pairwise(ascending))):
    raise ValueError(
      f'write_layers: {tuple(write_layers)} must ascend, one for each of the '
      f'{source.levels} levels of an unfiltered tree, and end below '
      f'n_layers={n_layers}')
  features = _Features(source)
  config = _config(source, features.width, n_layers)
  params = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, np.float32),
    jax.eval_shape(lambda key: model.init(config, key), jax.random.key(0)))
  _write_ends(params, features, source)
  for level, layer in enumerate(write_layers, start=1):
    _write_level(params['stack'], layer - 1, level, features, source, instance)
  _write_copy(params['stack'], n_layers - 1, features, source)
  return config, params


class _Features:
  """Where each feature lies in the model width."""

  def __init__(self, source: Tree):
    symbols, levels = source.symbols, source.levels
    self.position = np.arange(source.length)
    slots = source.length + np.arange((2 * levels + 2) * symbols).reshape(
      -1, symbols)
    self.own = slots[:levels + 1]  # by level: the node's symbol
    self.sibling = slots[levels + 1:2 * levels + 1]  # by level below the root
    self.answer = slots[-1]
    self.ballast = int(slots[-1, -1]) + 1
    self.width = self.ballast + 1


def _config(source: Tree, width: int, n_layers: int) -> model.ModelConfig:
  """A Transformer with one head and a feed-forward unit for each pair."""
  units = 2 * source.symbols**2
  return model.ModelConfig(
    n_layers=n_layers, d_model=width, mixer=model.AttentionConfig(
      n_heads=1, d_head=max(source.length, source.symbols)),
    position=model.LearnedPosition(),
    mask='bidirectional', norm='rms',
    feed_forward=model.PlainFeedForward(units / width, 'relu'),
    parameterisation='standard',
    vocab_size=source.vocab_size, max_length=source.length)


def _write_ends(params: Params, features: _Features, source: Tree) -> None:
  """Sets the embeddings, the norms and the unembedding."""
  symbols = np.arange(source.symbols)
  embedding_VD = params['token_embedding']['embedding_VD']
  embedding_VD[symbols, features.own[0]] = 1
  embedding_VD[:, features.ballast] = BALLAST
  params['position_embedding']['embedding_TD'][
    features.position, features.position] = 1
  # Undoes the norm's gain, and hides the ballast from the branches.
  for norm in (params['norm'], params['stack']['mixer_norm'],
               params['stack']['ffn_norm']):
    norm['scale_D'][...] = BALLAST / np.sqrt(features.width)
    norm['scale_D'][..., features.ballast] = 0
  params['unembedding']['w_DV'][features.answer, symbols] = SHARPNESS


def _write_attention(stack: Params, layer: int, partner_T: np.ndarray,
                     read: np.ndarray, write: np.ndarray) -> None:
  """Has position t copy the features `read` of partner_T[t] to `write`."""
  mixer = stack['mixer']
  position_T = np.arange(len(partner_T))
  head_width = mixer['w_q_DHK'].shape[-1]
  mixer['w_q_DHK'][layer, position_T, 0, partner_T] = (
    SHARPNESS * np.sqrt(head_width))
  mixer['w_k_DGK'][layer, position_T, 0, position_T] = 1
  channel = np.arange(len(read))
  mixer['w_v_DGK'][layer, read, 0, channel] = 1
  mixer['w_o_HKD'][layer, 0, channel, write] = 1


def _write_level(stack: Params, layer: int, level: int, features: _Features,
                 source: Tree, instance: Instance) -> None:
  """Has a layer compute the nodes of a level from those one level down."""
  leaf_T = np.arange(source.length) - 1
  sibling_T = np.where(leaf_T < 0, 0, 1 + (leaf_T ^ 2**(level - 1)))
  own, sibling = features.own[level - 1], features.sibling[level - 1]
  _write_attention(stack, layer, sibling_T, own, sibling)
  parent_VV = np.argmax(instance['transition_VVV'], axis=0)
  side_T = (leaf_T >> (level - 1)) % 2
  ffn, unit = stack['ffn'], 0
  for side in (0, 1):
    positions = features.position[(leaf_T >= 0) & (side_T == side)]
    for pair in np.ndindex(parent_VV.shape):
      # The unit is on when all three are there: side, own and sibling.
      ffn['w_up_DF'][layer, positions, unit] = 1
      ffn['w_up_DF'][layer, own[pair[side]], unit] = 1
      ffn['w_up_DF'][layer, sibling[pair[1 - side]], unit] = 1
      ffn['b_up_F'][layer, unit] = -2
      ffn['w_down_FD'][layer, unit, features.own[level][parent_VV[pair]]] = 1
      unit += 1


def _write_copy(stack: Params, layer: int, features: _Features,
                source: Tree) -> None:
  """Has a layer copy the root's symbol from the leaves to the query."""
  from_first_leaf_T = np.full(source.length, 1)
  _write_attention(stack, layer, from_first_leaf_T,
                   features.own[source.levels], features.answer)
