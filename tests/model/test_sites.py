import dataclasses

import jax
import numpy as np
import pytest
import tiny

import model
from model import sites

SHAPES = {
  'attention_pattern': (2, 6, 6), 'mixer_hidden': (6, 8), 'ffn_hidden': (6, 32)
}
# Multipliers of 1, so that part of a stack is a stack.
PLAIN = {'n_layers': 3, 'parameterisation': 'standard'}


@pytest.mark.parametrize('mixer', tiny.MIXERS)
@pytest.mark.parametrize('feed_forward', ['plain', 'none'])
def test_every_site_can_be_tapped(mixer, feed_forward):
  config = tiny.config(mixer, feed_forward=feed_forward)
  have = sites.available(config)
  assert set(have) <= set(model.SITES)
  out = jax.eval_shape(
    lambda: model.apply(config, tiny.params(config), tiny.tokens(),
                        taps=dict.fromkeys(have)))
  for site in have:
    shape = SHAPES.get(site, (6, 8))
    if (mixer, site) == ('attention', 'mixer_hidden'):
      shape = (6, 2, 4)
    assert out.taps[site].shape == (2, 2, *shape), site


def test_taps_are_reduced_inside_the_layer_and_obey_the_arithmetic():
  config = tiny.config(n_layers=3)
  tapped = ('resid_pre', 'mixer_out', 'resid_mid', 'ffn_out', 'resid_post')
  run = tiny.jit(lambda params: model.apply(
    config, params, tiny.tokens(), taps={
      **dict.fromkeys(tapped),
      'ffn_hidden': lambda h_BTF: h_BTF.mean((0, 1)),
      'attention_pattern': lambda pattern_BHTS: pattern_BHTS.sum(-1)}))
  params = tiny.params(config)
  out = run(params)
  taps = jax.device_get(out.taps)
  assert taps['ffn_hidden'].shape == (3, 32)
  np.testing.assert_allclose(taps['attention_pattern'], 1, rtol=1e-5)
  np.testing.assert_allclose(taps['resid_mid'],
                             taps['resid_pre'] + taps['mixer_out'], atol=1e-5)
  np.testing.assert_allclose(taps['resid_post'],
                             taps['resid_mid'] + taps['ffn_out'], atol=1e-5)
  np.testing.assert_array_equal(taps['resid_pre'][1:], taps['resid_post'][:-1])
  x_BTD, logits_BTV = tiny.jit(lambda: (
    model.embed(config, params, tiny.tokens()),
    model.unembed(config, params, taps['resid_post'][-1])))()
  np.testing.assert_allclose(x_BTD, taps['resid_pre'][0], atol=1e-5)
  np.testing.assert_allclose(logits_BTV, out.logits_BTV, atol=1e-4)
  # Asking for the pattern takes another way through the softmax.
  np.testing.assert_allclose(tiny.logits(config, params, tiny.tokens()),
                             out.logits_BTV, atol=1e-4)


def test_parallel_branches_read_the_same_stream():
  config = tiny.config(branches='parallel', n_layers=3)
  params = tiny.params(config)

  @tiny.jit
  def run(scale, shift):
    edits = {'mixer_out': sites.scale(3, 1, scale),
             'resid_mid': sites.add(3, 1, shift * np.arange(8))}
    return model.apply(config, params, tiny.tokens(), taps=dict.fromkeys(
      sites.available(config)), edits=edits).taps

  plain, ablated, moved = jax.device_get(
    [run(1.0, 0.0), run(0.0, 0.0), run(1.0, 2.0)])
  for taps, shift in ((plain, 0), (ablated, 0), (moved, 2)):
    mid_NBTD = taps['resid_pre'] + taps['mixer_out']
    mid_NBTD[1] += shift * np.arange(8)
    np.testing.assert_allclose(taps['resid_mid'], mid_NBTD, atol=1e-4)
    np.testing.assert_allclose(taps['resid_post'], mid_NBTD + taps['ffn_out'],
                               atol=1e-4)
    # The feed-forward does not hear of it; the next layer does.
    np.testing.assert_array_equal(taps['ffn_out'][1], plain['ffn_out'][1])
  assert np.abs(ablated['ffn_out'][2] - plain['ffn_out'][2]).max() > 1e-2
  assert np.abs(moved['ffn_out'][2] - plain['ffn_out'][2]).max() > 1e-2


