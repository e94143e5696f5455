"""Cross-entropy that never holds all logits at once.

The float32 logits of a batch take 4 B T V bytes: 6.6 GB for 32 sequences of
1024 tokens and GPT-2's vocabulary, more than all else in a small model's step.
Above `LARGE` they are computed in pieces, each of some positions of every
sequence, and forgotten. The gradient of a sum is known as soon as its logits
are, so it is taken in the same pass: no product is computed twice, as a
rematerialised loss would (after Hsu et al., 2024, Liger Kernel).

Softmax and loss are float32 whatever the dtype of the computation. With V split
over devices each reduces its own share of the vocabulary, and only one number
a position travels (Shoeybi et al., 2019).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from model import Hidden, Layout, cpu, linear

# float32 logits that one device may hold: 512 MiB. Also the size of a piece;
# the gradient of the unembedding is read and written once for each, so smaller
# ones would cost time.
LARGE = 2**27


class Scores(NamedTuple):
  """How well each position was predicted.

  Attributes:
    nats_BT: the cross-entropy, float32.
    hit_BT: whether the target has the highest logit.
  """

  nats_BT: jax.Array
  hit_BT: jax.Array


def pieces(layout: Layout, batch: int, length: int, vocabulary: int) -> int:
  """In how many pieces the logits are computed; 1: all of them at once."""
  own = (batch // layout.parts('B', batch)) * (
    vocabulary // layout.parts('V', vocabulary))
  return min(length, math.ceil(own * length / LARGE))


def plain(logits_BTV: jax.Array, targets_BT: jax.Array) -> Scores:
  """Scores from logits that are there."""
  nats_BT = _nats(logits_BTV.astype(jnp.float32), targets_BT)
  return Scores(nats_BT, logits_BTV.argmax(-1) == targets_BT)


def scores(layout: Layout, count: int, hidden: Hidden,
           targets_BT: jax.Array) -> Scores:
  """Scores in `count` pieces."""
  x_BTD, w_DV, multiplier = hidden
  w_DV = linear.gathered(w_DV.astype(x_BTD.dtype), layout, 'DV')

  def piece(_: None, part: tuple[jax.Array, jax.Array]) -> tuple[None, Scores]:
    x_XBTD, targets_XBT = part
    logits_XBTV = _logits(layout, multiplier, x_XBTD, w_DV)
    nats_XBT = _nats(logits_XBTV, targets_XBT)
    return None, Scores(nats_XBT, logits_XBTV.argmax(-1) == targets_XBT)

  cut = functools.partial(_cut, layout, count)
  _, found = jax.lax.scan(piece, None, (cut(x_BTD), cut(targets_BT)))
  return Scores(*(_join(x, targets_BT.shape) for x in found))


def total(layout: Layout, count: int, hidden: Hidden, targets_BT: jax.Array,
          weights_BT: jax.Array) -> jax.Array:
  """The weighted sum of nats over all positions, in `count` pieces, float32."""
  return _total(layout, count, hidden.multiplier, hidden.x_BTD, hidden.w_DV,
                targets_BT, weights_BT)


class Whole(NamedTuple):
  """Predictions whose logits are there."""

  logits_BTV: jax.Array

  def scores(self, targets_BT: jax.Array) -> Scores:
    """How well each position is predicted."""
    return plain(self.logits_BTV, targets_BT)

  def total(self, targets_BT: jax.Array, weights_BT: jax.Array) -> jax.Array:
    """The weighted sum of nats."""
    return (self.scores(targets_BT).nats_BT * weights_BT).sum()


class Pieces(NamedTuple):
  """Predictions whose logits are computed in so many pieces."""

  layout: Layout
  pieces: int
  hidden: Hidden

  def scores(self, targets_BT: jax.Array) -> Scores:
    """How well each position is predicted."""
    return scores(self.layout, self.pieces, self.hidden, targets_BT)

  def total(self, targets_BT: jax.Array, weights_BT: jax.Array) -> jax.Array:
    """The weighted sum of nats."""
    return total(self.layout, self.pieces, self.hidden, targets_BT, weights_BT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _total(layout: Layout, count: int, multiplier: float, x_BTD: jax.Array,
           w_DV: jax.Array, targets_BT: jax.Array,
           weights_BT: jax.Array) -> jax.Array:
  hidden = Hidden(x_BTD, w_DV, multiplier)
  return (scores(layout, count, hidden, targets_BT).nats_BT * weights_BT).sum()


def _forward(layout, count, multiplier, x_BTD, w_DV, targets_BT, weights_BT):
  w = linear.gathered(w_DV.astype(x_BTD.dtype), layout, 'DV')

  def piece(carry, part):
    value, dw_XDV = carry
    x_XBTD, targets_XBT, weights_XBT = part
    logits_XBTV = _logits(layout, multiplier, x_XBTD, w)
    value += (_nats(logits_XBTV, targets_XBT) * weights_XBT).sum()
    slope = jax.nn.softmax(logits_XBTV) - _is_target(logits_XBTV, targets_XBT)
    slope_XBTV = (slope * (multiplier * weights_XBT[..., None])).astype(w.dtype)
    dx_XBTD = jnp.einsum('XBTV,DV->XBTD', slope_XBTV, w)
    dw_XDV += _product('XBTD,XBTV->XDV', x_XBTD, slope_XBTV)
    return (value, _own(layout, dw_XDV, 'V')), dx_XBTD

  cut = functools.partial(_cut, layout, count)
  parts = (cut(x_BTD), cut(targets_BT), cut(weights_BT))
  # Each device sums over its own examples; what they found is summed once, at
  # the end, and not with every piece.
  zeros_XDV = _own(
    layout, jnp.zeros((parts[0].shape[1], *w_DV.shape), jnp.float32), 'V')
  (value, dw_XDV), dx = jax.lax.scan(piece, (jnp.float32(0), zeros_XDV), parts)
  dx_BTD = layout.constrain(_join(dx, x_BTD.shape), 'BTD')
  return value, (dx_BTD, layout.constrain(dw_XDV.sum(0), 'DV'))


def _backward(layout, count, multiplier, saved, dvalue):
  dx_BTD, dw_DV = saved
  return (dx_BTD * dvalue.astype(dx_BTD.dtype), dw_DV * dvalue, None, None)


_total.defvjp(_forward, _backward)


def _logits(layout: Layout, multiplier: float, x_XBTD: jax.Array,
            w_DV: jax.Array) -> jax.Array:
  logits_XBTV = _product('XBTD,DV->XBTV', x_XBTD, w_DV)
  return _own(layout, logits_XBTV * multiplier, 'V')


def _product(dimensions: str, a: jax.Array, b: jax.Array) -> jax.Array:
  """A product with a float32 result."""
  return jnp.einsum(dimensions, *cpu.multiplicable(a, b),
                    preferred_element_type=jnp.float32)


def _nats(logits_XBTV: jax.Array, targets_XBT: jax.Array) -> jax.Array:
  # By comparing, not by an index, which would gather a split vocabulary.
  picked = jnp.where(_is_target(logits_XBTV, targets_XBT), logits_XBTV, 0.0)
  return jax.nn.logsumexp(logits_XBTV, axis=-1) - picked.sum(-1)


def _is_target(logits_XBTV: jax.Array, targets_XBT: jax.Array) -> jax.Array:
  return targets_XBT[..., None] == jnp.arange(logits_XBTV.shape[-1])


def _own(layout: Layout, x: jax.Array, last: str | None) -> jax.Array:
  """Pins an array that leads with X, the groups of examples of a device."""
  return layout.constrain(x, ('B', *(None,) * (x.ndim - 2), last))


def _cut(layout: Layout, count: int, x: jax.Array) -> jax.Array:
  """(B,T,...) -> (pieces, X, B / X, T / pieces, ...).

  X are the devices that share B, each with its own examples. Positions that do
  not fill the last piece are added, with zeros, and so with no weight.
  """
  B, T = x.shape[:2]
  x = layout.constrain(x, 'BS' + 'D' * (x.ndim - 2))
  size = math.ceil(T / count)
  x = jnp.pad(x, ((0, 0), (0, count * size - T), *((0, 0),) * (x.ndim - 2)))
  X = layout.parts('B', B)
  x = x.reshape(X, B // X, count, size, *x.shape[2:])
  x = jnp.moveaxis(x, 2, 0)
  return layout.constrain(x, (None, 'B', *(None,) * (x.ndim - 2)))


def _join(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """What `_cut` cut, without what it added."""
  B, T = shape[:2]
  x = jnp.moveaxis(x, 0, 2)
  return x.reshape(B, -1, *x.shape[4:])[:, :T]
