"""Exact probabilities, what similarity copies, and what it leaves alone."""

import dataclasses

import jax
import numpy as np
import pytest

from data import InputError
from data.sources.new_tokens import NewTokensConfig, chain

OLD = NewTokensConfig()
NEW = NewTokensConfig('new', 0.5)
FIRST = 48
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def matrix(config, seed=100):
  return chain(np.random.default_rng(seed), config)


def at(similarity, seed=100):
  return matrix(dataclasses.replace(NEW, similarity=similarity), seed)


@pytest.mark.parametrize('config', [OLD, NEW])
def test_texts_follow_the_exact_probabilities(config):
  source = config.open()
  instance = source.instance(100)
  batch = jax.jit(source.batch, static_argnums=(2, 4))(
    instance, 0, 'validation', 0, 20_000)
  tokens, targets = np.asarray(batch.tokens_BT), np.asarray(batch.targets_BT)
  np.testing.assert_array_equal(tokens[:, 1:], targets[:, :-1])
  begins = np.bincount(tokens[:, 0], minlength=60) / len(tokens)
  np.testing.assert_allclose(begins, instance['begin_V'], atol=0.006)
  counts = np.zeros((60, 60))
  np.add.at(counts, (tokens, targets), 1)
  exact = instance['transition_VV']
  assert not counts[exact == 0].any()
  seen = counts.sum(1)
  spread = np.sqrt(exact * (1 - exact) / np.maximum(seen, 1)[:, None])
  error = np.abs(counts / np.maximum(seen, 1)[:, None] - exact)
  assert (error <= 5 * spread + 1e-6)[seen > 0].all()


def test_rows_are_distributions_of_one_entropy_at_every_similarity():
  def entropies(probability_VV):
    logs = np.log(np.where(probability_VV > 0, probability_VV, 1))
    return -(probability_VV * logs).sum(axis=1)

  for share in SHARES:
    np.testing.assert_allclose(at(share).sum(axis=1), 1)
    np.testing.assert_allclose(entropies(at(share)), entropies(at(0.0)))


def test_old_text_has_no_new_token_and_is_the_same_at_every_similarity():
  old = matrix(OLD)
  assert not old[:, FIRST:].any()
  assert ((old[:FIRST] > 0).sum(axis=1) == 4).all()
  assert ((old[:FIRST, :FIRST] > 0).sum(axis=0) == 4).all()
  similar = matrix(dataclasses.replace(OLD, similarity=1.0))
  np.testing.assert_array_equal(old[:FIRST], similar[:FIRST])


def test_new_text_keeps_the_old_rules_among_old_tokens():
  for share in SHARES:
    np.testing.assert_allclose(at(share)[:FIRST, :FIRST],
                               0.5 * matrix(OLD)[:FIRST, :FIRST])


@pytest.mark.parametrize('seed', [100, 101])
def test_similarity_is_the_share_of_contexts_and_successors_copied(seed):
  old, twins = matrix(OLD, seed) > 0, at(1.0, seed) > 0
  # A twin's contexts are those of its template, the old token that they share.
  templates = [int(np.flatnonzero(old[twins[:, j]].all(axis=0))[0])
               for j in range(FIRST, 60)]
  assert len(set(templates)) == 12
  for share in SHARES:
    now = at(share, seed) > 0
    for j, template in zip(range(FIRST, 60), templates):
      assert now[:FIRST, j].sum() == now[j].sum() == 4
      copied = now[:FIRST, j] & old[:FIRST, template]
      assert copied.sum() == 4 * share
      assert (now[j] & old[template]).sum() == 4 * share


@pytest.mark.parametrize(('fields', 'message'), [
  ({'similarity': 0.3}, r'similarity: 0.3 must be a share .* multiple of 0.25'),
  ({'similarity': 1.25}, r'similarity: 1.25 must be a share'),
  ({'new_tokens': 2}, r'new_tokens: 2 must be at least 3'),
  ({'share': 1.0}, r'share: 1 must lie between 0 and 1'),
  ({'length': 0}, r'length: 0 must be at least 1'),
])
def test_what_is_no_chain_is_refused(fields, message):
  with pytest.raises(InputError, match=message):
    dataclasses.replace(NEW, **fields).open()
