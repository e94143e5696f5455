"""A batch is a pure function of (instance, seed, split, step)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import SPLITS, batch_key
from data.sources.hop_string import HopStringConfig
from data.sources.markov import MarkovConfig
from data.sources.pointer_chasing import PointerChasingConfig
from data.sources.tree import TreeConfig

CONFIGS = {
  'direct': PointerChasingConfig(symbols=9, hops=(1, 2, 4)),
  'chain_of_thought': PointerChasingConfig(
    symbols=9, hops=(1, 2, 4), reasoning='chain_of_thought'),
  'hop_string': HopStringConfig(symbols=4, length=24, hops=(0, 1, 3)),
  'markov': MarkovConfig(symbols=16, length=12),
  'tree': TreeConfig(symbols=4, levels=3, filter_level=1),
}
B = 8


@pytest.fixture(params=CONFIGS, scope='module')
def source(request):
  return CONFIGS[request.param].open()


@pytest.fixture(scope='module')
def draw(source):
  """A compiled (instance, seed, step) -> batch of each of two splits."""
  return jax.jit(lambda instance, seed, step: [
    source.batch(instance, seed, split, step, B)
    for split in ('train', 'validation')])


def assert_equal(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_shapes_types_and_ranges(source, draw):
  batch = draw(source.instance(0), 0, 0)[0]
  for array_BT in batch[:3]:
    assert array_BT.shape == (B, source.length)
  assert batch.group_B.shape == (B,)
  assert [x.dtype for x in batch] == [
    jnp.int32, jnp.int32, jnp.float32, jnp.int32]
  for ids, end in ((batch.tokens_BT, source.vocab_size),
                   (batch.targets_BT, source.vocab_size),
                   (batch.group_B, len(source.groups))):
    assert ids.min() >= 0
    assert ids.max() < end
  assert set(np.unique(batch.weights_BT)) <= {0., 1.}
  assert (np.asarray(batch.weights_BT).sum(axis=1) > 0).all()
  assert source.bytes_V is None
  assert source.evaluation_steps('test', B) is None


def test_compiled_or_not_the_batch_is_the_same(source, draw):
  compiled = draw(source.instance(3), 1, 7)[0]
  assert_equal(draw(source.instance(3), 1, 7)[0], compiled)
  assert_equal(source.batch(source.instance(3), 1, 'train', 7, B), compiled)


def test_every_seed_split_and_step_draws_anew(source, draw):
  drawn = {
    np.asarray(batch.tokens_BT).tobytes()
    for seed, step in ((0, 0), (1, 0), (0, 1))
    for batch in draw(source.instance(0), seed, step)}
  assert len(drawn) == 6


def test_replicas_scanning_steps_draw_what_each_draws_alone(source, draw):
  instances = [source.instance(r) for r in range(2)]

  @jax.jit
  @jax.vmap
  def together(instance, seed):
    return jax.lax.scan(
      lambda _, step: (None, source.batch(instance, seed, 'train', step, B)),
      None, jnp.arange(2))[1]

  stacked = together(
    jax.tree.map(lambda *x: np.stack(x), *instances), jnp.array([5, 6]))
  for r, step in itertools.product(range(2), range(2)):
    assert_equal(jax.tree.map(lambda x: x[r, step], stacked),  # noqa: B023
                 draw(instances[r], 5 + r, step)[0])


def test_keys_are_distinct():
  places = itertools.product(range(3), SPLITS, range(3))
  keys = {np.asarray(jax.random.key_data(batch_key(*place))).tobytes()
          for place in places}
  assert len(keys) == 27
