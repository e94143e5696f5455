"""Exact inference on the tree grammar: what could be known from the leaves.

Messages go up from the leaves to the root and back down, O(q^3 2^l) for a tree
of l levels over q symbols. Level 0 is the leaves and level l the root. The
letters p, l, r in the einsums are the symbols of a parent, its left and its
right child; V is the alphabet of q symbols, and T the nodes of a level.
"""

import jax
import jax.numpy as jnp

from data.batch import Instance

# Posterior probabilities of every node of a level, (B, T, V), by level.
Posteriors = dict[int, jax.Array]


def posteriors(instance: Instance, leaves_BT: jax.Array,
               visible_BT: jax.Array) -> Posteriors:
  """Computes the posterior of every node given the visible leaves.

  Args:
    instance: the grammar; see `data.tree.Tree.instance`.
    leaves_BT: symbols of the 2^l leaves; what is not visible is not read.
    visible_BT: which leaves are known.

  Returns:
    For every level of the tree that exists in the grammar (a filtered one has
    no nodes between the root and its top block), (B, T, V) float32. NaN in the
    examples whose visible leaves the grammar cannot produce, which happens
    only in a filtered one.
  """
  transition_VVV = instance['transition_VVV']
  top_TVV = instance['top_TVV']
  symbols = transition_VVV.shape[0]
  leaf_BTV = jnp.where(visible_BT[..., None],
                       jax.nn.one_hot(leaves_BT, symbols), 1 / symbols)
  up = [leaf_BTV]
  while up[-1].shape[1] > top_TVV.shape[0]:
    up.append(_to_parents(transition_VVV, up[-1]))
  root_BTV, outside_BTV = _at_root(top_TVV, up[-1])
  levels = leaves_BT.shape[1].bit_length() - 1
  result = {levels: root_BTV}
  for level in reversed(range(len(up))):
    result[level] = _normalise(outside_BTV * up[level])
    if level:
      outside_BTV = _to_children(transition_VVV, outside_BTV, up[level - 1])
  return result


def _to_parents(transition_VVV: jax.Array, up_BTV: jax.Array) -> jax.Array:
  """P(leaves below | node), up to a factor, from that of its two children."""
  return _normalise(_contract(
    'plr,BTl,BTr->BTp', transition_VVV, up_BTV[:, 0::2], up_BTV[:, 1::2]))


def _to_children(transition_VVV: jax.Array, outside_BTV: jax.Array,
                 up_BTV: jax.Array) -> jax.Array:
  """P(node, leaves not below), up to a factor, from that of its parent."""
  left_BTV = _contract(
    'plr,BTp,BTr->BTl', transition_VVV, outside_BTV, up_BTV[:, 1::2])
  right_BTV = _contract(
    'plr,BTp,BTl->BTr', transition_VVV, outside_BTV, up_BTV[:, 0::2])
  children_BTV = jnp.stack([left_BTV, right_BTV], axis=2)
  return _normalise(children_BTV.reshape(up_BTV.shape))


def _at_root(top_TVV: jax.Array,
             up_BTV: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Joins the top block: the root's posterior, and what it sends back.

  Args:
    top_TVV: P(node | root) of each node of the top block.
    up_BTV: P(leaves below | node) of those nodes.

  Returns:
    root_BTV with T = 1, and outside_BTV of the nodes of the top block.
  """
  evidence_BTV = _contract('Tpl,BTl->BTp', top_TVV, up_BTV)
  # In logarithms, since a product over 2^l nodes may underflow. The root is
  # uniform, so its prior drops out.
  log_BTV = jnp.log(evidence_BTV)
  root_BV = jax.nn.softmax(jnp.sum(log_BTV, axis=1), axis=-1)
  # Not the sum minus the own term: both are -inf where a root is ruled out.
  own_TT = jnp.eye(top_TVV.shape[0], dtype=bool)
  others_BTV = jnp.sum(
    jnp.where(own_TT[..., None], 0., log_BTV[:, None]), axis=2)
  outside_BTV = _contract(
    'Tpl,BTp->BTl', top_TVV, jax.nn.softmax(others_BTV, axis=-1))
  return root_BV[:, None], outside_BTV


def _contract(equation: str, *operands: jax.Array) -> jax.Array:
  """An einsum in full float32, since accelerators round products to less."""
  return jnp.einsum(equation, *operands, precision=jax.lax.Precision.HIGHEST)


def _normalise(message_BTV: jax.Array) -> jax.Array:
  return message_BTV / jnp.sum(message_BTV, axis=-1, keepdims=True)
