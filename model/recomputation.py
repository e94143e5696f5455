"""What the backward pass computes again because remembering costs more.

A norm or an activation is a few operations on a number that is remembered
anyway, since a matrix product reads it. Left to itself, JAX keeps every step
between, for a norm in float32. On a CPU it is the way to memory that costs:
writing what lies between takes longer than computing it twice.
"""

import functools
from collections.abc import Callable

import jax

from model import cpu

Function = Callable[..., jax.Array]


def cheap(function: Function) -> Function:
  """A pure function of which only the arguments are kept for its gradient."""
  # A loop over layers already keeps the two computations apart; on a CPU there
  # may be none.
  apart = jax.checkpoint(function)
  plain = jax.checkpoint(function, prevent_cse=False)
  return functools.wraps(function)(cpu.form(apart)(plain))
