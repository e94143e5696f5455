"""A bijection for every size, the same on the host and in a compiled step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.text.permutation import permute, window

SIZES = [*range(1, 35), 63, 64, 65, 1000, 4097]


@functools.partial(jax.jit, static_argnums=1)
def traced(index, size, seed, epoch):
  return permute(index, size, seed, epoch)


@pytest.mark.parametrize('size', SIZES)
def test_every_index_is_reached_once(size):
  index = np.arange(size, dtype=np.uint32)
  for seed, epoch in ((0, 0), (0, 1), (1, 0), (2**32 - 1, 2**32 - 1)):
    assert sorted(permute(index, size, seed, epoch)) == index.tolist()


@pytest.mark.parametrize('size', [1, 2, 3, 1000, 2**20 + 7, 2**32 - 1])
def test_host_and_device_agree(size):
  index = np.linspace(0, size - 1, 50).astype(np.uint32)
  for seed, epoch in ((0, 0), (7, 3)):
    np.testing.assert_array_equal(
      permute(index, size, seed, epoch),
      traced(jnp.asarray(index), size, jnp.uint32(seed), jnp.uint32(epoch)))


def test_replicas_have_the_orders_of_their_seeds():
  index = np.arange(100, dtype=np.uint32)
  together = jax.vmap(lambda seed: permute(jnp.asarray(index), 100, seed, 2))(
    jnp.arange(3))
  for seed in range(3):
    np.testing.assert_array_equal(permute(index, 100, seed, 2), together[seed])


def test_orders_look_independent():
  """Seeds, epochs and neighbours tell nothing; bounds of five sigma."""
  size = 10_000
  index = np.arange(size, dtype=np.uint32)
  orders = [permute(index, size, seed, epoch).astype(float)
            for seed in range(4) for epoch in range(4)]
  bound = 5 / np.sqrt(size)
  for i, order in enumerate(orders):
    assert abs(np.corrcoef(order, index)[0, 1]) < bound
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < bound
    for other in orders[:i]:
      assert abs(np.corrcoef(order, other)[0, 1]) < bound
      # The fixed points of one order against another are Poisson(1).
      assert (order == other).sum() < 10


def test_small_ranges_take_every_order():
  index = np.arange(3, dtype=np.uint32)
  orders = {tuple(permute(index, 3, seed, 0).tolist()) for seed in range(200)}
  assert len(orders) == 6


def test_each_window_is_met_once_an_epoch():
  met = window(np.arange(3 * 37, dtype=np.uint64), 37, 5)
  for epoch in met.reshape(3, 37):
    assert sorted(epoch) == list(range(37))
  assert len({epoch.tobytes() for epoch in met.reshape(3, 37)}) == 3


def test_examples_beyond_32_bits_keep_to_the_rule():
  first = np.uint64(37 * 2**33)
  met = window(first + np.arange(37, dtype=np.uint64), 37, 5)
  assert sorted(met) == list(range(37))
