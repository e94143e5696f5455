"""What later blocks owe to a block, on networks where it is known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import blocks, later_effects, passages
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from model import AttentionConfig, ModelConfig

CONFIG = ModelConfig(n_layers=4, d_model=16, vocab_size=23, unroll=1,
                     mixer=AttentionConfig(n_heads=2))
SILENT = 2


def scaled(x_N, factors):
  return x_N * jnp.reshape(jnp.asarray(factors, jnp.float32),
                           (-1,) + (1,) * (x_N.ndim - 1))


@functools.cache
def network(mixers=(1, 0, 1, 1), feeds=(1, 0, 1, 1)):
  """What each mixer and each feed-forward adds, times a number."""
  params = jax.jit(functools.partial(model.init, CONFIG, scale=3.0))(
    jax.random.key(0))
  mixer, ffn = (dict(params['stack'][name]) for name in ('mixer', 'ffn'))
  mixer['w_o_HKD'] = scaled(mixer['w_o_HKD'], mixers)
  ffn['w_down_FD'] = scaled(ffn['w_down_FD'], feeds)
  stack = {**params['stack'], 'mixer': mixer, 'ffn': ffn}
  return Network({**params, 'stack': stack}, CONFIG)


def words(lengths=(8, 8, 8)):
  rng = np.random.default_rng(0)
  return passages.cut([rng.integers(1, 23, n) for n in lengths], 8)


def table(own, given):
  """(block left out, block above) by tokens."""
  found = {tokens: np.full((4, 4), np.nan) for tokens in ('now', 'later')}
  for row in later_effects.measure(Given(own, given)):
    if row.metric == 'effect':
      where = row.where
      found[where['tokens']][
        where['layer'] - 1, where['other_layer'] - 1] = row.value
  return found


def test_what_adds_nothing_has_no_effect_and_the_rest_has():
  found = table(network(), words())
  for effects in found.values():
    np.testing.assert_allclose(effects[SILENT - 1, SILENT:], 0, atol=1e-4)
    assert effects[0, 2] > 0.01
    assert np.isnan(effects[np.tril_indices(4)]).all()


def test_without_mixing_of_positions_nothing_reaches_later_tokens():
  found = table(network((0, 0, 0, 0), (1, 1, 1, 1)), words())
  above = np.triu_indices(4, 1)
  np.testing.assert_allclose(found['later'][above], 0, atol=1e-4)
  assert (found['now'][above] > 0.01).all()


def test_a_block_whose_only_reader_is_later_is_found():
  # Block 1 writes; block 4 alone mixes positions.
  found = table(network((0, 0, 0, 1), (1, 0, 0, 0)), words())
  assert found['later'][0, 3] > 0.01
  assert (found['later'][1:, 3][np.arange(2)] < 1e-4).all()


def test_it_is_the_change_of_what_is_added_as_edits_have_it():
  own, given = network(), words()
  half_T1 = (np.arange(8) >= 4).astype(np.float32)[:, None]
  edits = {site: model.sites.scale(4, 0, half_T1)
           for site in ('mixer_out', 'ffn_out')}
  taps = {'mixer_out': None, 'ffn_out': None}
  run = jax.jit(lambda edits: own.apply(given, taps, edits).taps)
  was, became = (found['mixer_out'] + found['ffn_out']
                 for found in (run({}), run(edits)))
  relative_BT = np.asarray(blocks.relative(became[2] - was[2], was[2]))
  found = table(own, given)
  assert found['now'][0, 2] == pytest.approx(relative_BT[:, :4].mean(), 1e-3)
  assert found['later'][0, 2] == pytest.approx(relative_BT[:, 4:].mean(), 1e-3)


def test_windows_that_end_early_are_left_out():
  alone, more = (table(network(), words(lengths))
                 for lengths in ((8, 8, 8), (8, 8, 8, 5)))
  np.testing.assert_allclose(alone['later'], more['later'])


def test_what_looks_both_ways_or_normalises_the_stream_is_refused():
  def refusal(**fields):
    config = dataclasses.replace(CONFIG, **fields)
    return later_effects.INSTRUMENT.refusal(
      Given(Network({}, config), words()))
  assert 'model.mask=bidirectional' in refusal(mask='bidirectional')
  assert 'norm_placement=post' in refusal(norm_placement='post')
  assert 'n_layers=1' in refusal(n_layers=1)
  assert refusal() == ''