def test_an_identity_edit_of_every_site_changes_nothing():
  config = tiny.config(**PLAIN)
  params = tiny.params(config)
  ones, zeros = np.ones(3), np.zeros(3)
  edits = {site: model.Edit(ones, zeros) for site in sites.available(config)}
  np.testing.assert_allclose(
    tiny.logits(config, params, tiny.tokens(), edits=edits),
    tiny.logits(config, params, tiny.tokens()), atol=1e-4)


def test_replacing_the_stream_equals_running_the_rest_from_there():
  config = tiny.config('linear_recurrence', **PLAIN)
  params = tiny.params(config)
  value_BTD = tiny.normal(2, 6, 8)
  rest = dataclasses.replace(config, n_layers=1)
  rest_params = {**params,
                 'stack': jax.tree.map(lambda x: x[2:], params['stack'])}
  replaced = tiny.logits(config, params, tiny.tokens(), edits={
    'resid_post': sites.replace(3, 1, value_BTD)})
  restarted = tiny.logits(rest, rest_params, tiny.tokens(), edits={
    'resid_pre': sites.replace(1, 0, value_BTD)})
  np.testing.assert_allclose(replaced, restarted, atol=1e-4)


def test_edits_act_at_their_layer_alone_and_before_the_tap():
  config = tiny.config(**PLAIN)
  params = tiny.params(config)
  shift_D = np.arange(8, dtype=np.float32)

  @tiny.jit
  def run(layer):
    edits = {'mixer_out': sites.ablate(3, layer),
             'ffn_out': sites.scale(3, layer, 2.0),
             'resid_post': sites.add(3, layer, shift_D)}
    taps = dict.fromkeys(
      ['mixer_out', 'resid_mid', 'ffn_out', 'ffn_hidden', 'resid_post'])
    return model.apply(config, params, tiny.tokens(), taps, edits).taps

  taps, others = jax.device_get((run(1), run(2)))
  assert np.abs(taps['mixer_out']).max((1, 2, 3))[1] == 0
  assert np.abs(taps['mixer_out']).max((1, 2, 3))[[0, 2]].all()
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]),
               taps, others)
  added = taps['resid_post'] - taps['resid_mid'] - taps['ffn_out']
  np.testing.assert_allclose(added[1], np.broadcast_to(shift_D, (2, 6, 8)),
                             atol=1e-4)
  np.testing.assert_allclose(added[0], 0, atol=1e-4)
  ffn = params['stack']['ffn']
  product = (taps['ffn_hidden'] @ ffn['w_down_FD'][:, None]
             + ffn['b_down_D'][:, None, None])
  twice = np.array([1.0, 2.0, 1.0])[:, None, None, None]
  np.testing.assert_allclose(taps['ffn_out'], twice * product, atol=1e-4)


@pytest.mark.parametrize(('changes', 'site'), [
  ({'mixer': 'gru'}, 'attention_pattern'),
  ({'feed_forward': 'none'}, 'ffn_out'), ({}, 'resid_end')])
def test_a_missing_site_is_named_with_those_that_exist(changes, site):
  config = tiny.config(**changes)
  for inputs in ({'taps': {site: None}}, {'edits': {site: sites.ablate(2, 0)}}):
    with pytest.raises(model.ConfigError, match=f'{site}.*resid_mid'):
      model.apply(config, tiny.params(config), tiny.tokens(), **inputs)


def test_an_edit_of_a_layer_that_is_not_there_is_refused():
  with pytest.raises(model.ConfigError, match='layer 2'):
    sites.ablate(2, 2)
