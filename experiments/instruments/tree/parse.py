"""The bottom-up parse: what the full grammar makes of any string of leaves.

Every pair of symbols has one parent, so each string has one tree. In the full
grammar it is the tree that the string grew from. Under a filter it is what a
network would compute that climbs levels which are not there: the same question
can be asked of both, and what differs is whether the levels are of use.
"""

import jax
import jax.numpy as jnp

from data import Instance
from data.sources.tree import Nodes, Tree
from experiments.instruments.tree import nodes


def parse(instance: Instance, leaves_BT: jax.Array) -> Nodes:
  """The symbols (B, 2^(l - level)) of every level from the leaves up."""
  parent_VV = jnp.argmax(jnp.asarray(instance['transition_VVV']), axis=0)
  levels = [leaves_BT]
  while levels[-1].shape[1] > 1:
    levels.append(parent_VV[levels[-1][:, 0::2], levels[-1][:, 1::2]])
  return dict(enumerate(levels))


def posteriors(source: Tree, instance: Instance,
               tokens_BT: jax.Array) -> jax.Array:
  """What can be known of the parse from what the model reads.

  Args:
    source: a tree, filtered or not.
    instance: its grammar.
    tokens_BT: as `source.tokens` makes them, with one masked leaf or none.

  Returns:
    (B, nodes, V), probabilities of each node's symbol, in the order of `nodes`:
    those of the parse for each symbol that the masked leaf can have, weighted
    with its exact posterior. NaN for what a filtered grammar cannot produce.
  """
  leaves_BT = tokens_BT[:, 1:]
  hidden_BT = leaves_BT == source.mask_token
  # The first leaf where none is hidden: its posterior is then certain.
  belief_BTV = source.posteriors(instance, tokens_BT)[0]
  belief_BV = jnp.take_along_axis(
    belief_BTV, jnp.argmax(hidden_BT, axis=1)[:, None, None], axis=1)[:, 0]

  def weighted(symbol, weight_B):
    tree = parse(instance, jnp.where(hidden_BT, symbol, leaves_BT))
    known = jax.nn.one_hot(nodes.join(source, tree), source.symbols)
    return weight_B[:, None, None] * known

  return jnp.sum(jax.vmap(weighted)(
    jnp.arange(source.symbols), belief_BV.T), axis=0)
