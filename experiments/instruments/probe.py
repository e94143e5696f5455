"""Linear probes: what a linear reader can tell from frozen features.

A probe is an L2-regularised multinomial logistic regression on features that
were reduced by principal components and whitened. Whitening makes the probe
blind to any invertible linear map of the features, so a residual stream that
merely grows from layer to layer scores the same in each. It also bounds the
curvature of the loss by one half (Böhning, 1992), so Nesterov's method runs
at a step and momentum known beforehand: a fixed number of matrix products, no
line search, the same for every probe of a grid.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Per example and per squared weight. Against the curvature bound of 1/2 it
# gives a condition number of 51, so 60 steps leave a gradient below 1e-4.
PENALTY = 1e-2
STEPS = 60
COMPONENTS = 32
# Components below this share of the largest variance are rounding error: a
# whitened direction of pure float32 noise would otherwise count as a feature.
NOISE_FLOOR = 1e-6


class Whitening(NamedTuple):
  """Centres features and maps them to unit-variance components.

  Attributes:
    mean_D: the training mean.
    map_DD: principal directions over their standard deviations, from
      features to components.
  """

  mean_D: jax.Array
  map_DD: jax.Array

  def __call__(self, x_BD: jax.Array) -> jax.Array:
    """Returns the components (B, D)."""
    return (x_BD - self.mean_D) @ self.map_DD


class Probe(NamedTuple):
  """A fitted reader: logits of V classes are `w_VD @ components + b_V`."""

  w_VD: jax.Array
  b_V: jax.Array

  def __call__(self, x_BD: jax.Array) -> jax.Array:
    """Returns the predicted class of each example, int (B,)."""
    return jnp.argmax(x_BD @ self.w_VD.T + self.b_V, axis=-1)


def fit_whitening(x_BD: jax.Array, components: int = COMPONENTS) -> Whitening:
  """Fits principal components on training features.

  Args:
    x_BD: training features.
    components: how many to keep; all, where there are fewer features.

  Returns:
    The map; directions without variance are mapped to zero.
  """
  batch, width = x_BD.shape
  mean_D = jnp.mean(x_BD, axis=0)
  centred_BD = x_BD - mean_D
  rank = min(components, width)
  variance_D, axes_DD = jnp.linalg.eigh(centred_BD.T @ centred_BD / batch)
  variance_D = variance_D[::-1][:rank]
  floor = NOISE_FLOOR * variance_D[0]
  present_D = (variance_D > floor) & (variance_D > 0)
  scale_D = jnp.where(
    present_D, jax.lax.rsqrt(jnp.where(present_D, variance_D, 1.0)), 0.0)
  return Whitening(mean_D, axes_DD[:, ::-1][:, :rank] * scale_D)


def fit(x_BD: jax.Array, y_B: jax.Array, classes: int,
        penalty: float = PENALTY, steps: int = STEPS) -> Probe:
  """Fits a multinomial logistic regression to whitened features.

  Minimises the mean cross-entropy (nats) plus penalty/2 times the squared
  weights, biases excluded, by Nesterov's method for a strongly convex
  function (Nesterov, 2004, section 2.2).

  Args:
    x_BD: features with mean 0 and covariance at most the identity.
    y_B: classes, int in [0, classes).
    classes: V.
    penalty: L2 penalty.
    steps: full-batch gradient steps.

  Returns:
    The fitted probe.
  """
  batch, components = x_BD.shape
  # Examples go last: the two products of a step then run along the long axis.
  x_DB = x_BD.T
  target_VB = jax.nn.one_hot(y_B, classes, axis=0)
  curvature = 0.5 + penalty
  ratio = (penalty / curvature) ** 0.5
  momentum = (1 - ratio) / (1 + ratio)

  def step(state, _):
    probe, ahead = state
    logits_VB = ahead.w_VD @ x_DB + ahead.b_V[:, None]
    error_VB = jax.nn.softmax(logits_VB, axis=0) - target_VB
    gradient = Probe(error_VB @ x_BD / batch + penalty * ahead.w_VD,
                     jnp.mean(error_VB, axis=1))
    new = jax.tree.map(lambda p, g: p - g / curvature, ahead, gradient)
    ahead = jax.tree.map(lambda p, q: p + momentum * (p - q), new, probe)
    return (new, ahead), None

  zero = Probe(jnp.zeros((classes, components)), jnp.zeros(classes))
  (probe, _), _ = jax.lax.scan(step, (zero, zero), None, length=steps)
  return probe


def held_out_accuracy(train_x_BD: jax.Array, train_y_B: jax.Array,
                      test_x_BD: jax.Array, test_y_B: jax.Array,
                      classes: int, components: int = COMPONENTS) -> jax.Array:
  """Accuracy, on the test half, of a probe fitted on the training half.

  Pure and batchable over any leading axis with `jax.vmap` or `jax.lax.map`.

  Args:
    train_x_BD: training features.
    train_y_B: training classes, int in [0, classes).
    test_x_BD: test features.
    test_y_B: test classes.
    classes: V.
    components: principal components kept, the same for all that is compared.

  Returns:
    Share of test examples that are right, a float32 scalar.
  """
  whiten = fit_whitening(train_x_BD, components)
  probe = fit(whiten(train_x_BD), train_y_B, classes)
  return jnp.mean(probe(whiten(test_x_BD)) == test_y_B)


def control_labels(types_BT: np.ndarray, classes: int,
                   rng: np.random.Generator) -> np.ndarray:
  """Labels of the control task: a random class for each type of input.

  What a type is is the caller's to say (a word, the leaves under a node). A
  probe that scores as well on these labels as on the real ones has learned
  the labels itself rather than read them (Hewitt and Liang, 2019).

  Args:
    types_BT: ints that name the type of each example; any length T.
    classes: V.
    rng: draws the classes.

  Returns:
    (B,) int, the same for equal rows of `types_BT`.
  """
  types, type_B = np.unique(types_BT, axis=0, return_inverse=True)
  return rng.integers(classes, size=len(types))[type_B.reshape(-1)]
