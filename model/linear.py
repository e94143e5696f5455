"""The linear map, with its own backward pass.

Parameters are float32 and so are their gradients, whatever the dtype of the
computation; the products themselves take inputs of that dtype. Left to
differentiate `dot(bfloat16) -> float32` by itself, JAX multiplies the float32
gradient by bfloat16 weights, which a GPU can only do in float32, several times
slower.

On the CPU there are two more concerns, which other backends do not have.
XLA:CPU fuses whatever produces a gradient (an activation's derivative, the
residual sum) into each of the products that consume it, computes it once for
each, and loses the fast matrix product. Barriers keep the two apart: 1.2 times
the steps per second for 4 layers of width 64. And processors with Intel's AMX
multiply bfloat16 up to five times as fast as float32, but XLA:CPU does so only
where both operands lie in memory row by row and the result is float32.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.experimental.layout import Layout, with_layout_constraint
from jax.lax import optimization_barrier

from model import backend

# What `model.remat='dots'` keeps.
PRODUCT = 'product'


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
  return checkpoint_name(
    _product(axes, jnp.dtype(dtype or x.dtype), x, w), PRODUCT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _product(axes, dtype, x, w):
  product = _cpu if backend.platform() == 'cpu' else _usual
  return product(axes, dtype, x, w)


def _forward(axes, dtype, x, w):
  return _product(axes, dtype, x, w), (x, w)


def _backward(axes, dtype, saved, dy):
  del dtype  # dy's own
  x, w = saved
  slopes = _cpu_backward if backend.platform() == 'cpu' else _usual_backward
  return slopes(axes, x, w, dy)


_product.defvjp(_forward, _backward)


def _usual(axes, dtype, x, w):
  return jnp.tensordot(x, w.astype(x.dtype), axes,
                       preferred_element_type=dtype)


def _usual_backward(axes, x, w, dy):
  dy = dy.astype(x.dtype)
  outputs = w.ndim - axes
  dx = jax.lax.dot_general(
    dy, w.astype(x.dtype),
    ((range(dy.ndim - outputs, dy.ndim), range(axes, w.ndim)), ((), ())))
  batch = range(x.ndim - axes)
  dw = jax.lax.dot_general(x, dy, ((batch, batch), ((), ())),
                           preferred_element_type=w.dtype)
  return dx, dw


def _cpu(axes, dtype, x, w):
  inputs = math.prod(w.shape[:axes])
  flat_x, flat_w = x.reshape(-1, inputs), w.reshape(inputs, -1)
  y = _dot(flat_x, flat_w.astype(x.dtype)).astype(dtype)
  return y.reshape(*x.shape[:x.ndim - axes], *w.shape[axes:])


def _cpu_backward(axes, x, w, dy):
  inputs = math.prod(w.shape[:axes])
  shapes = x.shape, w.shape
  x, w = x.reshape(-1, inputs), w.reshape(inputs, -1)
  dy = dy.reshape(-1, w.shape[1])
  dy, x = optimization_barrier((dy.astype(x.dtype), x))
  dx = _dot(dy, _turned(w.astype(x.dtype))).astype(x.dtype)
  # The product runs faster with the wider dimension last; the barrier keeps XLA
  # from turning it round again.
  if x.shape[1] <= dy.shape[1]:
    dw = _dot(_turned(x), dy)
  else:
    dw = optimization_barrier(_dot(_turned(dy), x)).T
  return dx.reshape(shapes[0]), dw.reshape(shapes[1])


def _dot(a, b):
  if not backend.alone():
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
  return jnp.dot(a, b, preferred_element_type=jnp.float32)


def _turned(x):
  if x.dtype == jnp.float32 or not backend.alone():
    return x.T  # of several devices, each would gather all rows to turn them
  return with_layout_constraint(x.T, Layout((0, 1)))
