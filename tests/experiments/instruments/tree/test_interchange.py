"""Pairs of sentences, and the numbers made from decodability grids."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data.sources import held_out
from data.sources.tree import TreeConfig
from experiments.instruments.tree import (
  decodability,
  interchange,
  nodes,
  pairs,
  parse,
)

PAIRS = 32


@functools.cache
def tree(objective='joint', filter_level=0):
  return TreeConfig(symbols=4, levels=2, objective=objective,
                    filter_level=filter_level).open()


@pytest.mark.parametrize('filter_level', [0, 1, 2])
def test_what_can_be_known_of_the_parse(filter_level):
  """Against every sentence that agrees with what is read, one by one."""
  source = tree(filter_level=filter_level)
  instance = source.instance(0)
  leaves_BT = jnp.array(np.random.default_rng(0).integers(4, size=(8, 4)))
  if filter_level:  # which has strings that it cannot produce
    leaves_BT = jax.jit(source.batch, static_argnums=(2, 4))(
      instance, 0, 'test', 0, 8).targets_BT[:, 1:]
  tokens_BT = np.concatenate([
    source.tokens(leaves_BT, jnp.arange(8) % 4), source.tokens(leaves_BT[:2])])
  known = np.asarray(jax.jit(parse.posteriors, static_argnums=0)(
    source, instance, tokens_BT))
  assert known.shape == (10, 3, 4)
  parent_VV = instance['transition_VVV'].argmax(axis=0)
  belief = jax.jit(source.posteriors)(instance, tokens_BT)
  exact_BTV = np.asarray(belief[0])
  for b, (_, *leaves) in enumerate(tokens_BT):
    expected = np.zeros((3, 4))
    leaf = leaves.index(source.mask_token) if b < 8 else 0
    for symbol, p in enumerate(exact_BTV[b, leaf]):
      full = [*leaves[:leaf], symbol, *leaves[leaf + 1:]]
      left, right = parent_VV[full[0], full[1]], parent_VV[full[2], full[3]]
      for node, value in enumerate((left, right, parent_VV[left, right])):
        expected[node, value] += p
    np.testing.assert_allclose(known[b], expected, atol=1e-6)
  if not filter_level:  # the parse is then the tree
    np.testing.assert_allclose(known, nodes.join(source, belief), atol=1e-5)


def test_the_parse_of_a_filtered_tree_is_not_where_it_grew_from():
  source = tree(filter_level=2)
  instance = source.instance(0)
  _, grown = jax.jit(source.parsed_batch, static_argnums=(2, 4))(
    instance, 0, 'train', 0, 512)
  read = parse.parse(instance, grown[0])
  assert sorted(read) == [0, 1, 2]
  assert 0.1 < (read[2] == grown[2]).mean() < 0.9


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


def test_splicing_changes_one_node_and_its_ancestors():
  source = TreeConfig(symbols=4, levels=3).open()
  instance = source.instance(0)
  rng = np.random.default_rng(0)
  base, other = (parse.parse(instance, leaves_BT)
                 for leaves_BT in rng.integers(4, size=(2, 500, 8)))
  index_B = np.arange(500) % 4
  spliced = parse.parse(instance, pairs.splice(base[0], other[0], 1, index_B))
  is_node_BT = np.arange(4) == index_B[:, None]
  np.testing.assert_array_equal(
    spliced[1], np.where(is_node_BT, other[1], base[1]))
  np.testing.assert_array_equal(
    pairs.splice(base[0], other[0], 2, 1),
    np.concatenate([base[0][:, :4], other[0][:, 4:]], axis=1))
  assert (spliced[3] != base[3]).any()


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
    for tokens_BT in (by_level.base_BT[level], by_level.spliced_BT[level]):
      assert not held_out.belongs(tokens_BT, 'train').any()
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
    position=model.LearnedPosition(), mask='bidirectional',
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


def test_emergence_is_interpolated_where_the_highest_is_nearly_reached():
  nan = float('nan')
  score = np.array([[0.0, 0.1, 0.00, nan, 0.95], [0.9, 0.3, 0.05, nan, 1.0],
                    [1.0, 0.5, 0.01, nan, 0.9], [0.8, 0.5, 0.04, nan, 1.0]])
  layers = decodability.emergence(score)
  # 0.45 of 0.5 is three quarters of the way from 0.3 to 0.5.
  np.testing.assert_allclose(layers, [1, 1.75, nan, nan, 0])


def test_order_is_a_difference_of_two_levels_and_a_slope_of_more():
  assert decodability.order((2, 3), np.array([1.5, 2.25])) == (
    pytest.approx(0.75))
  layers = np.array([0.5, 1.0, 2.5, 3.0])
  assert decodability.order((1, 2, 3, 4), layers) == pytest.approx(
    np.polyfit([1, 2, 3, 4], layers, 1)[0])
  nan = float('nan')
  assert decodability.order((1, 2, 3), np.array([1.0, nan, 4.0])) == (
    pytest.approx(1.5))
  assert np.isnan(decodability.order((1, 2), np.array([1.0, nan])))
