"""The inner nodes of a tree grammar as one list, lowest level first.

Arrays with an axis of nodes follow this order: by level, then left to right.
The leaves are not in it, since any network knows its input. Under a filter the
nodes are those of the parse (see `parse`), so that the list is the same.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from data.sources.tree import Tree


def levels(source: Tree) -> tuple[int, ...]:
  """The levels that are measured, ascending; the last is the root's."""
  return tuple(range(1, source.levels + 1))


def count(source: Tree, level: int) -> int:
  """Nodes of one level."""
  return 2**(source.levels - level)


def first(source: Tree, level: int) -> int:
  """Where a level's nodes begin in the list."""
  return sum(count(source, below) for below in levels(source) if below < level)


def level_of_each(source: Tree) -> np.ndarray:
  """The level of each node, (nodes,) int."""
  return np.repeat(levels(source),
                   [count(source, level) for level in levels(source)])


def spans(source: Tree) -> np.ndarray:
  """Which positions hold a leaf under each node, (nodes, T) bool."""
  leaf_T = np.arange(source.length) - 1 - source.root_position
  return np.concatenate([
    (leaf_T >= 0) & (leaf_T // 2**level == np.arange(
      count(source, level))[:, None])
    for level in levels(source)])


def join(source: Tree, by_level: Mapping[int, jax.Array]) -> jax.Array:
  """Puts arrays (B, nodes of the level, ...) in one, (B, nodes, ...)."""
  return jnp.concatenate([by_level[k] for k in levels(source)], axis=1)
