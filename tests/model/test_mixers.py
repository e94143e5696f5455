import dataclasses

import jax
import numpy as np
import pytest
import tiny

from model import feed_forward, recurrent
from model.sites import Sites


def mix(config, x_BTD, params, taps=()):
  """Runs one mixer on its own; the taps it made."""
  def run(x_BTD):
    sites = Sites(dict.fromkeys(taps), {})
    out = config.mixer.module(config).apply({'params': params}, x_BTD, 0, sites)
    return out, sites.taps
  return tiny.jit(run)(x_BTD)


def inputs(width=8, length=tiny.LENGTH):
  return tiny.normal(2, length, width)


def layer_params(config):
  """The mixer's parameters in the first layer."""
  params = tiny.params(config)['stack']['mixer']
  return {key: np.asarray(value[0]) for key, value in params.items()}


def test_grouped_heads_equal_full_heads_that_repeat():
  grouped = tiny.config(n_heads=4, n_kv_heads=2)
  full = tiny.config(n_heads=4)
  params = tiny.params(grouped)
  mixer = dict(params['stack']['mixer'])
  for key in ('w_k_DGK', 'w_v_DGK'):
    mixer[key] = np.repeat(mixer[key], 2, axis=2)
  repeated = {**params, 'stack': {**params['stack'], 'mixer': mixer}}
  np.testing.assert_allclose(tiny.logits(grouped, params, tiny.tokens()),
                             tiny.logits(full, repeated, tiny.tokens()),
                             atol=1e-4)


def test_a_linear_recurrence_by_associative_scan_equals_the_loop():
  a_BTD, b_BTD = np.abs(tiny.normal(2, 7, 3)), tiny.normal(2, 7, 3, seed=3)
  h_BD, loop = np.zeros((2, 3)), []
  for t in range(7):
    h_BD = a_BTD[:, t] * h_BD + b_BTD[:, t]
    loop.append(h_BD)
  np.testing.assert_allclose(tiny.jit(recurrent.linear_scan)(a_BTD, b_BTD),
                             np.stack(loop, 1), rtol=1e-5)


def test_a_linear_recurrence_starts_with_the_published_decays():
  decay_D = recurrent._start_decay(None, (64,))
  power_D = jax.nn.sigmoid(decay_D) ** recurrent.SHARPNESS
  np.testing.assert_allclose(power_D, np.linspace(0.9, 0.999, 64), atol=1e-4)


def test_a_gru_equals_its_equations_step_by_step():
  config, x_BTD = tiny.config('gru'), inputs()
  p = layer_params(config)
  _, taps = mix(config, x_BTD, p, ['mixer_hidden'])

  def gate(x_BD, h_BD, name):
    return (x_BD @ p[f'w_x_{name}_DD'] + h_BD @ p[f'w_h_{name}_DD']
            + p[f'b_{name}_D'])

  def sigmoid(x):
    return 1 / (1 + np.exp(-x))

  h_BD = np.zeros((2, 8))
  for t, x_BD in enumerate(np.asarray(x_BTD).swapaxes(0, 1)):
    update_BD = sigmoid(gate(x_BD, h_BD, 'update'))
    reset_BD = sigmoid(gate(x_BD, h_BD, 'reset'))
    candidate_BD = np.tanh(gate(x_BD, reset_BD * h_BD, 'candidate'))
    h_BD = (1 - update_BD) * h_BD + update_BD * candidate_BD
    np.testing.assert_allclose(taps['mixer_hidden'][:, t], h_BD, atol=1e-5)


def test_a_convolution_equals_its_sum():
  config, x_BTD = tiny.config('convolution', activation='identity'), inputs()
  p = layer_params(config)
  _, taps = mix(config, x_BTD, p, ['mixer_hidden'])
  x_BTD = np.asarray(x_BTD)
  for t in range(tiny.LENGTH):
    summed = sum(x_BTD[:, t - w] @ p['w_conv_WDD'][w]
                 for w in range(config.mixer.window) if t >= w)
    np.testing.assert_allclose(taps['mixer_hidden'][:, t], summed + p['b_D'],
                               atol=1e-5)


def test_dilation_grows_until_the_window_spans_the_input():
  config = tiny.config('dilated_convolution', n_layers=5, window=3,
                       max_length=16)
  np.testing.assert_array_equal(config.mixer.dilations(config, 16),
                                [1, 3, 7, 7, 7])
  short = dataclasses.replace(config, max_length=2)
  np.testing.assert_array_equal(config.mixer.dilations(short, 2), [1] * 5)
  deep = dataclasses.replace(config, n_layers=200)
  assert config.mixer.dilations(deep, 16).max() == 7
  plain = tiny.config('convolution', n_layers=5, window=3, max_length=16)
  np.testing.assert_array_equal(plain.mixer.dilations(plain, 16), [1] * 5)


def fed(**changes):
  """Parameters of a feed-forward, what it reads, and what it writes."""
  config = tiny.config(**changes)
  p = jax.tree.map(lambda x: x[0], tiny.params(config)['stack']['ffn'])
  x_BTD = inputs()
  return p, x_BTD, tiny.jit(lambda: config.feed_forward.module(config).apply(
    {'params': p}, x_BTD, Sites({}, {})))()


@pytest.mark.parametrize('bias', [True, False])
def test_a_gated_feed_forward_equals_its_formula(bias):
  p, x_BTD, out = fed(feed_forward='gated', activation='silu', bias=bias)
  assert len(p) == (6 if bias else 3)
  gate_BTF = x_BTD @ p['w_gate_DF'] + p.get('b_gate_F', 0)
  h_BTF = (gate_BTF / (1 + np.exp(-gate_BTF))
           * (x_BTD @ p['w_up_DF'] + p.get('b_up_F', 0)))
  np.testing.assert_allclose(
    out, h_BTF @ p['w_down_FD'] + p.get('b_down_D', 0), atol=1e-4)


def test_a_plain_feed_forward_can_be_without_biases():
  p, x_BTD, out = fed(activation='relu', bias=False)
  np.testing.assert_allclose(
    out, np.maximum(x_BTD @ p['w_up_DF'], 0) @ p['w_down_FD'], atol=1e-4)


def test_identity_activation_makes_the_feed_forward_one_affine_map():
  p, x_BTD, out = fed(activation='identity')
  w_DD = p['w_up_DF'] @ p['w_down_FD']
  b_D = p['b_up_F'] @ p['w_down_FD'] + p['b_down_D']
  np.testing.assert_allclose(out, x_BTD @ w_DD + b_D, atol=1e-4)


@pytest.mark.parametrize(('name', 'low', 'high'), [
  ('relu', 0, 5), ('gelu', -0.2, 5), ('gelu_exact', -0.2, 5),
  ('silu', -0.3, 5), ('tanh', -1, 1), ('sigmoid', 0, 1), ('identity', -5, 5)])
def test_activations_keep_to_their_range(name, low, high):
  y = feed_forward.ACTIVATIONS[name](np.linspace(-5, 5, 101))
  assert low <= y.min() < low + 0.2
  assert high - 0.2 < y.max() <= high
