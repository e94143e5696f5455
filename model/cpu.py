"""What XLA:CPU needs to be fast, and to run at all, in one place.

The rest of the model is written plainly. Where a CPU wants another form of the
same mathematics, the plain function stands behind `form`, the one door:

    @cpu.form(cpu.scores)
    def scores(q, k): ...

Three things about XLA:CPU explain most of what is here. It fuses whatever
produces a gradient (an activation's derivative, the residual sum) into each of
the products that consume it, computes it once for each, and loses the fast
matrix product; barriers keep the two apart. The way to memory is what costs, so
that what lies between products is better small. And its products of bfloat16
cannot be trusted: see `multiplicable`.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import optimization_barrier

from model import backend
from model.config import ModelConfig

Given = ParamSpec('Given')
Result = TypeVar('Result')

# Rows of scores that are computed at a time under a causal mask, and in how
# many pieces they are computed at most, since each is compiled.
ROWS = 128
MOST_PIECES = 4

# An unrolled stack is faster; beyond this, its compilation costs more than
# short runs get back.
UNROLLED = 12


def form(own: Callable[..., Result]) -> Callable[
    [Callable[Given, Result]], Callable[Given, Result]]:
  """Replaces a function by its CPU form where the model is traced for a CPU.

  Args:
    own: takes the same arguments, and agrees but for rounding.
  """
  def decorate(plain: Callable[Given, Result]) -> Callable[Given, Result]:
    @functools.wraps(plain)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
      chosen = own if backend.platform() == 'cpu' else plain
      return chosen(*args, **kwargs)

    return run

  return decorate


def _widened(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  return tuple(x.astype(jnp.float32) for x in arrays)


@form(_widened)
def multiplicable(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  """What a product with a float32 result takes: on a CPU, float32 itself.

  XLA:CPU has such products of bfloat16 for some layouts alone, and fails as it
  runs the others.
  """
  return arrays


def multiply(x: jax.Array, w: jax.Array, axes: int,
             dtype: jnp.dtype) -> jax.Array:
  """The linear map as one product of two matrices; see `linear.multiply`."""
  inputs = math.prod(w.shape[:axes])
  y = _dot(x.reshape(-1, inputs), w.reshape(inputs, -1)).astype(dtype)
  return y.reshape(*x.shape[:x.ndim - axes], *w.shape[axes:])


def slopes(x: jax.Array, w: jax.Array, dy: jax.Array,
           axes: int) -> tuple[jax.Array, jax.Array]:
  """The linear map's backward pass; see `linear.slopes`."""
  inputs = math.prod(w.shape[:axes])
  shapes = x.shape, w.shape
  x, w = x.reshape(-1, inputs), w.reshape(inputs, -1)
  dy, x = optimization_barrier((dy.reshape(-1, w.shape[1]), x))
  dx = _dot(dy, w.T)
  # The product runs faster with the wider dimension last; the barrier keeps XLA
  # from turning it round again.
  if x.shape[1] <= dy.shape[1]:
    dw = _dot(x.T, dy)
  else:
    dw = optimization_barrier(_dot(dy.T, x)).T
  return dx.reshape(shapes[0]), dw.reshape(shapes[1])


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
  return jnp.dot(*multiplicable(a, b))


def in_rows(mix: Callable[Given, jax.Array]) -> Callable[Given, jax.Array]:
  """Attention, some rows at a time, each with the columns that they see.

  Less is computed, and XLA:CPU, which writes every score to memory, waits less
  for it. `mix` is `attention.mix`.
  """
  computed: Callable[..., jax.Array] = mix

  def own(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array,
          bias: np.ndarray | jax.Array, sites: Any, apart: bool) -> jax.Array:
    T, S = q_BTHK.shape[1], k_BSGK.shape[1]
    rows = max(ROWS, -(-T // MOST_PIECES)) if apart else T

    def piece(end: int) -> jax.Array:
      seen = end if apart else S
      q, k, v = multiplicable(q_BTHK[:, end - rows:end], k_BSGK[:, :seen],
                              v_BSGK[:, :seen])
      # Each layer its own bias: one for all is written out once as large as the
      # scores, and read from memory by every layer.
      own_bias, q = optimization_barrier(
        (jnp.asarray(bias[..., end - rows:end, :seen]), q))
      return computed(q, k, v, own_bias, sites, apart).astype(q_BTHK.dtype)

    return jnp.concatenate([piece(end) for end in range(rows, T + rows, rows)],
                           axis=1)

  return form(own)(mix)


@jax.custom_vjp
def scores(q_BGhTK: jax.Array, k_BGSK: jax.Array) -> jax.Array:
  """`attention.scores`, with a backward pass of its own."""
  return jnp.einsum('BGhTK,BGSK->BGhTS', q_BGhTK, k_BGSK,
                    preferred_element_type=jnp.float32)


def _scores_forward(q_BGhTK, k_BGSK):
  return scores(q_BGhTK, k_BGSK), (q_BGhTK, k_BGSK)


def _scores_backward(saved, d_BGhTS):
  q_BGhTK, k_BGSK = saved
  dq_BGhTK = jnp.einsum('BGhTS,BGSK->BGhTK', d_BGhTS, k_BGSK)
  # The product with the scores transposed would have to copy them first, for
  # which XLA:CPU takes as long as for the product; queries are smaller.
  q_BGKhT = optimization_barrier(q_BGhTK.transpose(0, 1, 4, 2, 3))
  dk_BGKS = optimization_barrier(
    jnp.einsum('BGKhT,BGhTS->BGKS', q_BGKhT, d_BGhTS))
  return dq_BGhTK, dk_BGKS.swapaxes(2, 3)


scores.defvjp(_scores_forward, _scores_backward)


def share(read_BHTK: jax.Array, total_BHT: jax.Array) -> jax.Array:
  """`attention.share`; sums past an axis of length one are slow, so it goes."""
  shape = read_BHTK.shape
  heads = shape[1:2] if shape[1] > 1 else ()
  B, T, K = shape[0], shape[2], shape[3]
  shared = (read_BHTK.reshape(B, *heads, T, K)
            / total_BHT.reshape(B, *heads, T, 1))
  return shared.reshape(shape)


def unroll(config: ModelConfig) -> int:
  """How many layers one turn of the stack's loop holds."""
  # XLA:CPU sees through what keeps two computations apart, and only a loop
  # makes it forget.
  small = config.n_layers <= UNROLLED and config.remat == 'none'
  return config.n_layers if small else 1
