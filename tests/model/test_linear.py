import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import model
from model import backend, linear
from model.layout import Layout


@pytest.mark.parametrize(('dtype', 'tolerance'), [
  (jnp.float32, 1e-5), (jnp.bfloat16, 4e-2)])
@pytest.mark.parametrize(('tokens', 'heads', 'width'), [
  ((3, 4), (2, 5), 6), ((3, 4), (2, 5), 12)], ids=str)
def test_the_cpu_product_and_its_gradients_are_the_usual_ones(
    dtype, tolerance, tokens, heads, width):
  x_RBTHK = tiny.normal(2, *tokens, *heads, seed=0).astype(dtype)
  w_RHKD = tiny.normal(2, *heads, width, seed=1)
  c_BTD = tiny.normal(*tokens, width, seed=2)

  def gradients(product):
    def loss(x, w):
      y = product(x, w)
      return (y.astype(jnp.float32) * c_BTD).sum(), y
    return tiny.jit(jax.vmap(jax.grad(loss, (0, 1), has_aux=True)))(
      x_RBTHK, w_RHKD)

  ours = gradients(lambda x, w: linear.project(x, w, axes=2))
  usual = gradients(lambda x, w: jnp.tensordot(x, w.astype(x.dtype), 2))
  for own, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(usual)):
    assert own.dtype == expected.dtype
    own, expected = np.float32(own), np.float32(expected)
    np.testing.assert_allclose(own, expected, rtol=tolerance,
                               atol=tolerance * np.abs(expected).max())


def test_the_result_may_be_wider_than_the_input():
  y = jax.eval_shape(lambda: linear.project(
    jnp.ones((2, 3), jnp.bfloat16), jnp.ones((3, 4)), dtype=jnp.float32))
  assert (y.shape, y.dtype) == ((2, 4), jnp.float32)


def wide(x_BTHK, w_HKD):
  y_BTD = linear.project(x_BTHK, w_HKD, axes=2, dtype=jnp.float32)
  return jnp.square(y_BTD).sum()


def test_other_backends_compute_the_same():
  x_BTHK, w_HKD = tiny.normal(3, 4, 2, 5), tiny.normal(2, 5, 6)
  here = tiny.jit(lambda: jax.grad(wide, (0, 1))(x_BTHK, w_HKD))()
  with backend.compiling_for('gpu'):
    there = tiny.jit(lambda: jax.grad(wide, (0, 1))(x_BTHK, w_HKD))()
  for a, b in zip(here, there):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_what_is_split_is_gathered_in_the_dtype_of_the_products():
  """And its gradient is summed in float32, where the parameter lives."""
  asked = []

  class Asking(Layout):
    def constrain(self, x, letters, gradient=()):
      asked.append((x.dtype.name, tuple(letters)))
      return x

  def loss(w_DF):
    x_BTD = jnp.ones((2, 3, 4), jnp.bfloat16)
    return linear.project(x_BTD, w_DF, Asking(), 'DF', dtype=jnp.float32).sum()

  jax.eval_shape(jax.grad(loss), jnp.ones((4, 5)))
  *products, reduced, share = asked
  assert set(products) == {('bfloat16', (None, 'F'))}
  assert reduced == ('float32', (None, 'F'))
  assert share == ('float32', ('D', 'F'))


@pytest.mark.parametrize('changes', [
  {'unembedding': 'tied'}, {'feed_forward': 'gated', 'n_kv_heads': 1},
  *({'mixer': mixer} for mixer in tiny.MIXERS)], ids=str)
def test_a_processor_runs_every_model_in_bfloat16(changes):
  config = tiny.config(**{'d_model': 32, 'vocab_size': 67, **changes})
  rough = dataclasses.replace(config, dtype='bfloat16')
  params, tokens = tiny.params(config), tiny.tokens(vocab_size=67)

  def slopes(config):
    return tiny.jit(jax.grad(lambda params: jax.nn.logsumexp(
      model.apply(config, params, tokens).logits_BTV, -1).mean()))(params)

  for own, expected in zip(jax.tree.leaves(slopes(rough)),
                           jax.tree.leaves(slopes(config))):
    assert own.dtype == jnp.float32
    assert (np.linalg.norm(own - expected)
            < 0.2 * np.linalg.norm(expected) + 1e-3)


def test_the_gradient_of_a_bias_is_summed_in_float32():
  y_BTD = jnp.zeros((2, 4099, 3), jnp.bfloat16)
  slope_D = tiny.jit(jax.grad(lambda b_D: linear.biased(y_BTD, b_D).astype(
    jnp.float32).sum()))(jnp.zeros(3))
  np.testing.assert_array_equal(slope_D, 2 * 4099)  # which bfloat16 has not


def test_accelerators_multiply_bfloat16_and_sum_in_float32():
  """No product with a float32 input, and a gradient that is never rounded."""
  x_BTHK, w_HKD = jnp.ones((3, 4, 2, 5), jnp.bfloat16), jnp.ones((2, 5, 6))
  with backend.compiling_for('gpu'):
    traced = jax.jit(jax.grad(wide, (0, 1))).trace(x_BTHK, w_HKD)
  text = traced.lower(lowering_platforms=('cuda',)).as_text()
  products = [line for line in text.splitlines() if 'dot_general' in line]
  ends = [line.rsplit(' : ', 1)[1].split(' -> ') for line in products]
  assert len(ends) == 3
  assert all('f32' not in inputs for inputs, _ in ends)
  assert sorted(out.rsplit('x', 1)[1] for _, out in ends) == [
    'bf16>', 'f32>', 'f32>']
