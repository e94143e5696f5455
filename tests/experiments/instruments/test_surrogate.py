"""Linear surrogates, on streams of which it is known what they can explain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.instruments import passages, surrogate
from experiments.instruments.network import Network
from model import AttentionConfig, ModelConfig, init

WIDTH, LENGTH = 12, 33
VALID = np.ones((8, LENGTH), bool)


def streams(seed, bends=3, many=6):
  """Each adds a linear map of the one before; from `bends` on, waves too."""
  rng, constants = np.random.default_rng(seed), np.random.default_rng(9)
  found = [rng.normal(size=(8, LENGTH, WIDTH))]
  found[0][:, 0] = 1e4  # what models do at the first position
  for j in range(1, many):
    w = constants.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
    more = 0.3 * found[-1] @ w + 1
    waves = 4 * np.cos(3 * found[-1]) if j >= bends else 0
    found.append(found[-1] + more + waves)
  return jnp.asarray(np.stack(found), jnp.float32)


def explained(i, fit_on, scored_on, **given):
  maps = surrogate.fit(fit_on, VALID, i, 1e-4, **given)
  return surrogate.explained(maps, scored_on, VALID, i)


def test_linear_layers_are_explained_on_other_texts_and_others_are_not():
  shares = explained(0, streams(0), streams(1))
  for own_JB in shares:
    assert np.all(own_JB[0] == 0)
    assert np.all(own_JB[1:3] > 0.99)
    assert np.all(own_JB[3:] < 0.6)
  later = explained(3, streams(0), streams(1)).even_JB
  assert np.all(later[:4] == 0)


def test_noise_is_not_explained():
  noise = jnp.asarray(np.random.default_rng(2).normal(
    size=(3, 8, LENGTH, WIDTH)).cumsum(0), jnp.float32)
  other = jnp.asarray(np.random.default_rng(3).normal(
    size=(3, 8, LENGTH, WIDTH)).cumsum(0), jnp.float32)
  assert np.all(np.abs(explained(0, noise, other).even_JB.mean(1)[1:]) < 0.15)


@pytest.fixture(scope='module')
def network():
  config = ModelConfig(n_layers=4, d_model=16, vocab_size=31,
                       mixer=AttentionConfig(n_heads=2), unroll=1)
  return Network(init(config, jax.random.key(0)), config)


def test_what_replaces_nothing_or_is_exact_keeps_every_word(network):
  rng = np.random.default_rng(0)
  read = passages.cut(rng.integers(31, size=(3, 12)).tolist(), 12)
  stream = surrogate.streams(network, read)
  place = np.tile([1, 5, 9], (3, 1))
  whole = np.argmax(network.unembed(stream[-1]), -1)[:, [1, 5, 9]]
  maps = surrogate.fit(stream, read.valid_BT, 1)
  same = surrogate.replaced(network, read, maps, stream, 1, 1, place)
  np.testing.assert_array_equal(same, whole)
  # A map that gives the very stream 3 at one position keeps its word.
  exact = maps._replace(
    w_JDD=maps.w_JDD * 0, z_JD=maps.z_JD.at[3].set((stream[3] - stream[1])[
      0, 1]))
  assert surrogate.replaced(
    network, read, exact, stream, 1, 3, place[:, :1])[0, 0] == whole[0, 0]
  other = maps._replace(w_JDD=maps.w_JDD * 0, z_JD=maps.z_JD + 50.0)
  assert np.mean(surrogate.replaced(
    network, read, other, stream, 1, 3, place) != whole) > 0.5


def test_where_layers_can_stand():
  assert surrogate.starts(30, 1) == (1, 15, 29)
  assert surrogate.starts(30, 29) == (1,)
  shares = np.zeros((5, 5))
  shares[1, 3], shares[2, 4], shares[0, 2] = 1.0, 0.5, 9.0
  assert surrogate.curve(shares, 2) == 0.75
  assert surrogate.spread_out(9, 3) == [1, 4, 8]
