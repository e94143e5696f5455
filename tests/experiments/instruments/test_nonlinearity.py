"""The nonlinearity index, where it is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import nonlinearity, passages
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network

CONFIG = model.ModelConfig(
  n_layers=2, d_model=8, mixer=model.AttentionConfig(n_heads=2),
  vocab_size=11, max_length=16, unroll=1)
RADII = jnp.array([.01, .1, 1.0])


@pytest.fixture(scope='module')
def given():
  tokens = np.random.default_rng(0).integers(11, size=40)
  network = Network(jax.jit(
    lambda key: model.init(CONFIG, key))(jax.random.key(0)), CONFIG)
  return Given(network, passages.cut([tokens], 16))


def test_a_linear_function_has_none_and_a_square_what_is_left_of_it():
  x_BTD, map_DD = jnp.ones((1, 2, 3)), jnp.arange(9.0).reshape(3, 3)
  linear = nonlinearity.index(lambda x: (x @ map_DD)[None], x_BTD, x_BTD, RADII)
  np.testing.assert_allclose(linear, 0, atol=2e-5)
  # (1 + r)^2 - 1 - 2 r = r^2 of a change of 2 r + r^2
  square = nonlinearity.index(lambda x: (x * x)[None], x_BTD, x_BTD, RADII)
  np.testing.assert_allclose(square[:, 0, 0, 0], RADII / (2 + RADII), rtol=1e-3)


def test_blocks_that_add_nothing_are_linear(given):
  params = {**given.network.params}
  params['stack'] = jax.tree.map(jnp.zeros_like, params['stack'])
  rows = nonlinearity.measure(Given(
    Network(params, CONFIG), given.passages, untrained=given.network))
  own = [row for row in rows if 'network' not in row.where]
  assert len(own) == 2 * len(nonlinearity.RADII)
  assert max(row.value for row in own) < 1e-4


def test_it_vanishes_with_the_radius_and_grows_with_depth(given):
  value = {(row.where['layer'], row.where['radius']): row.value
           for row in nonlinearity.measure(given)
           if 'network' not in row.where}
  for layer in (1, 2):
    small, large = value[layer, .01], value[layer, 1.0]
    assert 0 < small < .1 < large
    # The remainder is of the second order.
    assert value[layer, .1] / small == pytest.approx(10, rel=.5)
  assert value[2, .1] > value[1, .1]
