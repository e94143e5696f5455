"""What is frozen stays the same bits, however the rest is trained."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from test_loop import BASE, Killed, assert_same, configs, timeless

import model
import train
from model import AttentionConfig, ConfigError, LearnedPosition, ModelConfig
from model.convolution import ConvolutionConfig
from model.recurrent import GRUConfig, LinearRecurrenceConfig
from train import replica
from train.trainable import All, Embeddings, LowRank, NewRows

FIRST = 20
KINDS = [Embeddings(), NewRows(FIRST), LowRank(rank=2, alpha=4.0)]
WIDE = dataclasses.replace(BASE, model=dataclasses.replace(
  BASE.model, vocab_size=FIRST + 5))
MIXERS = [AttentionConfig(n_heads=2, n_kv_heads=1), GRUConfig(),
          LinearRecurrenceConfig(), ConvolutionConfig()]


def kind_name(kind):
  return type(kind).__name__


each_kind = pytest.mark.parametrize('kind', KINDS, ids=kind_name)


def members(kind, base=WIDE, **fields):
  return configs(base=base, trainable=kind, weight_decay=0.1, **fields)


def params_of(config, seed=0):
  return model.init(config, jax.random.key(seed))


def model_of(mixer=MIXERS[0], **fields):
  return ModelConfig(n_layers=2, d_model=16, mixer=mixer,
                     position=LearnedPosition(), vocab_size=FIRST + 5,
                     max_length=7, **fields)


@pytest.mark.parametrize('mixer', MIXERS, ids=kind_name)
@pytest.mark.parametrize(
  'kind', [All(), *KINDS, LowRank(rank=2, first=FIRST)], ids=kind_name)
def test_what_is_split_merges_to_the_same_model(kind, mixer):
  for fields in ({}, {'layers': 'tied', 'unembedding': 'tied'}):
    params = params_of(model_of(mixer, **fields))
    merged = jax.jit(lambda params: kind.merge(*kind.split(params, 3)))(params)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    assert_same(merged, params)


@each_kind
def test_only_what_is_trained_has_moments(kind):
  params = params_of(model_of())
  trained, frozen = kind.split(params, 0)
  state = replica.begin(dataclasses.replace(WIDE, train=dataclasses.replace(
    WIDE.train, trainable=kind)), {'weight_decay': 0.1, 'seed': 0}, params)
  numbers = sum(x.size for x in jax.tree.leaves(trained))
  assert numbers < sum(x.size for x in jax.tree.leaves(params))
  moments = [x for x in jax.tree.leaves(state['opt_state']) if x.ndim]
  assert sum(x.size for x in moments) == 2 * numbers
  assert_same(state['frozen'], frozen)


def changed(fitted):
  """By path, which of a replica's numbers are not what they were."""
  before, after = map(flatten_dict, (fitted.initial, fitted.params))
  return {path: np.asarray(before[path][0] != after[path][0])
          for path in before}


def test_embeddings_train_and_the_stack_stays(tmp_path):
  found = changed(train.fit(members(Embeddings()), tmp_path))
  for path, differs in found.items():
    tables = ('token_embedding', 'unembedding')
    assert differs.any() == (path[0] in tables), path


def test_new_rows_train_and_the_old_ones_stay_under_weight_decay(tmp_path):
  found = changed(train.fit(members(NewRows(FIRST)), tmp_path))
  tokens_VD = found.pop(('token_embedding', 'embedding_VD'))
  w_DV = found.pop(('unembedding', 'w_DV'))
  assert tokens_VD[FIRST:].all()
  assert w_DV[:, FIRST:].all()
  assert not tokens_VD[:FIRST].any()
  assert not w_DV[:, :FIRST].any()
  assert not any(differs.any() for differs in found.values())


def test_low_rank_changes_matrices_of_the_stack_by_so_much_rank(tmp_path):
  fitted = train.fit(members(LowRank(rank=2), learning_rate=1e-2), tmp_path)
  before, after = map(flatten_dict, (fitted.initial, fitted.params))
  for path, differs in changed(fitted).items():
    matrix = path[0] == 'stack' and path[-1].startswith('w_')
    assert differs.any() == matrix, path
    if matrix:
      change = np.asarray(after[path][0] - before[path][0], np.float64)
      inputs = 2 if path[-1] == 'w_o_HKD' else 1
      side = int(np.prod(change.shape[1:1 + inputs]))
      sizes = np.linalg.svd(change.reshape(2, side, -1), compute_uv=False)
      # Two directions a layer, and what rounding leaves of the others.
      assert (sizes[:, 1] > 1e3 * sizes[:, 2]).all(), path


