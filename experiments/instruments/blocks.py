"""What each block reads and leaves, summed over passages.

A block is run on the stream before it and what it did is reduced at once, so
that no more is held than a few windows of one stream.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments.instrument import RANDOM, Given
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, parts

TOGETHER = 512  # tokens that are read at a time, about
BASELINE_TOKENS = 512  # that a random network reads, at most, about


def each(network: Network, passages: Passages,
         reduce: Callable[[jax.Array, jax.Array], Any]) -> Any:
  """`reduce(stream l - 1, stream l)` of blocks l from 1 to n, leading N."""
  def block(x_BTD: jax.Array, layer: jax.Array) -> tuple[jax.Array, Any]:
    y_BTD = network.block(layer, x_BTD, passages)
    return y_BTD, reduce(x_BTD.astype(jnp.float32), y_BTD.astype(jnp.float32))

  layers_N = jnp.arange(1, network.config.n_layers + 1)
  return jax.lax.scan(block, network.embed(passages), layers_N)[1]


def total(program: Callable[..., Any], network: Network, passages: Passages,
          *further: Any) -> Any:
  """Adds up what a program gives of each few windows.

  Args:
    program: (network, passages, *further) to a tree of arrays that are sums
      over positions.
    network: what is read with.
    passages: any number of windows.
    further: handed on.

  Returns:
    The tree, float64, on the host.
  """
  found = None
  for part in pieces(passages):
    one = jax.tree.map(lambda x: np.asarray(x, np.float64),
                       program(network, part, *further))
    found = one if found is None else jax.tree.map(np.add, found, one)
  return found


def pieces(passages: Passages) -> Iterator[Passages]:
  """A few windows at a time, about `TOGETHER` tokens."""
  return parts(passages, max(1, TOGETHER // passages.tokens_BT.shape[1]))


def first(passages: Passages, tokens: int) -> Passages:
  """The first windows, of about so many tokens; one at least."""
  rows = max(1, tokens // passages.tokens_BT.shape[1])
  return Passages(*(x[:rows] for x in passages))


def networks(given: Given, tokens: int = BASELINE_TOKENS
             ) -> Iterator[tuple[dict[str, str], Network, Passages]]:
  """The model, then its baseline on less text; and what its rows say."""
  yield {}, given.network, given.passages
  yield dict(RANDOM), given.baseline, first(given.passages, tokens)


def inner(a_BTD: jax.Array, b_BTD: jax.Array) -> jax.Array:
  """Inner products of vectors, (B,T)."""
  return jnp.sum(a_BTD * b_BTD, axis=-1)


def cosine(a_BTD: jax.Array, b_BTD: jax.Array) -> jax.Array:
  """Of the angle between vectors, (B,T); 0 where one of them is 0."""
  return ratio(inner(a_BTD, b_BTD),
               jnp.sqrt(inner(a_BTD, a_BTD) * inner(b_BTD, b_BTD)))


def relative(change_BTD: jax.Array, x_BTD: jax.Array) -> jax.Array:
  """The norm of a change over that of what changed, (B,T)."""
  return ratio(jnp.sqrt(inner(change_BTD, change_BTD)),
               jnp.sqrt(inner(x_BTD, x_BTD)))


def ratio(above: jax.Array, below: jax.Array) -> jax.Array:
  """A quotient; 0 where what is below is 0."""
  return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)


def add(x_BT: jax.Array, counts_BT: jax.Array) -> jax.Array:
  """The sum over the positions that count; what others hold is no matter."""
  return jnp.sum(jnp.where(counts_BT, x_BT, 0), axis=(-2, -1))

