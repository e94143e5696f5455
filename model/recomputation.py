"""What the backward pass computes again because remembering costs more.

A norm or an activation is a few operations on a number that is remembered
anyway, since a matrix product reads it. Left to itself, JAX keeps every step
between, for a norm in float32: 68 kB for each token and layer of GPT-2 small in
bfloat16, where 26 kB are enough. On a CPU, where arithmetic is dear and memory
is not, every step is kept.
"""

import functools
from collections.abc import Callable

import jax

from model import backend

Function = Callable[..., jax.Array]


def cheap(function: Function) -> Function:
  """A pure function of which only the arguments are kept for its gradient."""
  @functools.wraps(function)
  def run(*arrays: jax.Array) -> jax.Array:
    if backend.platform() == 'cpu':
      return function(*arrays)
    # The loop over layers already keeps the two computations apart.
    return jax.checkpoint(function, prevent_cse=False)(*arrays)

  return run
