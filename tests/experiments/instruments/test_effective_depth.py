"""Three definitions of effective depth, where it is known."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import model
from experiments.instruments import (
  effective_depth,
  lens,
  passages,
  skipping,
)
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from model import AttentionConfig, ModelConfig

CONFIG = ModelConfig(n_layers=3, d_model=16, vocab_size=23, unroll=1,
                     mixer=AttentionConfig(n_heads=2))


def test_participation_counts_what_matters():
  assert effective_depth.participation([2, 2, 2, 2]) == pytest.approx(4)
  assert effective_depth.participation([0, 3, 0]) == pytest.approx(1)
  assert effective_depth.participation([1, 1, -.001, 0]) == pytest.approx(2)
  assert np.isnan(effective_depth.participation([0, 0]))


def test_half_of_the_words_and_half_of_the_way():
  assert effective_depth.overlap_depth([0, .4, .5, 1]) == 2
  assert effective_depth.overlap_depth([.8, .9, 1]) == 0
  # 8 to 0: below 4 for good half-way between streams 2 (6) and 3 (2).
  assert effective_depth.half_life([8, 3, 6, 2, 0]) == pytest.approx(2.5)
  assert np.isnan(effective_depth.half_life([0, 0]))


@functools.cache
def only(block):
  """A network of which one block does anything; 1 to 3."""
  params = model.init(CONFIG, jax.random.key(0), 3.0)
  keep_N = np.arange(1, 4) == block

  def silenced(path, x):
    return x if path[-1].key not in ('w_o_HKD', 'w_down_FD') else (
      x * keep_N.reshape((-1,) + (1,) * (x.ndim - 1)))

  stack = jax.tree_util.tree_map_with_path(silenced, params['stack'])
  return Network({**params, 'stack': stack}, CONFIG)


def words(vocabulary=23):
  return passages.cut(
    np.random.default_rng(0).integers(1, vocabulary, (4, 8)), 8)


def test_the_one_block_that_works_is_counted_and_nothing_is_taken_twice(
    monkeypatch):
  given = Given(only(2), words())
  rows = {(row.metric, row.where.get('network')): row.value
          for row in given.once(effective_depth.INSTRUMENT.measure)}
  assert rows['participation', None] == pytest.approx(1)
  assert rows['participation_share', None] == pytest.approx(1 / 3)
  assert rows['overlap_depth', None] == 2
  assert rows['divergence_depth', None] == pytest.approx(1.5)
  assert rows['participation', 'random'] > 1.2

  def again(*arguments):
    raise AssertionError('measured again')

  monkeypatch.setattr(skipping, 'effects', again)
  monkeypatch.setattr(lens, 'read', again)
  for one in (skipping.INSTRUMENT, lens.INSTRUMENT):
    assert given.once(one.measure)


def test_an_encoder_has_the_first_definition_alone():
  config = dataclasses.replace(
    CONFIG, unembedding='absent', mask='bidirectional', norm_placement='post',
    final_norm=False)
  given = Given(Network(model.init(config, jax.random.key(0)), config), words())
  rows = effective_depth.measure(given)
  assert {row.metric for row in rows} == {'participation',
                                          'participation_share'}


def test_five_words_of_ten_overlap_by_half_by_luck_and_nothing_is_said():
  config = dataclasses.replace(CONFIG, vocab_size=10)
  given = Given(Network(model.init(config, jax.random.key(0), 3.0), config),
                words(10))
  rows = effective_depth.measure(given)
  assert {row.metric for row in rows} == {
    'participation', 'participation_share', 'divergence_depth'}
