"""Pairs of sentences for interchange interventions on a tree's nodes."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data import Instance
from data.sources import held_out
from data.sources.tree import Nodes, Tree
from experiments.instruments.tree import nodes, parse

CANDIDATES = 4096  # a level, to pick the pairs from


class Pool(NamedTuple):
  """Sentences to fit subspaces on and to draw sources from.

  Attributes:
    tokens_BT: what the model reads.
    symbols: (B, nodes), the likeliest symbol of each node given the tokens.
  """

  tokens_BT: jax.Array
  symbols: jax.Array


class Pairs(NamedTuple):
  """Interventions, one an example; with a leading axis, of each level.

  Attributes:
    base_BT: tokens to intervene on.
    spliced_BT: the same with the subtree of a sentence in which the node has
      the symbol that it is given.
    node_B: which node, as counted in `nodes`.
    source_BT: for each position, a sentence of the pool in which the node has
      the symbol that it is given.
    position_B: where the prediction is read.
    expected_B: what exact inference predicts from `spliced_BT`.
    weight_B: 1 where the pair counts, else 0.
  """

  base_BT: jax.Array
  spliced_BT: jax.Array
  node_B: jax.Array
  source_BT: jax.Array
  position_B: jax.Array
  expected_B: jax.Array
  weight_B: jax.Array


def draw(source: Tree, instance: Instance, seed: int, examples: int,
         pairs: int) -> tuple[Pool, Pairs]:
  """Draws sentences of the test split, and what to do to them.

  A pair counts when neither of its sentences is one to train on, and exact
  inference predicts something else from the spliced one than it does from the
  base, and than it does from the base with the leaf that each position's source
  has there, leaf by leaf. The first makes the right answer a change; the second
  makes it one that cannot come from the leaves by themselves. The prediction is
  that of the root where the objective asks for it, else that of a masked leaf
  outside the subtree.

  Compiles once for each `source` object and size.

  Args:
    source: the tree.
    instance: its grammar.
    seed: of the sentences, the nodes and the sources.
    examples: sentences of the pool.
    pairs: at each level; those that count come first, as far as there are.

  Returns:
    The pool, and the pairs of each level, stacked.
  """
  rng = np.random.default_rng(seed)
  index = np.stack([rng.integers(nodes.count(source, level), size=CANDIDATES)
                    for level in nodes.levels(source)])
  uniform = rng.random((*index.shape, source.length), np.float32)
  return _draw(source, instance, seed, index, uniform, examples, pairs)


@functools.partial(jax.jit, static_argnames=('source', 'examples', 'pairs'))
def _draw(source: Tree, instance: Instance, seed: jax.Array, index: jax.Array,
          uniform: jax.Array, examples: int,
          pairs: int) -> tuple[Pool, Pairs]:
  """As `draw`, given which nodes (levels, B) and a draw for each source."""
  batch, tree = source.parsed_batch(
    instance, seed, 'test', 0, examples + index.shape[1])
  pool_BT, base_BT = jnp.split(batch.tokens_BT, [examples])
  belief = parse.posteriors(source, instance, pool_BT)
  pool = Pool(pool_BT, jnp.argmax(belief, axis=-1))
  base_tree = parse.parse(instance, tree[0][examples:])

  def of_level(level, first, index_B, uniform_BT):
    candidates = _candidates(source, instance, pool, base_BT, base_tree, level,
                             first, index_B, uniform_BT)
    first_B = jnp.argsort(-candidates.weight_B, stable=True)[:pairs]
    return Pairs(*(of_candidate[first_B] for of_candidate in candidates))

  levels = nodes.levels(source)
  firsts = [nodes.first(source, level) for level in levels]
  return pool, jax.vmap(of_level)(
    jnp.array(levels), jnp.array(firsts), index, uniform)


def _candidates(source: Tree, instance: Instance, pool: Pool,
                base_BT: jax.Array, tree: Nodes, level: jax.Array,
                first: jax.Array, index_B: jax.Array,
                uniform_BT: jax.Array) -> Pairs:
  """Gives the `index_B`-th node of a level what it is in the next sentence."""
  node_B = first + index_B
  inside_BT = jnp.asarray(nodes.spans(source))[node_B]
  other = {k: jnp.roll(symbols, 1, axis=0) for k, symbols in tree.items()}
  symbol_B = _at(nodes.join(source, other), node_B)
  source_BT, possible_B = _sources(
    pool.symbols, source.symbols, node_B, symbol_B, uniform_BT)
  # The base keeps its mask, unless the intervention settles what is under it.
  asked_BT = (base_BT == source.mask_token) & ~inside_BT
  masked_B = jnp.where(
    jnp.any(asked_BT, axis=1), jnp.argmax(asked_BT, axis=1) - 1, -1)
  spliced_BT = source.tokens(
    splice(tree[0], other[0], level, index_B), masked_B)
  leaf_by_leaf_BT = jnp.where(inside_BT, jnp.take_along_axis(
    pool.tokens_BT, source_BT, axis=0), base_BT)

  def predict(tokens_BT):
    belief = source.posteriors(instance, tokens_BT)
    if source.objective == 'masked':
      return _at(belief[0], masked_B)
    return belief[source.levels][:, 0]

  before_BV, after_BV, scrambled_BV = jax.vmap(predict)(
    jnp.stack([base_BT, spliced_BT, leaf_by_leaf_BT]))
  expected_B = jnp.argmax(after_BV, axis=-1)
  counts_B = possible_B & (expected_B != jnp.argmax(before_BV, axis=-1))
  counts_B &= expected_B != jnp.argmax(scrambled_BV, axis=-1)
  # A filtered grammar cannot produce every splice; its posterior is NaN then.
  counts_B &= ~jnp.any(jnp.isnan(after_BV), axis=-1)
  counts_B &= ~held_out.belongs(spliced_BT, 'train')
  position_B = jnp.full_like(masked_B, source.root_position)
  if source.objective == 'masked':
    counts_B &= masked_B >= 0
    position_B = 1 + masked_B
  return Pairs(base_BT, spliced_BT, node_B, source_BT, position_B, expected_B,
               counts_B.astype(jnp.float32))


def splice(base_leaves_BT: jax.Array, source_leaves_BT: jax.Array,
           level: jax.Array | int, index: jax.Array | int) -> jax.Array:
  """Moves one subtree's leaves from a source sentence into a base sentence.

  The spliced sentence is what the base would be had the node taken the value
  that it has in the source; its exact posteriors say how the predictions
  should change. (A full grammar can produce every sentence, so they exist.)

  Args:
    base_leaves_BT: leaves that stay outside the subtree.
    source_leaves_BT: leaves that come in.
    level: the level of the subtree's top node.
    index: which node of that level, counted from the left: one for all
      examples, or (B,).
  """
  node_T = jnp.arange(base_leaves_BT.shape[1]) // 2**level
  inside_BT = node_T == jnp.reshape(jnp.asarray(index), (-1, 1))
  return jnp.where(inside_BT, source_leaves_BT, base_leaves_BT)


def _at(array_BT: jax.Array, place_B: jax.Array) -> jax.Array:
  """Each example's entry at a place of its own."""
  return array_BT[jnp.arange(len(array_BT)), place_B]


def _sources(symbols: jax.Array, classes: int, node_B: jax.Array,
             symbol_B: jax.Array,
             uniform_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Draws for each position a sentence in which a node has a given symbol.

  Args:
    symbols: (sentences, nodes), of the pool.
    classes: q.
    node_B: the node.
    symbol_B: the symbol it should have.
    uniform_BT: draws from [0, 1).

  Returns:
    (B, T) int, places in the pool, all that fit equally likely; and (B,),
    whether there are any.
  """
  fits = symbols.T[:, None] == jnp.arange(classes)[:, None]
  # (nodes, V, sentences): those that fit come first.
  order = jnp.argsort(~fits, axis=-1, stable=True)
  count_B = jnp.sum(fits, axis=-1)[node_B, symbol_B]
  pick_BT = (uniform_BT * count_B[:, None]).astype(jnp.int32)
  return order[node_B[:, None], symbol_B[:, None], pick_BT], count_B > 0
