"""How many neurons a property takes, and whether neurons are special.

The k features that tell the classes apart best by an analysis of variance, on
the training half, are all that a ridge regression on the classes reads; its
accuracy on the other half, by k, is the curve (Gurnee et al., 2023). The same
after a random rotation of the stream says what its axes have to do with it: a
stream has no axes of its own, unless training gave it some (Elhage et al.,
2023).

Features are standardised before they are rotated, so that what a rotation does
is not to spread the few axes that are far larger than all others.

The regression is in closed form. The features of a label stand in the order of
their F, so one Cholesky factor has in its corners those of every k.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import properties
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import forward_flops
from experiments.instruments.properties import Property
from experiments.runs.subject import Row
from model import ModelConfig

EXAMPLES = 2048
FEWEST = 64
PENALTY = 0.1  # per example, beside features of variance 1
SHARE = .95  # of what all features gain over the commonest class
LEAST_GAIN = .05  # of accuracy, below which there is nothing to have a share of
SEED = 0  # of the order of the examples, and of the rotation
BASES = ('neurons', 'rotated')


class Curve(NamedTuple):
  """Accuracy by the number of features that are read.

  Attributes:
    sizes: k, 1 to D.
    accuracy: held out, (layers, properties, sizes).
    commonest_P: of the class that is commonest in training, held out.
  """

  sizes: tuple[int, ...]
  accuracy: np.ndarray
  commonest_P: np.ndarray


def measure(given: Given) -> list[Row]:
  """Reads the properties of the text off k features of every layer.

  Returns:
    By property and layer, of the network and of its baseline:
    `sparse_features` by basis ('neurons', 'rotated'), the least k that has
    SHARE of the most that any k gains over the commonest class, where that is
    LEAST_GAIN or more; `basis_privilege`: mean accuracy of neurons minus that
    of rotated axes, over all k, which are powers of two. Of the network also
    `sparse_accuracy` by basis and k. No rows where the text has too few
    examples, none of a property that hardly varies.
  """
  chosen = properties.examples(given.passages, EXAMPLES, SEED)
  if len(chosen.row_B) < FEWEST:
    return []
  asked = properties.of(chosen, given.tokenizer)
  rows = []
  for network, places in given.networks():
    if asked:
      x_NBD = properties.streams(network, chosen)
      rows += rows_of(asked, curves(x_NBD, asked), places)
  return rows


def rows_of(asked: Sequence[Property], found: dict[str, Curve],
            places: dict[str, str]) -> list[Row]:
  """What `measure` says of one network."""
  rows = []
  layers = len(found[BASES[0]].accuracy)
  for layer, (index, each) in (
      (layer, pair) for layer in range(layers) for pair in enumerate(asked)):
    where: dict[str, int | str] = {
      'layer': layer, 'property': each.name, **places}
    area = {}
    for basis, curve in found.items():
      accuracy = curve.accuracy[layer, index]
      area[basis] = float(accuracy.mean())
      if size := enough(curve.sizes, accuracy - curve.commonest_P[index]):
        rows.append(Row('sparse_features', size, {**where, 'basis': basis}))
      if not places:
        rows += [Row('sparse_accuracy', float(value),
                     {**where, 'basis': basis, 'k': size})
                 for size, value in zip(curve.sizes, accuracy)]
    rows.append(Row('basis_privilege', area['neurons'] - area['rotated'],
                    where))
  return rows


def enough(sizes: Sequence[int], gain: np.ndarray) -> int:
  """The least size that has SHARE of the most that is gained; 0: too little."""
  if gain.max() < LEAST_GAIN:
    return 0
  return sizes[int(np.argmax(gain >= SHARE * gain.max()))]


def curves(x_NBD: jax.Array, asked: Sequence[Property]) -> dict[str, Curve]:
  """Curves by basis, of labels read off the streams of examples."""
  width, half = x_NBD.shape[-1], x_NBD.shape[1] // 2
  label_PB, classes_P = properties.labels(asked)
  rotation_DD, _ = np.linalg.qr(
    np.random.default_rng(SEED).standard_normal((width, width)))
  commonest_P = np.array([
    np.mean(label_B[half:] == np.bincount(label_B[:half]).argmax())
    for label_B in label_PB])
  bases = dict(zip(BASES, (np.eye(width), rotation_DD)))
  return {
    basis: Curve(sizes(width), np.asarray(_accuracies(
      x_NBD, jnp.asarray(axes_DD, jnp.float32), label_PB, int(max(classes_P)))),
                 commonest_P)
    for basis, axes_DD in bases.items()}


def sizes(width: int) -> tuple[int, ...]:
  """1, 2, 4, … and all."""
  return (*(2**power for power in range((width - 1).bit_length())), width)


@functools.partial(jax.jit, static_argnums=3)
def _accuracies(x_NBD: jax.Array, axes_DD: jax.Array, label_PB: jax.Array,
                classes: int) -> jax.Array:
  """(layers, properties, sizes)."""
  half = x_NBD.shape[1] // 2

  def layer(x_BD: jax.Array) -> jax.Array:
    x_BD = _standardised(_standardised(x_BD, half) @ axes_DD, half)
    product_DD = x_BD[:half].T @ x_BD[:half] / half
    product_DD += PENALTY * jnp.eye(len(product_DD))
    return jax.lax.map(
      lambda label_B: _accuracy(x_BD, product_DD, label_B, half, classes),
      label_PB)

  return jax.lax.map(layer, x_NBD)


def _standardised(x_BD: jax.Array, half: int) -> jax.Array:
  """Mean 0 and variance 1 over the first half; 0 where nothing varies."""
  x_BD = x_BD - x_BD[:half].mean(axis=0)
  scale_D = x_BD[:half].std(axis=0)
  there_D = scale_D > 1e-6 * scale_D.max()
  return jnp.where(there_D, x_BD / jnp.where(there_D, scale_D, 1), 0)


def _accuracy(x_BD: jax.Array, product_DD: jax.Array, label_B: jax.Array,
              half: int, classes: int) -> jax.Array:
  """Of each size, on the second half."""
  hot_BV = jax.nn.one_hot(label_B[:half], classes)
  share_V = hot_BV.mean(axis=0)
  score_DV = x_BD[:half].T @ (hot_BV - share_V) / half
  # Features have variance 1, so F grows with the share of it that lies between
  # the classes: sum over classes of share times squared mean.
  between_D = jnp.sum(score_DV**2 / jnp.where(share_V > 0, share_V, 1), axis=1)
  order_D = jnp.argsort(-between_D)
  lower_DD = jnp.linalg.cholesky(product_DD[order_D][:, order_D])
  x_BD, score_DV = x_BD[half:, order_D], score_DV[order_D]
  solve = jax.scipy.linalg.cho_solve
  return jnp.stack([
    jnp.mean(jnp.argmax(
      x_BD[:, :size] @ solve((lower_DD[:size, :size], True), score_DV[:size])
      + share_V, axis=1) == label_B[half:])
    for size in sizes(x_BD.shape[1])])


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Two networks are read, each in two bases."""
  del calibration
  examples, width = min(tokens, EXAMPLES), config.d_model
  asked = 3 + len(properties.SPELLING)
  classes = properties.CLASSES
  rotated = 3 * examples * width**2  # the rotation, and products of features
  solved = width**3 / 3 + 4 * (width**2 + examples * width) * classes
  return (2 * forward_flops(config, examples)
          + 4 * (config.n_layers + 1) * (rotated + asked * solved))


INSTRUMENT = Instrument(
  name='sparse-probes',
  title='How many neurons a property takes',
  says='A reader that sees the k best neurons of a layer alone. How many it '
       'needs, and whether neurons serve it better than directions drawn at '
       'random: if not, a single neuron stands for nothing there.',
  source='Gurnee et al., 2023',
  measure=measure, flops=flops,
  metrics={
    'sparse_accuracy': 'share that is right',
    'sparse_features': 'neurons or axes for 95 % of what all gain',
    'basis_privilege': 'accuracy of neurons, minus that of random axes'})
