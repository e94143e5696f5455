"""Sparse probes: a neuron is one feature, until the stream is rotated."""

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.instruments import properties, sparse_probe

EXAMPLES, WIDTH = 1024, 16


@pytest.fixture(scope='module')
def found():
  """Of three layers: one neuron, all of them, none."""
  rng = np.random.default_rng(0)
  label_B = rng.integers(2, size=EXAMPLES)
  noise_NBD = rng.standard_normal((3, EXAMPLES, WIDTH))
  axis_D = np.eye(WIDTH)[3]
  spread_D = rng.choice([-1, 1], WIDTH) / np.sqrt(WIDTH)
  code_ND = np.stack([axis_D, spread_D, 0 * axis_D])
  signal_B = 2.0 * label_B - 1
  x_NBD = 3 * signal_B[None, :, None] * code_ND[:, None] + noise_NBD
  x_NBD[:, :, 5] *= 1000  # an axis far larger than the others
  asked = [properties.Property('bit', label_B, 2, label_B)]
  curves = sparse_probe.curves(jnp.asarray(x_NBD, jnp.float32), asked)
  return curves, sparse_probe.rows_of(asked, curves, {})


def value(rows, metric, layer, **where):
  (one,) = (row.value for row in rows if row.metric == metric
            and {'layer': layer, **where}.items() <= row.where.items())
  return one


def test_one_neuron_is_enough_until_it_is_rotated(found):
  _, rows = found
  assert value(rows, 'sparse_features', 0, basis='neurons') == 1
  assert value(rows, 'sparse_features', 0, basis='rotated') >= 4
  assert value(rows, 'sparse_accuracy', 0, basis='neurons', k=1) > .98
  assert value(rows, 'sparse_accuracy', 0, basis='rotated', k=1) < .95
  assert value(rows, 'sparse_accuracy', 0, basis='rotated', k=WIDTH) > .98
  assert value(rows, 'basis_privilege', 0) > .03


def test_what_all_neurons_share_is_privileged_by_none(found):
  _, rows = found
  assert value(rows, 'sparse_features', 1, basis='neurons') >= 8
  assert value(rows, 'basis_privilege', 1) < .03


def test_noise_is_read_by_no_number(found):
  curves, rows = found
  for curve in curves.values():
    assert abs(curve.accuracy[2] - .5).max() < .1
  assert abs(value(rows, 'basis_privilege', 2)) < .03


def test_features_are_chosen_on_the_training_half_alone():
  """A neuron that tells the label in the test half only is of no use."""
  rng = np.random.default_rng(1)
  label_B = rng.integers(2, size=EXAMPLES)
  x_NBD = rng.standard_normal((1, EXAMPLES, WIDTH))
  x_NBD[0, EXAMPLES // 2:, 0] += 10 * label_B[EXAMPLES // 2:]
  curves = sparse_probe.curves(
    jnp.asarray(x_NBD, jnp.float32),
    [properties.Property('bit', label_B, 2, label_B)])
  assert curves['neurons'].accuracy[0, 0, 0] < .6


def test_a_share_of_nothing_is_no_number():
  assert sparse_probe.enough((1, 2, 4), np.array([.01, .02, .04])) == 0
  assert sparse_probe.enough((1, 2, 4), np.array([.1, .39, .4])) == 2


def test_sizes_are_powers_of_two_and_the_width():
  assert sparse_probe.sizes(16) == (1, 2, 4, 8, 16)
  assert sparse_probe.sizes(20) == (1, 2, 4, 8, 16, 20)
