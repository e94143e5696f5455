import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from model import Hidden, Layout
from train import MeshConfig, cross_entropy, placement

B, T, D, V = 4, 10, 8, 24
MULTIPLIER = 0.25  # as under CompleteP


def arrays(dtype=np.float32):
  random = np.random.default_rng(0)
  return (random.standard_normal((B, T, D)).astype(dtype),
          random.standard_normal((D, V)).astype(np.float32),
          random.integers(V, size=(B, T), dtype=np.int32),
          random.random((B, T)).astype(np.float32))


def plain(x_BTD, w_DV, targets_BT, weights_BT):
  logits_BTV = MULTIPLIER * jnp.einsum(
    'BTD,DV->BTV', x_BTD.astype(jnp.float32), w_DV)
  return (cross_entropy.plain(logits_BTV, targets_BT).nats_BT
          * weights_BT).sum() / 7


def in_pieces(layout, count, x_BTD, w_DV, targets_BT, weights_BT):
  hidden = Hidden(x_BTD, w_DV, MULTIPLIER)
  return cross_entropy.total(layout, count, hidden, targets_BT, weights_BT) / 7


def compare(layout, count):
  run = jax.jit(jax.value_and_grad(
    functools.partial(in_pieces, layout, count), (0, 1)))
  expected = jax.jit(jax.value_and_grad(plain, (0, 1)))(*arrays())
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
               run(*arrays()), expected)


@pytest.mark.parametrize('count', [1, 3, 10])  # 3 does not divide T
def test_pieces_equal_the_whole_with_their_gradients(count):
  compare(Layout(), count)


@pytest.mark.parametrize('axes', [
  {'data': 2, 'tensor': 4}, {'data': 2, 'fsdp': 2, 'tensor': 2}, {'data': 4}])
def test_pieces_over_devices_equal_the_whole(axes):
  mesh = placement.make_mesh(MeshConfig(replica=1, **axes))
  compare(placement.layout(mesh), 3)


def test_scores_in_pieces_equal_scores_from_logits():
  x_BTD, w_DV, targets_BT, _ = arrays()
  found = jax.jit(lambda: cross_entropy.scores(
    Layout(), 3, Hidden(x_BTD, w_DV, MULTIPLIER), targets_BT))()
  expected = cross_entropy.plain(MULTIPLIER * x_BTD @ w_DV, targets_BT)
  np.testing.assert_allclose(found.nats_BT, expected.nats_BT, atol=1e-5)
  np.testing.assert_array_equal(found.hit_BT, expected.hit_BT)


def test_without_a_gradient_the_value_is_the_same():
  run = functools.partial(in_pieces, Layout(), 3)
  value, _ = jax.jit(jax.value_and_grad(run))(*arrays())
  np.testing.assert_allclose(jax.jit(run)(*arrays()), value, rtol=1e-6)


def test_softmax_and_gradient_sums_are_float32_at_bfloat16():
  x_BTD, *rest = arrays(jnp.bfloat16)
  run = jax.jit(jax.value_and_grad(
    functools.partial(in_pieces, Layout(), 3), (0, 1)))
  value, (dx_BTD, dw_DV) = run(x_BTD, *rest)
  expected, slopes = jax.value_and_grad(plain, (0, 1))(x_BTD, *rest)
  assert (value.dtype, dx_BTD.dtype, dw_DV.dtype) == (
    jnp.float32, jnp.bfloat16, jnp.float32)
  np.testing.assert_allclose(value, expected, rtol=5e-3)  # w is rounded
  for own, other in zip((dx_BTD, dw_DV), slopes):
    own, other = np.float32(own), np.float32(other)
    np.testing.assert_allclose(own, other, atol=2e-2 * np.abs(other).max())


@pytest.mark.parametrize(('size', 'count'), [
  ((4, 512, 8192), 1),  # the largest of the CPU benchmark
  ((32, 1024, 50257), 13),  # GPT-2: 6.6 GB of logits
  ((1, 1, 2**28), 1)])  # nothing to cut
def test_pieces_are_for_large_vocabularies(size, count):
  assert cross_entropy.pieces(Layout(), *size) == count


def test_a_split_vocabulary_and_batch_need_fewer_pieces():
  mesh = placement.make_mesh(MeshConfig(replica=1, data=2, tensor=4))
  layout = placement.layout(mesh)
  assert cross_entropy.pieces(layout, 32, 1024, 50264) == 2
  assert cross_entropy.pieces(layout, 32, 1024, 50257) == 7  # stays whole


def test_no_logits_of_the_whole_batch_in_the_program():
  compiled = jax.jit(jax.grad(
    functools.partial(in_pieces, Layout(), 5), (0, 1))).lower(*arrays())
  text = compiled.compile().as_text()
  assert f'f32[1,{B},{T // 5},{V}]' in text or f'f32[{B * T // 5},{V}]' in text
  for shape in (f'f32[{B},{T},{V}]', f'f32[{B * T},{V}]', f'f32[1,{B},{T},{V}]',
                f'f32[5,1,{B},{T // 5},{V}]'):
    assert shape not in text
