"""The linear map, with its own backward pass on the CPU.

XLA:CPU fuses whatever produces a gradient (an activation's derivative, the
residual sum) into each of the products that consume it, computes it once for
each, and loses the fast matrix product. Barriers keep the two apart: 1.2 times
the steps per second for 4 layers of width 64. Other backends need none of it.
"""

import math

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier

from model import backend


def project(x: jax.Array, w: jax.Array, axes: int = 1,
            dtype: jnp.dtype | None = None) -> jax.Array:
  """Sums the last `axes` axes of x against the first `axes` of w.

  Args:
    x: (..., inputs).
    w: (inputs, outputs), float32; used in x's dtype.
    axes: how many axes the inputs span.
    dtype: of the result; x's own by default.

  Returns:
    (..., outputs).
  """
  dtype = jnp.dtype(dtype or x.dtype)
  if backend.platform() != 'cpu':
    return jnp.tensordot(x, w.astype(x.dtype), axes,
                         preferred_element_type=dtype)
  inputs = math.prod(w.shape[:axes])
  y = _product(dtype, x.reshape(-1, inputs), w.reshape(inputs, -1))
  return y.reshape(*x.shape[:x.ndim - axes], *w.shape[axes:])


def widen(x: jax.Array) -> jax.Array:
  """Makes x ready for a product with a float32 result.

  XLA:CPU has no such product of bfloat16; elsewhere it needs no preparation.
  """
  return x.astype(jnp.float32) if backend.platform() == 'cpu' else x


def _forward(dtype, x, w):
  y = jnp.dot(x.astype(dtype), w.astype(x.dtype).astype(dtype))
  return y, (x, w)


def _backward(dtype, saved, dy):
  x, w = saved
  dy, x = optimization_barrier((dy.astype(x.dtype), x))
  dx = jnp.dot(dy, w.astype(x.dtype).T)
  # The product runs faster with the wider dimension last.
  if x.shape[1] <= dy.shape[1]:
    dw = jnp.dot(x.astype(w.dtype).T, dy.astype(w.dtype))
  else:
    dw = jnp.dot(dy.astype(w.dtype).T, x.astype(w.dtype)).T
  return dx, dw


_product = jax.custom_vjp(lambda dtype, x, w: _forward(dtype, x, w)[0],
                          nondiff_argnums=(0,))
_product.defvjp(_forward, _backward)
