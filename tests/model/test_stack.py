import dataclasses

import jax
import numpy as np
import pytest
import tiny

import model
from model import stack

THREE = {'n_layers': 3}


@pytest.mark.parametrize(('mixer', 'changes'), [
  ('attention', {'layers': 'tied'}), ('gru', {'feed_forward': 'none'}),
  ('dilated_convolution', {'norm_placement': 'scaled'})])
def test_unrolling_changes_nothing(mixer, changes):
  scanned = tiny.config(mixer, **THREE, **changes)
  unrolled = dataclasses.replace(scanned, unroll=3)
  assert tiny.shapes_of(scanned) == tiny.shapes_of(unrolled)
  params = tiny.params(scanned)
  np.testing.assert_allclose(tiny.logits(scanned, params, tiny.tokens()),
                             tiny.logits(unrolled, params, tiny.tokens()),
                             atol=1e-5)


def test_unrolling_changes_no_gradient():
  scanned = tiny.config(feed_forward='none')
  unrolled = dataclasses.replace(scanned, unroll=2)

  def gradients(config):
    def loss(params):
      return model.apply(config, params, tiny.tokens()).logits_BTV.mean()
    return tiny.jit(jax.grad(loss))(tiny.params(scanned))

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
               gradients(scanned), gradients(unrolled))


def test_a_full_unroll_leaves_no_loop():
  config = tiny.config(**THREE)

  def loops(unroll):
    changed = dataclasses.replace(config, unroll=unroll)
    step = tiny.jit(lambda params: model.apply(changed, params, tiny.tokens()))
    return step.lower(tiny.params(config)).as_text().count('stablehlo.while')

  assert (loops(1), loops(3)) == (1, 0)


def test_remat_changes_memory_alone():
  """Temporaries fall from 'none' over 'dots' to 'full'; gradients stay."""
  base = tiny.config(n_layers=6, d_model=32, unroll=0)
  params, tokens_BT = tiny.params(base), tiny.tokens(8, 64)
  grads, bytes_ = {}, {}
  for remat in ('none', 'dots', 'full'):
    config = dataclasses.replace(base, remat=remat)

    def loss(params, config=config):
      logits_BTV = model.apply(config, params, tokens_BT).logits_BTV
      return jax.nn.logsumexp(logits_BTV, axis=-1).sum()

    compiled = jax.jit(jax.grad(loss)).lower(params).compile()
    grads[remat] = compiled(params)
    bytes_[remat] = compiled.memory_analysis().temp_size_in_bytes
  assert bytes_['full'] < bytes_['dots'] < bytes_['none']
  for remat in ('dots', 'full'):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=1e-4, atol=1e-4 * max(1, np.abs(a).max())),
      grads['none'], grads[remat])


def test_automatic_unrolling_is_for_small_stacks():
  small, large = tiny.config(unroll=0), tiny.config(unroll=0, n_layers=64)
  assert (stack.unroll(small), stack.unroll(large)) == (2, 1)
  assert stack.unroll(tiny.config(unroll=9)) == 2


def test_tied_layers_equal_separate_layers_with_the_same_weights():
  tied = tiny.config(layers='tied', **THREE)
  separate = dataclasses.replace(tied, layers='separate')
  params = tiny.params(tied)
  copies = jax.tree.map(lambda x: np.stack([x] * 3), params['stack'])
  np.testing.assert_allclose(
    tiny.logits(tied, params, tiny.tokens()),
    tiny.logits(separate, {**params, 'stack': copies}, tiny.tokens()),
    atol=1e-5)


def test_scaled_norms_equal_smaller_norm_parameters():
  scaled = tiny.config('convolution', norm_placement='scaled')
  pre = dataclasses.replace(scaled, norm_placement='pre')
  params = tiny.params(scaled)
  smaller = dict(params['stack'])
  for name in ('mixer_norm', 'ffn_norm'):
    smaller[name] = {
      key: value_ND / np.sqrt(np.arange(1, 3))[:, None]
      for key, value_ND in smaller[name].items()}
  np.testing.assert_allclose(
    tiny.logits(scaled, params, tiny.tokens()),
    tiny.logits(pre, {**params, 'stack': smaller}, tiny.tokens()), atol=1e-5)


def test_a_stream_can_be_the_logits():
  config = tiny.config('convolution', unembedding='none', vocab_size=8,
                       parameterisation='standard')
  params = tiny.params(config)
  assert 'unembedding' not in params
  scored = dataclasses.replace(config, unembedding='separate')
  with_eye = {**params, 'unembedding': {'w_DV': np.eye(8, dtype=np.float32)}}
  np.testing.assert_allclose(tiny.logits(config, params, tiny.tokens()),
                             tiny.logits(scored, with_eye, tiny.tokens()))
  with pytest.raises(model.ConfigError, match=r'vocab_size: 7 logits cannot'):
    tiny.config(unembedding='none').validate()


def test_post_norm_leaves_a_normalised_stream():
  config = tiny.config('convolution', norm_placement='post', norm='rms')
  params = tiny.params(config)
  params = {**params, 'stack': {**params['stack'], 'ffn_norm': {
    'scale_D': np.ones((2, 8), np.float32)}}}
  run = tiny.jit(lambda: model.apply(config, params, tiny.tokens(),
                                    taps={'resid_post': None}))
  x_NBTD = run().taps['resid_post']
  np.testing.assert_allclose(np.square(x_NBTD).mean(-1), 1, rtol=1e-3)
