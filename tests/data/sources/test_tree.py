"""The tree grammar generates as it says, and its inference is exact."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import data
from data.sources import held_out
from data.sources.tree import TreeConfig, random_transitions


def open_source(**fields):
  fields = {'symbols': 4, 'levels': 3, **fields}
  return TreeConfig(**fields).open()


@functools.cache
def drawn(**fields):
  """A source, its grammar 0, 2000 examples and their trees."""
  source = open_source(**fields)
  instance = source.instance(0)
  batch, nodes = jax.jit(
    lambda: source.parsed_batch(instance, 0, 'test', 0, 2000))()
  return source, instance, jax.tree.map(np.asarray, batch), {
    level: np.asarray(nodes_BT) for level, nodes_BT in nodes.items()}


@functools.cache
def inference(source):
  return jax.jit(source.posteriors)


def enumerate_trees(source, instance):
  """Every tree and its probability, straight from the definition.

  Yields ({level: symbols}, probability), for trees that can occur. Does not
  use the source's matrix of the filtered block, but sums over what it skips.
  """
  q, levels = source.symbols, source.levels
  transition_VVV = np.asarray(instance['transition_VVV'], float)
  block = levels - source.filter_level
  marginals = {(): np.eye(q)}  # P(node | root) by its path of left and right
  for depth in range(source.filter_level):
    for path in itertools.product((0, 1), repeat=depth):
      for side in (0, 1):
        marginals[(*path, side)] = marginals[path] @ transition_VVV.sum(
          axis=2 - side)
  paths = list(itertools.product((0, 1), repeat=source.filter_level))

  def grow(nodes, level, probability):
    if not level:
      yield nodes, probability
      return
    options = [np.argwhere(transition_VVV[parent]) for parent in nodes[level]]
    for pairs in itertools.product(*options):
      p = probability * np.prod([
        transition_VVV[parent, a, b]
        for parent, (a, b) in zip(nodes[level], pairs)])
      children = tuple(int(x) for pair in pairs for x in pair)
      yield from grow({**nodes, level - 1: children}, level - 1, p)

  for root in range(q):
    for top in itertools.product(range(q), repeat=len(paths)):
      probability = np.prod([
        marginals[path][root, x] for path, x in zip(paths, top)]) / q
      if probability:
        yield from grow({levels: (root,), block: top}, block, probability)


def posteriors_by_enumeration(trees, tokens_T, symbols):
  """The posterior of every node given the leaves that are not masked."""
  totals = {level: np.zeros((len(nodes), symbols))
            for level, nodes in trees[0][0].items()}
  for nodes, probability in trees:
    if all(token in (leaf, symbols)
           for token, leaf in zip(tokens_T[1:], nodes[0])):
      for level, values in nodes.items():
        totals[level][range(len(values)), values] += probability
  return {level: x / x.sum(axis=1, keepdims=True)
          for level, x in totals.items()}


@pytest.mark.parametrize(('symbols', 'levels', 'filter_level'), [
  (3, 2, 0), (3, 2, 1), (3, 2, 2), (2, 3, 0), (2, 3, 2)])
def test_inference_agrees_with_enumeration(symbols, levels, filter_level):
  """With every leaf seen, with one masked, and with none seen."""
  source = open_source(
    symbols=symbols, levels=levels, filter_level=filter_level)
  instance = source.instance(1)
  trees = list(enumerate_trees(source, instance))
  probabilities = np.array([p for _, p in trees])
  assert probabilities.sum() == pytest.approx(1)
  rng = np.random.default_rng(0)
  chosen = rng.choice(len(trees), 12, p=probabilities / probabilities.sum())
  leaves_BT = jnp.array([trees[i][0][0] for i in chosen])
  tokens_BT = np.concatenate([
    source.tokens(leaves_BT),
    source.tokens(leaves_BT, jnp.array(rng.integers(2**levels, size=12))),
    np.full((1, source.length), source.mask_token)])
  posteriors = inference(source)(instance, tokens_BT)
  assert tuple(posteriors) == source.node_levels
  for b, tokens_T in enumerate(tokens_BT):
    expected = posteriors_by_enumeration(trees, tokens_T, symbols)
    for level in source.node_levels:
      np.testing.assert_allclose(
        posteriors[level][b], expected[level], atol=1e-6)


def test_a_pair_has_one_parent_and_a_parent_q_pairs():
  for seed in range(5):
    transition_VVV = random_transitions(np.random.default_rng(seed), 4, 1.)
    np.testing.assert_array_equal((transition_VVV > 0).sum(axis=0), 1)
    np.testing.assert_array_equal((transition_VVV > 0).sum(axis=(1, 2)), 4)
    np.testing.assert_allclose(transition_VVV.sum(axis=(1, 2)), 1)


def test_sigma_spreads_the_transitions():
  rng = np.random.default_rng(0)
  flat_VVV = random_transitions(rng, 4, 0.)
  np.testing.assert_allclose(flat_VVV[flat_VVV > 0], 0.25)
  logits = np.concatenate([
    np.log(x[x > 0]).reshape(-1, 4)
    for x in (random_transitions(rng, 4, 2.) for _ in range(200))])
  # The variance of 4 normals, 800 times; five standard errors around 2^2.
  variance = logits.var(axis=1, ddof=1).mean()
  assert abs(variance - 4) < 5 * 4 * np.sqrt(2 / 3 / 800)


def test_trees_can_be_read_off_their_leaves():
  source, instance, _, nodes = drawn()
  parent_VV = np.asarray(instance['transition_VVV']).argmax(axis=0)
  for level in range(source.levels):
    np.testing.assert_array_equal(
      nodes[level + 1], parent_VV[nodes[level][:, 0::2], nodes[level][:, 1::2]])
  posteriors = inference(source)(instance, source.tokens(nodes[0]))
  for level in range(source.levels + 1):
    np.testing.assert_allclose(
      posteriors[level], np.eye(4)[nodes[level]], atol=1e-6)


@pytest.mark.parametrize('filter_level', [0, 2])
def test_trees_occur_as_often_as_they_should(filter_level):
  """Each as often as it should, among those whose input is of the split."""
  source, instance, _, nodes = drawn(
    symbols=2, levels=2, filter_level=filter_level)
  trees = list(enumerate_trees(source, instance))
  leaves_BT = jnp.array([tree[0] for tree, _ in trees])
  belong_B = sum(held_out.belongs(source.tokens(
    leaves_BT, jnp.full(len(trees), leaf)), 'test') for leaf in range(4))
  expected = {}
  for (tree, p), masks in zip(trees, np.asarray(belong_B)):
    key = tree[2] + tree[0]
    expected[key] = expected.get(key, 0) + p * masks
  total = sum(expected.values())
  expected = {key: p / total for key, p in expected.items()}
  sampled = np.concatenate([nodes[2], nodes[0]], axis=1)
  for key, p in expected.items():
    share = np.mean((sampled == key).all(axis=1))
    assert abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 2000)
  assert {tuple(map(int, x)) for x in sampled} <= {
    key for key, p in expected.items() if p}


def test_filtering_keeps_the_marginals_and_cuts_the_correlations():
  """Under a filter, leaves of different blocks depend only on the root."""
  full = open_source(symbols=3, levels=2)
  filtered = open_source(symbols=3, levels=2, filter_level=2)
  joint = {}
  for source in (full, filtered):
    joint_V = np.zeros((3,) * 5)  # root, then the four leaves
    for nodes, p in enumerate_trees(source, source.instance(0)):
      joint_V[nodes[2] + nodes[0]] += p
    joint[source] = joint_V
  for leaf in range(1, 5):
    others = tuple(i for i in range(1, 5) if i != leaf)
    np.testing.assert_allclose(
      joint[full].sum(axis=others), joint[filtered].sum(axis=others))
  pair = joint[filtered].sum(axis=(3, 4)) * 3  # P(leaf 0, leaf 1 | root)
  np.testing.assert_allclose(
    pair, pair.sum(axis=2, keepdims=True) * pair.sum(axis=1, keepdims=True))


def test_node_levels_are_those_that_exist():
  assert open_source(filter_level=0).node_levels == (0, 1, 2, 3)
  assert open_source(filter_level=1).node_levels == (0, 1, 2, 3)
  assert open_source(filter_level=2).node_levels == (0, 1, 3)
  assert open_source(filter_level=3).node_levels == (0, 3)


@pytest.mark.parametrize(('objective', 'root', 'leaf'), [
  ('joint', 1, 1), ('root', 1, 0), ('masked', 0, 1)])
def test_each_objective_scores_what_it_asks_for(objective, root, leaf):
  source, _, batch, nodes = drawn(objective=objective)
  truth_BT = np.concatenate([nodes[3], nodes[0]], axis=1)
  np.testing.assert_array_equal(batch.targets_BT, truth_BT)
  assert (batch.tokens_BT[:, source.root_position] == source.query_token).all()
  masked_BT = batch.tokens_BT[:, 1:] == source.mask_token
  np.testing.assert_array_equal(masked_BT.sum(axis=1), leaf)
  np.testing.assert_array_equal(
    batch.tokens_BT[:, 1:][~masked_BT], nodes[0][~masked_BT])
  np.testing.assert_array_equal(batch.weights_BT[:, 0], root)
  np.testing.assert_array_equal(batch.weights_BT[:, 1:], masked_BT)
  if leaf:  # every leaf is asked for: 250 times each, five standard errors
    assert np.abs(masked_BT.sum(axis=0) - 250).max() < 75


def test_bayes_loss_is_the_posterior_entropy_on_average():
  source, instance, batch, nodes = drawn()
  bayes_loss = jax.jit(source.bayes_loss)
  loss_BT = np.asarray(bayes_loss(instance, batch))
  posteriors = inference(source)(instance, batch.tokens_BT)
  posterior_BTV = np.concatenate([posteriors[3], posteriors[0]], axis=1)
  entropy_BT = -np.sum(
    posterior_BTV * np.log(np.maximum(posterior_BTV, 1e-30)), axis=2)
  entropy_BT *= batch.weights_BT
  assert (loss_BT[batch.weights_BT == 0] == 0).all()
  assert (loss_BT >= 0).all()
  for place in (slice(0, 1), slice(1, None)):  # the root, and the masked leaf
    difference_B = (loss_BT - entropy_BT)[:, place].sum(axis=1)
    standard_error = np.std(difference_B) / np.sqrt(len(difference_B))
    assert loss_BT[:, place].sum(axis=1).mean() > 0.05
    assert abs(difference_B.mean()) < 5 * standard_error
  # Nothing is uncertain once every leaf is seen.
  seen = batch._replace(tokens_BT=source.tokens(nodes[0]))
  np.testing.assert_allclose(bayes_loss(instance, seen), 0, atol=1e-6)


def test_grammars_differ_by_seed_and_can_be_vmapped():
  source, _, batch, _ = drawn()
  instances = [source.instance(seed) for seed in range(2)]
  first, second = (x['transition_VVV'] for x in instances)
  assert (first != second).any()
  together = jax.jit(jax.vmap(source.posteriors, in_axes=(0, None)))(
    jax.tree.map(lambda *x: np.stack(x), *instances), batch.tokens_BT)
  for r, instance in enumerate(instances):
    alone = inference(source)(instance, batch.tokens_BT)
    for level in source.node_levels:
      np.testing.assert_allclose(
        together[level][r], alone[level], atol=1e-6)


@functools.cache
def drawn_splits(**fields):
  """A source, its grammar, and examples of each split as arrays."""
  source = open_source(**{'symbols': 3, 'levels': 2, **fields})
  instance = source.instance(2)
  draw = jax.jit(source.batch, static_argnums=(2, 4))
  found = {}
  for split in ('train', 'validation', 'test'):
    found[split] = jax.tree.map(
      np.asarray, draw(instance, 0, split, 0, 20_000))
  return source, instance, found


@pytest.mark.parametrize('objective', ['joint', 'root'])
def test_no_input_is_in_two_splits(objective):
  """The 108 masked inputs (81 whole ones) come in one split alone."""
  _, _, found = drawn_splits(objective=objective)
  inputs = {split: np.unique(batch.tokens_BT, axis=0)
            for split, batch in found.items()}
  every_BT = np.concatenate(list(inputs.values()))
  assert len(np.unique(every_BT, axis=0)) == len(every_BT)
  total = 4 * 3**3 if objective == 'joint' else 3**4
  assert 0.95 * total < len(every_BT) <= total
  for split, some_BT in inputs.items():
    belongs_B = held_out.belongs(jnp.array(every_BT), split)
    np.testing.assert_array_equal(every_BT[np.asarray(belongs_B)], some_BT)


def test_long_inputs_are_dealt_out_evenly():
  rng = np.random.default_rng(0)
  tokens_BT = jnp.array(rng.integers(5, size=(40_000, 17)))
  for split, share in (('train', 6 / 8), ('validation', 1 / 8),
                       ('test', 1 / 8)):
    found = float(held_out.belongs(tokens_BT, split).mean())
    assert abs(found - share) < 5 * np.sqrt(share * (1 - share) / 40_000)


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
@pytest.mark.parametrize('filter_level', [0, 2])
def test_answers_follow_the_posterior_in_every_split(split, filter_level):
  """Answers given what is read: the frequencies are those of inference."""
  source, instance, found = drawn_splits(filter_level=filter_level)
  batch = found[split]
  inputs_BT, input_B = np.unique(batch.tokens_BT, axis=0, return_inverse=True)
  exact = inference(source)(instance, jnp.array(inputs_BT))
  exact_BTV = np.concatenate([exact[2], exact[0]], axis=1, dtype=float)
  z = []
  for asked_BT in (np.arange(5) == 0, batch.tokens_BT == source.mask_token):
    answer_B = (batch.targets_BT * asked_BT).sum(axis=1)
    seen_BV = np.zeros((len(inputs_BT), 3))
    np.add.at(seen_BV, (input_B, answer_B), 1)
    count_B = seen_BV.sum(axis=1, keepdims=True)
    p_BV = (exact_BTV * (
      inputs_BT == source.mask_token if asked_BT.ndim > 1 else asked_BT
    )[..., None]).sum(axis=1)
    assert not seen_BV[p_BV < 1e-6].any()
    some = (p_BV * count_B > 5) & ((1 - p_BV) * count_B > 5)
    error_BV = np.sqrt(p_BV * (1 - p_BV) * count_B)
    z += list((seen_BV - p_BV * count_B)[some] / error_BV[some])
  assert len(z) > 20
  assert np.abs(z).max() < 5
  assert np.sqrt(np.mean(np.square(z))) < 1.3


def test_a_split_that_is_short_repeats_and_an_empty_one_scores_nothing():
  tokens_BT = jnp.array(np.random.default_rng(0).integers(9, size=(80, 9)))
  chosen_B, some = held_out.choose(tokens_BT, 'test', 40)
  assert some
  assert held_out.belongs(tokens_BT[chosen_B], 'test').all()
  outside_BT = tokens_BT[~np.asarray(held_out.belongs(tokens_BT, 'test'))]
  assert not held_out.choose(outside_BT, 'test', 4)[1]


def test_a_fixed_number_of_sentences_comes_again_in_each_epoch():
  source = open_source(examples=64)
  draw = jax.jit(source.batch, static_argnums=(2, 4))
  train, held = (
    np.stack([draw(source.instance(0), 0, split, step, 32).tokens_BT
              for step in range(4)]) for split in ('train', 'test'))
  assert (train[0] != train[1]).any()
  np.testing.assert_array_equal(train[:2], train[2:])
  assert (held[:2] != held[2:]).any()


@pytest.mark.parametrize(('field', 'value', 'fix'), [
  ('symbols', 1, '2'), ('levels', 0, '1'), ('filter_level', 4, 'use 3'),
  ('filter_level', -1, 'use 0'), ('sigma', -1., '0 or more'),
  ('examples', -1, '0')])
def test_impossible_grammars_are_refused_with_the_way_out(field, value, fix):
  with pytest.raises(data.InputError, match=rf'data\.source\.{field}.*{fix}'):
    open_source(**{field: value})
