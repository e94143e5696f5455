"""Does the network use what a layer knows, as exact inference would?

An interchange intervention (Geiger et al., 2021) runs the network on a base
sentence, and at one layer puts in what a source sentence would have put there,
in one subspace only: for a node of the tree, the one spanned by the differences
between the means of the stream for each symbol of the node, at each of the
node's own leaf positions and at the query. The prediction should become the one
that exact inference makes when the node has the source's symbol. The
interchange accuracy is the share of pairs in which it does.

Three rules keep it honest:

* Where nothing is computed yet, the subspace holds the leaves themselves.
  Taking them all from one source would just replace the subtree in the input,
  right at layer 0 for every level. So each position takes its part from a
  source of its own, all of them agreeing in the node's symbol and in nothing
  else (as in causal scrubbing: Chan et al., 2022).
* Pairs count only where the expected prediction differs from that for the base,
  and from that for the leaves which the sources have at these positions. A
  network that is right about every sentence then scores 0 at layer 0, and
  nearly 1 where it keeps the symbol itself and works with it. See `pairs`.
* The subspace is fitted, and sources are drawn, on other sentences than those
  that are scored, and none of these is one to train on.

A layer that has moved on to the level above still scores what the node's symbol
tells by itself about its parent: read a fall after a peak, not its bottom.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import model
from data import Instance
from data.sources.tree import Tree
from experiments.instruments import stream
from experiments.instruments.tree import nodes
from experiments.instruments.tree.pairs import Pairs, Pool, draw
from model.language_model import Params

EXAMPLES = 2048  # to fit subspaces on and draw sources from
PAIRS = 256  # a level; the standard error of a share is then 0.03 at most
# Directions in which class means differ by less than this share of the most
# are rounding error.
NOISE_FLOOR = 1e-3


class Interchange(NamedTuple):
  """Shares of pairs; arrays (n + 1, levels) unless said otherwise.

  Attributes:
    levels: the levels of the columns, ascending.
    accuracy: interchange accuracy of the network.
    accuracy_random: with a random subspace of the same rank instead.
    accuracy_init: of the network before training, with its own subspace.
    ceiling: (levels,), share of the pairs that the network gets right when the
      subtree is replaced in the input: what it knows of the task.
    pairs: (levels,), how many count; with none, the others are NaN.
  """

  levels: tuple[int, ...]
  accuracy: np.ndarray
  accuracy_random: np.ndarray
  accuracy_init: np.ndarray
  ceiling: np.ndarray
  pairs: np.ndarray

  def normalised(self, layers: np.ndarray) -> float:
    """Interchange accuracy on a scale that every network can reach.

    Zero is the network before training, at the same layers; one is the ceiling:
    a network can move no more predictions from within than it gets right when
    the input itself is changed.

    Args:
      layers: (levels,) float, where each level is intervened on, rounded up; at
        levels that are NaN, nowhere.

    Returns:
      The mean over levels, less that before training, as a share of what the
      mean ceiling has more; NaN without levels or without room.
    """
    where = np.flatnonzero(~np.isnan(layers) & ~np.isnan(self.ceiling))
    if not where.size:
      return float('nan')
    at = np.ceil(layers[where]).astype(int), where
    initial = self.accuracy_init[at].mean()
    room = self.ceiling[where].mean() - initial
    gain = self.accuracy[at].mean() - initial
    return float(gain / room) if room > 0 else float('nan')


def measure(config: model.ModelConfig, params: Params, init_params: Params,
            source: Tree, instance: Instance, seed: int,
            examples: int = EXAMPLES, pairs: int = PAIRS) -> Interchange:
  """Intervenes on every level at every layer.

  Compiles as seldom as `decodability.measure`.

  Args:
    config: the model's.
    params: of the network.
    init_params: of the same network before training.
    source: the tree. Where its objective asks for the root, that is the
      prediction; else it is the masked leaf, and the root is not scored.
    instance: the grammar.
    seed: of the sentences, the nodes, the sources and the random subspaces.
    examples: sentences to fit subspaces on and draw sources from.
    pairs: other sentences, to intervene on at each level.

  Returns:
    Interchange accuracy by layer and level, its controls and its ceiling.
  """
  pool, by_level = draw(source, instance, seed, examples, pairs)
  spans = nodes.spans(source)
  # The query counts as a place of every node: what is asked is put together
  # there, and in trained networks most of the effect is there.
  places = spans | (np.arange(source.length) == source.root_position)
  rank = min(source.symbols - 1, config.d_model)
  normal = np.random.default_rng(seed).standard_normal(
    (config.n_layers + 1, *spans.shape, config.d_model, rank), np.float32)
  random = np.linalg.qr(normal)[0]

  def shares(params):
    return map(np.asarray, _shares(config, params, pool, by_level, places,
                                   random, classes=source.symbols))

  accuracy, accuracy_random, ceiling = shares(params)
  accuracy_init, _, _ = shares(init_params)
  count = np.asarray(by_level.weight_B).sum(axis=1).astype(int)
  return Interchange(nodes.levels(source), accuracy, accuracy_random,
                     accuracy_init, ceiling, count)


@functools.partial(jax.jit, static_argnames=('config', 'classes'))
def _shares(config: model.ModelConfig, params: Params, pool: Pool,
            pairs: Pairs, places: jax.Array, random: jax.Array,
            classes: int) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Scores every (layer, level), with fitted and with random subspaces.

  Args:
    config: the model's.
    params: the model's.
    pool: for subspaces and sources.
    pairs: leading axis levels.
    places: (nodes, T) bool, the positions that are intervened on for a node.
    random: (n + 1, nodes, T, D, rank), orthonormal bases to compare with.
    classes: q.

  Returns:
    Two arrays (n + 1, levels), and the ceiling (levels,).
  """
  examples, (n_levels, n_pairs) = len(pool.tokens_BT), pairs.node_B.shape
  read_NBTD = stream.read(config, params, jnp.concatenate(
    [pool.tokens_BT, *pairs.base_BT, *pairs.spliced_BT]))
  pool_NBTD, base_NBTD, spliced_NBTD = jnp.split(
    read_NBTD, [examples, examples + n_levels * n_pairs], axis=1)
  bases = jnp.stack([_subspaces(pool_NBTD, pool.symbols, classes), random])

  def by_level(x_BTD):
    return x_BTD.reshape(n_levels, n_pairs, *x_BTD.shape[1:])

  def intervene(kind_layer_level):
    kind, layer, level = kind_layer_level
    pair = Pairs(*(of_pair[level] for of_pair in pairs))
    base_BTD = by_level(base_NBTD[layer])[level]
    source_BTD = jnp.take_along_axis(
      pool_NBTD[layer], pair.source_BT[..., None], axis=0)
    basis = bases[kind, layer, pair.node_B]
    change = jnp.einsum('BTDr,BTD->BTr', basis, source_BTD - base_BTD)
    change *= places[pair.node_B][..., None]
    mixed_BTD = base_BTD + jnp.einsum('BTDr,BTr->BTD', basis, change)
    edits = stream.write(config, layer, mixed_BTD)
    output = model.apply(config, params, pair.base_BT, edits=edits)
    return _share_right(output.logits_BTV[..., :classes], pair)

  grid = len(bases), config.n_layers + 1, n_levels
  shares = jax.lax.map(intervene, tuple(jnp.indices(grid).reshape(3, -1)))
  spliced_BTV = model.unembed(config, params, spliced_NBTD[-1])
  ceiling = jax.vmap(_share_right)(
    by_level(spliced_BTV[..., :classes]), pairs)
  return *shares.reshape(grid), ceiling


