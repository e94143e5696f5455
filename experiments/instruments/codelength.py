"""How many bits it takes to send labels to who has the features.

The online code (Rissanen, 1984; Voita and Titov, 2020): the first labels are
sent as they are; from then on a reader is fitted on what has been sent, and the
next labels are coded by its predictions, up to the end. A reader that needs
fewer examples, or is surer in the end, makes shorter codes, so its length says
how well a property can be read, and how hard that is, in one number.

Both readers have a Gaussian prior on their weights, which is what a few
examples are read by, and come to the maximum of the posterior: the linear one
by Nesterov's method at a step that is known to be short enough, the other,
which has one hidden layer, by Adam.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

# Voita and Titov, 2020: ends of the portions, % of the examples.
PORTIONS = (.1, .2, .4, .8, 1.6, 3.2, 6.25, 12.5, 25, 50, 100)
READERS = ('linear', 'mlp')
HIDDEN = 64  # units; Hewitt and Liang, 2019, have one layer too
PRECISION = 4.0  # of the prior on each weight, whose inputs have variance 1
STEPS = {'linear': 60, 'mlp': 100}
RATE = 1e-2  # of Adam, at its start; it falls to 0
BITS_PER_NAT = 1.4426950408889634  # 1 / ln 2


class Code(NamedTuple):
  """Of each property, (properties,).

  Attributes:
    bits: length of the code, an example.
    accuracy: of the reader of the first half on the second.
  """

  bits: jax.Array
  accuracy: jax.Array


def ends(count: int) -> tuple[int, ...]:
  """Where the portions of so many examples end; empty ones are left out."""
  found = {round(share * count / 100) for share in PORTIONS}
  return tuple(sorted(found - {0}))


@functools.partial(jax.jit, static_argnames=('classes', 'reader'))
def codes(x_NBD: jax.Array, label_PB: jax.Array, classes_P: jax.Array,
          classes: int, reader: str) -> Code:
  """Codes the labels of each property, from the features of each layer.

  Args:
    x_NBD: features of B examples, in random order, with mean 0 and covariance
      at most the identity; of any number of layers.
    label_PB: int32, labels.
    classes_P: how many classes each property has.
    classes: the most of them, or more.
    reader: 'linear' or 'mlp'.

  Returns:
    Arrays (layers, properties).
  """
  of_properties = jax.vmap(
    functools.partial(_code, classes=classes, reader=reader), (None, 0, 0))
  # One layer after the other, so that what is fitted stays in the cache.
  return jax.lax.map(lambda x_BD: of_properties(x_BD, label_PB, classes_P),
                     x_NBD)


def _code(x_BD: jax.Array, label_B: jax.Array, count: jax.Array, classes: int,
          reader: str) -> Code:
  stops = ends(len(x_BD))
  absent_V = jnp.where(jnp.arange(classes) < count, 0.0, -1e9)
  fit = functools.partial(_FITS[reader], absent_V)
  readers = [jax.vmap(functools.partial(fit, x_BD[:size], label_B[:size]))(
    jnp.array(group)) for size, group in _groups(stops[:-1])]
  fitted = jax.tree.map(lambda *parts: jnp.concatenate(parts), *readers)
  log_fBV = jax.nn.log_softmax(jax.vmap(
    lambda one: _READ[reader](one, x_BD) + absent_V)(fitted))
  log_fB = jnp.take_along_axis(log_fBV, label_B[None, :, None], -1)[..., 0]
  place = np.arange(len(x_BD))
  coded_fB = np.stack([(place >= start) & (place < stop)
                       for start, stop in itertools.pairwise(stops)])
  nats = stops[0] * jnp.log(count) - jnp.sum(log_fB * coded_fB)
  right_B = jnp.argmax(log_fBV[-1], axis=-1) == label_B
  return Code(BITS_PER_NAT * nats / len(x_BD), jnp.mean(right_B[stops[-2]:]))


def _groups(sizes: Sequence[int]) -> list[tuple[int, list[int]]]:
  """Sizes that are fitted together, each padded to the largest of its group.

  A program for each size would be long to compile, and one for all would be
  padded to the largest.
  """
  small = [size for size in sizes if 4 * size <= sizes[-1]]
  groups = [small, *([size] for size in sizes[len(small):])]
  return [(group[-1], group) for group in groups if group]


def _loss(read: Any, absent_V: jax.Array, x_BD: jax.Array, label_B: jax.Array,
          size: jax.Array, reader: Any) -> jax.Array:
  """Nats of the first `size` labels and of the reader itself, an example."""
  log_BV = jax.nn.log_softmax(read(reader, x_BD) + absent_V)
  log_B = jnp.take_along_axis(log_BV, label_B[:, None], -1)[:, 0]
  prior = sum(jnp.sum(w**2) for w in jax.tree.leaves(reader)) * PRECISION / 2
  return (prior - jnp.sum(log_B * (jnp.arange(len(x_BD)) < size))) / size


def _read_linear(w_DV: jax.Array, x_BD: jax.Array) -> jax.Array:
  return x_BD @ w_DV[:-1] + w_DV[-1]


def _fit_linear(absent_V: jax.Array, x_BD: jax.Array, label_B: jax.Array,
                size: jax.Array) -> jax.Array:
  """(D + 1, V), the bias last."""
  # The loss curves by at most half the largest variance (Böhning, 1992).
  own_BD = jnp.pad(x_BD, ((0, 0), (0, 1)), constant_values=1.0) * (
    jnp.arange(len(x_BD)) < size)[:, None]
  penalty = PRECISION / size
  curvature = penalty + 0.5 * jnp.linalg.eigvalsh(own_BD.T @ own_BD)[-1] / size
  ratio = jnp.sqrt(penalty / curvature)
  momentum = (1 - ratio) / (1 + ratio)
  slope = jax.grad(functools.partial(
    _loss, _read_linear, absent_V, x_BD, label_B, size))

  def step(state, _):
    w_DV, ahead_DV = state
    new_DV = ahead_DV - slope(ahead_DV) / curvature
    return (new_DV, new_DV + momentum * (new_DV - w_DV)), None

  zero_DV = jnp.zeros((x_BD.shape[1] + 1, len(absent_V)))
  (w_DV, _), _ = jax.lax.scan(step, (zero_DV, zero_DV), None,
                              length=STEPS['linear'])
  return w_DV


def _read_mlp(reader: Any, x_BD: jax.Array) -> jax.Array:
  w_DF, b_F, w_FV, b_V = reader
  return jax.nn.relu(x_BD @ w_DF + b_F) @ w_FV + b_V


def _fit_mlp(absent_V: jax.Array, x_BD: jax.Array, label_B: jax.Array,
             size: jax.Array) -> Any:
  """Weights and biases of the hidden layer, then of the output."""
  one, two = jax.random.split(jax.random.key(0))
  width, classes = x_BD.shape[1], len(absent_V)
  # He et al., 2015; the output begins at 0, so at equal shares.
  start = (jax.random.normal(one, (width, HIDDEN)) * (2 / width)**0.5,
           jnp.zeros(HIDDEN),
           jax.random.normal(two, (HIDDEN, classes)) * 1e-2,
           jnp.zeros(classes))
  slope = jax.grad(functools.partial(
    _loss, _read_mlp, absent_V, x_BD, label_B, size))
  rule = optax.adam(optax.cosine_decay_schedule(RATE, STEPS['mlp']))

  def step(state, _):
    reader, moments = state
    change, moments = rule.update(slope(reader), moments)
    return (optax.apply_updates(reader, change), moments), None

  (reader, _), _ = jax.lax.scan(step, (start, rule.init(start)), None,
                                length=STEPS['mlp'])
  return reader


_FITS = {'linear': _fit_linear, 'mlp': _fit_mlp}
_READ = {'linear': _read_linear, 'mlp': _read_mlp}


def flops(count: int, width: int, classes: int, reader: str) -> float:
  """Of the code of one property, from one layer of so many examples."""
  weights = (width * classes if reader == 'linear'
             else HIDDEN * (width + classes))
  fitted = sum(size * len(group) for size, group in _groups(ends(count)[:-1]))
  # Products with the weights, and those of the gradients.
  return 6.0 * weights * STEPS[reader] * fitted
