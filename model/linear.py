"""The linear map, with its own backward pass.

Parameters are float32 and so are their gradients, whatever the dtype of the
computation; the products themselves take inputs of that dtype. Left to
differentiate `dot(bfloat16) -> float32` by itself, JAX multiplies the float32
gradient by bfloat16 weights, which a GPU can only do in float32, several times
slower.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from model import cpu
from model.layout import Layout, Letters

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


@cpu.form(cpu.multiply)
def multiply(x: jax.Array, w: jax.Array, axes: int,
             dtype: jnp.dtype) -> jax.Array:
  """(..., inputs) and (inputs, outputs) to (..., outputs)."""
  return jnp.tensordot(x, w, axes, preferred_element_type=dtype)


@cpu.form(cpu.slopes)
def slopes(x: jax.Array, w: jax.Array, dy: jax.Array,
           axes: int) -> tuple[jax.Array, jax.Array]:
  """The gradients of x and, in float32, of w, from that of the result."""
  outputs, batch = range(axes, w.ndim), range(x.ndim - axes)
  last = range(len(batch), dy.ndim)
  dx = jax.lax.dot_general(dy, w, ((last, outputs), ((), ())))
  dw = jax.lax.dot_general(x, dy, ((batch, batch), ((), ())),
                           preferred_element_type=jnp.float32)
  return dx, dw


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
  return multiply(x, how.gathered(w, x.dtype), how.axes, how.dtype)


def _forward(how, x, w):
  return _product(how, x, w), (x, w)


def _backward(how, saved, dy):
  x, w = saved
  dx, dw = slopes(x, how.gathered(w, x.dtype), dy.astype(x.dtype), how.axes)
  return dx.astype(x.dtype), how.scattered(dw.astype(w.dtype))


_product.defvjp(_forward, _backward)


def gathered(w: jax.Array, layout: Layout, letters: str) -> jax.Array:
  """A matrix with all of D on each device, and a share of the rest.

  Left to itself, a TPU's compiler passes the shares of D round in a ring, and
  reads and writes the whole sum for each. Its gradient is split as w was.
  """
  return layout.constrain(w, _with_all_of_d(letters), gradient=letters)


def _with_all_of_d(letters: str) -> Letters:
  return [None if letter == 'D' else letter for letter in letters]


def bias(module: nn.Module, there: bool, name: str,
         *shape: int) -> jax.Array | None:
  """A parameter that starts at 0; None where the config has none."""
  if not there:
    return None
  b: jax.Array = module.param(name, nn.initializers.zeros, shape)
  return b


def biased(y: jax.Array, b: jax.Array | None) -> jax.Array:
  """y + b, added in float32, so that b's gradient is a float32 sum.

  Args:
    y: (..., outputs), of any dtype, which is the result's too.
    b: (outputs,), float32; None where there is none.
  """
  if b is None:
    return y
  return (y.astype(jnp.float32) + b).astype(y.dtype)