def test_low_rank_trains_new_rows_beside_it_where_it_is_told(tmp_path):
  kind = LowRank(rank=2, first=FIRST)
  found = changed(train.fit(members(kind, learning_rate=1e-2), tmp_path))
  tokens_VD = found['token_embedding', 'embedding_VD']
  assert tokens_VD[FIRST:].all()
  assert not tokens_VD[:FIRST].any()
  assert found['stack', 'mixer', 'w_k_DGK'].any()


def test_low_rank_starts_with_the_logits_of_its_parent_exactly():
  config, kind = model_of(), LowRank(rank=3)
  params = params_of(config)
  tokens_BT = np.arange(14).reshape(2, 7)
  run = jax.jit(functools.partial(model.apply, config))
  np.testing.assert_array_equal(
    run(kind.merge(*kind.split(params, 1)), tokens_BT).logits_BTV,
    run(params, tokens_BT).logits_BTV)


@pytest.mark.parametrize(('key', 'whole', 'round_by'), [
  ('w_q_DHK', 'NTD,NDHK->NTHK', 'NTD,NDL,NLHK->NTHK'),
  ('w_o_HKD', 'NTHK,NHKD->NTD', 'NTHK,NHKL,NLD->NTD'),
  ('w_down_FD', 'NTF,NFD->NTD', 'NTF,NFL,NLD->NTD')])
def test_merged_equals_what_goes_round_by_the_low_rank(key, whole, round_by):
  kind = LowRank(rank=3, alpha=6.0)
  trained, frozen = kind.split(params_of(model_of()), 1)
  trained = jax.tree.map(
    lambda x: jax.random.normal(jax.random.key(0), x.shape), trained)
  merged = flatten_dict(kind.merge(trained, frozen))
  path = next(path for path in merged if path[-1] == key)
  w = flatten_dict(frozen)[path]
  a, b = (x for p, x in sorted(flatten_dict(trained).items())
          if p[:-1] == path)
  x = jax.random.normal(jax.random.key(1), (2, 5, *a.shape[1:-1]))
  np.testing.assert_allclose(
    jnp.einsum(whole, x, merged[path]),
    jnp.einsum(whole, x, w) + 6.0 / 3 * jnp.einsum(round_by, x, a, b),
    rtol=1e-4, atol=1e-4)


@each_kind
def test_resumed_is_bit_identical(kind, tmp_path):
  runs = members(kind, seeds=(0, 1), checkpoint_every=4, evaluate_every=6)
  whole = train.fit(runs, tmp_path / 'whole')

  def die(step, rate):
    if step >= 8:
      raise Killed

  with pytest.raises(Killed):
    train.fit(runs, tmp_path / 'cut', train.Hooks(progress=die))
  resumed = train.fit(runs, tmp_path / 'cut')
  assert_same((whole.params, whole.initial), (resumed.params, resumed.initial))
  assert timeless(tmp_path / 'whole') == timeless(tmp_path / 'cut')


def test_a_replica_that_diverges_leaves_what_is_frozen(tmp_path):
  runs = members(LowRank(rank=2), rates=(1e-3, 1e38))
  fitted = train.fit(runs, tmp_path)
  assert train.survived(fitted).tolist() == [True, False]
  assert all(np.isfinite(x[0]).all() for x in jax.tree.leaves(fitted.params))


def test_seeds_start_from_other_changes_of_low_rank():
  params = params_of(model_of())
  first, same, other = (jax.tree.leaves(LowRank().split(params, seed)[0])
                        for seed in (0, 0, 1))
  assert_same(first, same)
  assert any((a != b).any() for a, b in zip(first, other))


def test_a_rank_above_a_matrix_is_refused():
  params = params_of(model_of())
  LowRank(rank=8).split(params, 0)
  with pytest.raises(ConfigError, match=(
      r'train.trainable.rank: 9 .*stack/mixer/w_k_DGK, which maps 16 numbers '
      r'to 8; use at most 8')):
    LowRank(rank=9).split(params, 0)


@pytest.mark.parametrize(('kind', 'message'), [
  (LowRank(rank=0), r'train.trainable.rank: 0 must be at least 1'),
  (LowRank(alpha=0.0), r'train.trainable.alpha: 0 must be above 0'),
  (NewRows(), r"first: 0 must be at least 1 and below model.vocab_size=25"),
  (NewRows(25), r"first: 25 .*set it to the parent's model.vocab_size")])
def test_a_kind_that_trains_nothing_is_refused(kind, message):
  with pytest.raises(ConfigError, match=message):
    members(kind)[0].validate()
