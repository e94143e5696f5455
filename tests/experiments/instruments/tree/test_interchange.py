"""Pairs of sentences, and the numbers made from decodability grids."""

import functools

import jax
import numpy as np
import pytest

import model
from data.sources.tree import TreeConfig
from experiments.instruments.tree import decodability, interchange, nodes, pairs

PAIRS = 32


@functools.cache
def tree(objective='joint', filter_level=0):
  return TreeConfig(symbols=4, levels=2, objective=objective,
                    filter_level=filter_level).open()


@functools.cache
def draw(objective='joint', filter_level=0):
  source = tree(objective, filter_level)
  pool, by_level = pairs.draw(
    source, source.instance(0), 0, examples=512, pairs=PAIRS)
  return jax.tree.map(np.asarray, (pool, by_level))


def test_the_list_of_nodes_covers_every_leaf_once_a_level():
  source = tree()
  spans, level = nodes.spans(source), nodes.level_of_each(source)
  assert nodes.levels(source) == (1, 2)
  for k in nodes.levels(source):
    assert level[nodes.first(source, k)] == k
    np.testing.assert_array_equal(
      spans[level == k].sum(axis=0), [0] + [1] * 2**source.levels)
  np.testing.assert_array_equal(spans.sum(axis=1), 2**level)


@pytest.mark.parametrize('objective', ['joint', 'masked'])
def test_sources_agree_in_the_symbol_and_come_from_many_sentences(objective):
  pool, by_level = draw(objective)
  for level in range(2):
    count = by_level.weight_B[level] > 0
    symbols = pool.symbols[by_level.source_BT[level],
                           by_level.node_B[level][:, None]]
    assert (symbols == symbols[:, :1])[count].all()
    if count.any():
      assert len(np.unique(by_level.source_BT[level][count])) > count.sum()


def test_pairs_count_where_the_expected_root_is_new():
  source = tree()
  instance = source.instance(0)
  _, by_level = draw()
  assert by_level.weight_B.all()
  for level in range(2):
    root_B, spliced_root_B = (
      np.argmax(source.posteriors(instance, tokens_BT)[2][:, 0], axis=-1)
      for tokens_BT in (by_level.base_BT[level], by_level.spliced_BT[level]))
    assert (root_B != spliced_root_B).all()
    np.testing.assert_array_equal(by_level.expected_B[level], spliced_root_B)
    outside_BT = ~nodes.spans(source)[by_level.node_B[level]]
    np.testing.assert_array_equal(by_level.base_BT[level][outside_BT],
                                  by_level.spliced_BT[level][outside_BT])


def test_a_masked_leaf_is_asked_only_outside_the_node():
  source = tree('masked')
  _, by_level = draw('masked')
  assert by_level.weight_B[0].any()
  assert not by_level.weight_B[1].any()  # every leaf is under the root
  count = by_level.weight_B[0] > 0
  query = np.arange(len(count)), by_level.position_B[0]
  assert (by_level.base_BT[0][query] == source.mask_token)[count].all()
  assert not nodes.spans(source)[by_level.node_B[0]][query][count].any()


def test_impossible_splices_of_a_filtered_grammar_do_not_count():
  _, by_level = draw('root', filter_level=1)
  source = tree('root', filter_level=1)
  beliefs = [source.posteriors(source.instance(0), tokens_BT)[2]
             for tokens_BT in by_level.spliced_BT]
  possible = ~np.isnan(beliefs).any(axis=(2, 3))
  assert not by_level.weight_B[~possible].any()
  assert by_level.weight_B.any()


def test_a_random_network_scores_near_chance_and_nothing_without_pairs():
  source = tree('masked')
  config = model.ModelConfig(
    n_layers=1, d_model=16, mixer=model.AttentionConfig(n_heads=1),
    position='learned', mask='bidirectional',
    vocab_size=source.vocab_size, max_length=source.length)
  start = jax.jit(functools.partial(model.init, config))
  first, second = (start(jax.random.key(seed)) for seed in (0, 1))
  result = interchange.measure(
    config, first, second, source, source.instance(0), 0, examples=512,
    pairs=PAIRS)
  assert result.accuracy.shape == result.accuracy_init.shape == (2, 2)
  assert (result.accuracy[:, 0] < 0.6).all()
  assert np.isnan(result.accuracy[:, 1]).all()
  assert result.pairs[1] == 0


def test_decodability_is_zero_at_the_start_and_one_at_bayes():
  accuracy_init, bayes = np.array([[0.4, 0.5]]), np.array([0.8, 0.52])
  score = decodability.normalise(
    np.array([[0.4, 0.5], [0.6, 0.9], [0.8, 0.9]]), accuracy_init, bayes)
  np.testing.assert_allclose(score[:, 0], [0, 0.5, 1])
  assert np.isnan(score[:, 1]).all()  # no room to learn


def test_emergence_is_the_first_layer_near_the_highest():
  nan = float('nan')
  score = np.array([[0.0, 0.0, 0.00, nan], [0.9, 0.3, 0.05, nan],
                    [1.0, 0.5, 0.01, nan], [0.8, 0.5, 0.04, nan]])
  layers = decodability.emergence(score)
  np.testing.assert_array_equal(layers, [1, 2, nan, nan])
  assert decodability.abstraction_slope((1, 2, 3, 4), layers) == (
    pytest.approx(1))
  assert np.isnan(decodability.abstraction_slope((3, 4), layers[2:]))
