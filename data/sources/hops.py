"""Link counts: how many times an example asks for a pointer to be followed."""

import jax
import jax.numpy as jnp

from data.errors import InputError


def validate(hops: tuple[int, ...], smallest: int) -> None:
  """Raises InputError unless `hops` are distinct counts, `smallest` or more."""
  if not hops:
    raise InputError(f'data.source.hops: no link count is given; use '
                     f'({smallest},)')
  for k in hops:
    if k < smallest:
      raise InputError(f'data.source.hops: {k} must be at least {smallest}')
  if len(set(hops)) < len(hops):
    distinct = tuple(sorted(set(hops)))
    raise InputError(f'data.source.hops: {hops} repeats a link count; use '
                     f'{distinct}')


def choose(uniform_B: jax.Array,
           hops: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
  """Chooses the link count of each example, uniformly over `hops`.

  Args:
    uniform_B: a uniform number in [0, 1) for each example.
    hops: the link counts to choose from.

  Returns:
    group_B, the index into `hops`, and hop_B, the link count itself; int32.
  """
  group_B = (uniform_B * len(hops)).astype(jnp.int32)
  return group_B, jnp.asarray(hops, jnp.int32)[group_B]
