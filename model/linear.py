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
the steps per second for 4 layers of width 64. And it cannot be trusted with
products of bfloat16 (see `multiplicable`).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.lax import optimization_barrier

from model import backend
from model.layout import Layout, Letters

# A weight gradient of just this width both ways is what XLA:CPU computes worst,
# at half the speed of 48 or 72, and on one thread. In as many pieces as there
# are such squares of tokens it goes to the product that runs the others.
TILE = 64

# Splits nothing.
WHOLE = Layout()

# What `model.remat='dots'` keeps.
PRODUCT = 'product'


def project(x: jax.Array, w: jax.Array, layout: Layout = WHOLE,
            letters: str = '', axes: int = 1,
            dtype: jnp.dtype | None = None) -> jax.Array:
  """Sums the last `axes` axes of x against the first `axes` of w.

  Args:
    x: (..., inputs).
    w: (inputs, outputs), float32; used in x's dtype.
    layout: where w lives; each device gathers the width D of what it uses.
    letters: those of w; without them the layout is not asked.
    axes: how many axes the inputs span.
    dtype: of the result; x's own by default.

  Returns:
    (..., outputs).
  """
  how = _How(layout, letters, axes, jnp.dtype(dtype or x.dtype))
  return checkpoint_name(_product(how, x, w), PRODUCT)


def gathered(w: jax.Array, layout: Layout, letters: str) -> jax.Array:
  """A matrix with all of D on each device, and a share of the rest.

  Left to itself, a TPU's compiler passes the shares of D round in a ring, and
  reads and writes the whole sum for each. Its gradient is split as w was.
  """
  return layout.constrain(w, _with_all_of_d(letters), gradient=letters)


def _with_all_of_d(letters: str) -> Letters:
  return [None if letter == 'D' else letter for letter in letters]


def biased(y: jax.Array, b: jax.Array) -> jax.Array:
  """y + b, added in float32, so that b's gradient is a float32 sum.

  Args:
    y: (..., outputs), of any dtype, which is the result's too.
    b: (outputs,), float32.
  """
  return (y.astype(jnp.float32) + b).astype(y.dtype)


def multiplicable(*arrays: jax.Array) -> tuple[jax.Array, ...]:
  """What a product with a float32 result takes: on a CPU, float32 itself.

  XLA:CPU has such products of bfloat16 for some layouts alone, and fails as it
  runs the others.
  """
  if backend.platform() != 'cpu':
    return arrays
  return tuple(x.astype(jnp.float32) for x in arrays)


class _How(NamedTuple):
  layout: Layout
  letters: str
  axes: int
  dtype: jnp.dtype

  def gathered(self, w, dtype):
    """What a device multiplies by."""
    w = w.astype(dtype)
    return gathered(w, self.layout, self.letters) if self.letters else w

  def scattered(self, dw):
    """A gradient, each device with the share that it updates."""
    if not self.letters:
      return dw
    # Reduced, then cut, which compilers make one; asked for the share alone, a
    # TPU's passes it round in a ring, as in `gathered`.
    dw = self.layout.constrain(dw, _with_all_of_d(self.letters))
    return self.layout.constrain(dw, self.letters)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(how, x, w):
  product = _cpu if backend.platform() == 'cpu' else _usual
  return product(how, x, how.gathered(w, x.dtype))


def _forward(how, x, w):
  return _product(how, x, w), (x, w)


def _backward(how, saved, dy):
  x, w = saved
  slopes = _cpu_backward if backend.platform() == 'cpu' else _usual_backward
  dx, dw = slopes(how, x, how.gathered(w, x.dtype), dy.astype(x.dtype))
  return dx.astype(x.dtype), how.scattered(dw.astype(w.dtype))


_product.defvjp(_forward, _backward)


def _usual(how, x, w):
  return jnp.tensordot(x, w, how.axes, preferred_element_type=how.dtype)


def _usual_backward(how, x, w, dy):
  outputs = w.ndim - how.axes
  dx = jax.lax.dot_general(
    dy, w, ((range(dy.ndim - outputs, dy.ndim), range(how.axes, w.ndim)),
            ((), ())))
  batch = range(x.ndim - how.axes)
  dw = jax.lax.dot_general(x, dy, ((batch, batch), ((), ())),
                           preferred_element_type=jnp.float32)
  return dx, dw


def _cpu(how, x, w):
  inputs = math.prod(w.shape[:how.axes])
  y = _dot(x.reshape(-1, inputs), w.reshape(inputs, -1)).astype(how.dtype)
  return y.reshape(*x.shape[:x.ndim - how.axes], *w.shape[how.axes:])


def _cpu_backward(how, x, w, dy):
  inputs = math.prod(w.shape[:how.axes])
  shapes = x.shape, w.shape
  x, w = x.reshape(-1, inputs), w.reshape(inputs, -1)
  dy, x = optimization_barrier((dy.reshape(-1, w.shape[1]), x))
  dx = _dot(dy, w.T)
  # The product runs faster with the wider dimension last; the barrier keeps XLA
  # from turning it round again.
  if x.shape[1] <= dy.shape[1]:
    dw = _over_tokens(x, dy)
  else:
    dw = optimization_barrier(_over_tokens(dy, x)).T
  return dx.reshape(shapes[0]), dw.reshape(shapes[1])


def _over_tokens(a, b):
  """Sums a^T b over tokens; b is at least as wide as a."""
  if a.shape[1] != TILE or b.shape[1] != TILE or a.shape[0] % TILE:
    return _dot(a.T, b)
  a_XTI, b_XTO = (z.reshape(-1, TILE, TILE) for z in multiplicable(a, b))
  a_XIT = optimization_barrier(a_XTI.swapaxes(1, 2))
  return jnp.einsum('XIT,XTO->XIO', a_XIT, b_XTO).sum(0)


def _dot(a, b):
  return jnp.dot(*multiplicable(a, b))
