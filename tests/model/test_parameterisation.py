import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import model
from model import parameterisation

LARGE = {'n_layers': 4, 'd_model': 64, 'vocab_size': 64, 'max_length': 64,
         'position': 'learned'}


@pytest.mark.parametrize('parameterisation', ['standard', 'completep'])
def test_weights_start_at_the_stated_spread(parameterisation):
  config = tiny.config(parameterisation=parameterisation, base_width=16,
                       **LARGE)
  params = tiny.jit(lambda: model.init(config, jax.random.key(0)))()
  mixer, ffn = params['stack']['mixer'], params['stack']['ffn']
  branches = 8 if parameterisation == 'standard' else 1
  widths = {'standard': 64, 'completep': 16}
  expected = [
    (params['token_embedding']['embedding_VD'], 0.02),
    (params['position_embedding']['embedding_TD'], 0.02),
    (mixer['w_q_DHK'], 64 ** -0.5), (ffn['w_up_DF'], 64 ** -0.5),
    (mixer['w_o_HKD'], (64 * branches) ** -0.5),
    (ffn['w_down_FD'], (256 * branches) ** -0.5),
    (params['unembedding']['w_DV'], widths[parameterisation] ** -0.5)]
  for value, deviation in expected:
    np.testing.assert_allclose(value.std(), deviation, rtol=0.05)
    assert abs(value.mean()) < 0.1 * deviation
  layers = mixer['w_q_DHK'].reshape(4, -1)
  off_diagonal = np.corrcoef(layers) - np.eye(4)
  assert np.abs(off_diagonal).max() < 0.1


def test_gpt2_starts_every_matrix_alike():
  config = tiny.config(parameterisation='gpt2', **LARGE)
  params = tiny.jit(lambda: model.init(config, jax.random.key(0)))()
  mixer, ffn = params['stack']['mixer'], params['stack']['ffn']
  for value, deviation in (
      (mixer['w_q_DHK'], 0.02), (ffn['w_up_DF'], 0.02),
      (mixer['w_o_HKD'], 0.02 / 8 ** 0.5), (ffn['w_down_FD'], 0.02 / 8 ** 0.5),
      (params['unembedding']['w_DV'], 0.02)):
    np.testing.assert_allclose(value.std(), deviation, rtol=0.05)


def test_the_scale_multiplies_weights_and_nothing_else():
  config = tiny.config('linear_recurrence')
  init = tiny.jit(lambda key, scale: model.init(config, key, scale))
  one, half = init(jax.random.key(0), 1.0), init(jax.random.key(0), 0.5)

  def compare(path, one, half):
    vector = model.group(path) == 'vector'
    np.testing.assert_allclose(half, one if vector else 0.5 * one, rtol=1e-6)

  jax.tree_util.tree_map_with_path(compare, one, half)


def test_replicas_start_as_they_would_alone():
  config = tiny.config()
  keys = jax.random.split(jax.random.key(0), 2)
  init = tiny.jit(lambda key: model.init(config, key))
  together = tiny.jit(jax.vmap(lambda key: model.init(config, key)))(keys)
  for r in range(2):
    jax.tree.map(np.testing.assert_array_equal,
                 jax.tree.map(lambda x, r=r: x[r], together), init(keys[r]))
  w_RNDHK = together['stack']['mixer']['w_q_DHK']
  assert np.abs(w_RNDHK[0] - w_RNDHK[1]).max() > 0.01


def test_parameters_drawn_apart_are_as_random_as_those_drawn_together(
    monkeypatch):
  config = tiny.config(**LARGE)
  init = lambda: model.init(config, jax.random.key(0))  # noqa: E731
  together = tiny.jit(lambda: init())()
  monkeypatch.setattr(parameterisation, 'TOGETHER', 0)
  apart = tiny.jit(lambda: init())()

  def compare(path, one, other):
    if model.group(path) == 'vector':
      np.testing.assert_array_equal(one, other)
    else:
      np.testing.assert_allclose(one.std(), other.std(), rtol=0.05)
      assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1

  jax.tree_util.tree_map_with_path(compare, together, apart)
  mixer = apart['stack']['mixer']
  q, k = mixer['w_q_DHK'].ravel(), mixer['w_k_DGK'].ravel()
  assert abs(np.corrcoef(q[:k.size], k)[0, 1]) < 0.1


def test_completep_weighs_branches_by_depth_and_logits_by_width():
  base = tiny.config(base_layers=2, base_width=8, n_layers=2, d_model=8)
  deep = dataclasses.replace(base, n_layers=8, d_model=32)
  standard = dataclasses.replace(deep, parameterisation='standard')
  found = [(parameterisation.residual_multiplier(config),
            parameterisation.logit_multiplier(config))
           for config in (base, deep, standard)]
  assert found == [(1, 1), (0.25, 0.25), (1, 1)]
  halved = dataclasses.replace(base, base_layers=1)
  params = tiny.params(base)
  taps = {'mixer_out': lambda x: x[..., 0]}
  whole, half = (
    tiny.jit(lambda config=config: model.apply(
      config, params, tiny.tokens(), taps))().taps['mixer_out']
    for config in (base, halved))
  np.testing.assert_allclose(half[0], 0.5 * whole[0], atol=1e-6)


@pytest.mark.parametrize('mixer', tiny.MIXERS)
def test_every_parameter_has_a_group(mixer):
  config = tiny.config(mixer, **tiny.EVERYTHING)
  shapes = tiny.shapes_of(config)
  leaves = jax.tree_util.tree_leaves_with_path(shapes)
  stacked = {'embedding': 2, 'unembedding': 2, 'hidden': 3}
  for path, leaf in leaves:
    group = model.group(path)
    if group == 'vector':
      assert leaf.ndim <= 2 or path[-1].key.startswith('b_')
    else:
      assert leaf.ndim >= stacked[group]
  found = {model.group(path) for path, _ in leaves}
  assert found == {'embedding', 'hidden', 'vector', 'unembedding'}
  assert model.group(('token_embedding', 'embedding_VD')) == 'embedding'


def test_parameters_are_float32_and_logits_too_in_bfloat16():
  config = tiny.config(dtype='bfloat16')
  shapes = tiny.shapes_of(config)
  assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {
    jnp.dtype('float32')}
  params = tiny.params(config)
  rough = tiny.logits(config, params, tiny.tokens())
  exact = tiny.logits(dataclasses.replace(config, dtype='float32'), params,
                      tiny.tokens())
  assert rough.dtype == jnp.float32
  assert 0 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()