def _share_right(logits_BTV: jax.Array, pairs: Pairs) -> jax.Array:
  """Share of the pairs that count where the expected symbol is likeliest."""
  logits_BV = logits_BTV[jnp.arange(len(logits_BTV)), pairs.position_B]
  right_B = jnp.argmax(logits_BV, axis=-1) == pairs.expected_B
  # 0/0: where no pair counts there is no share.
  return jnp.sum(right_B * pairs.weight_B) / jnp.sum(pairs.weight_B)


def _subspaces(stream_NBTD: jax.Array, symbols: jax.Array,
               classes: int) -> jax.Array:
  """Bases of the differences between class means.

  Args:
    stream_NBTD: the pool's, at every layer.
    symbols: (B, nodes) int.
    classes: q.

  Returns:
    (n + 1, nodes, T, D, rank), rank <= q - 1: orthonormal columns, and zeros
    where the means span less.
  """
  member = jax.nn.one_hot(symbols, classes)
  share = member / jnp.maximum(jnp.sum(member, axis=0), 1)
  mean = jnp.einsum('BmV,NBTD->NmTDV', share, stream_NBTD)
  mean -= jnp.mean(mean, axis=-1, keepdims=True)
  basis, size, _ = jnp.linalg.svd(mean, full_matrices=False)
  rank = min(classes - 1, basis.shape[-1])
  real = size > NOISE_FLOOR * jnp.max(size, axis=-1, keepdims=True)
  return (basis * real[..., None, :])[..., :rank]
