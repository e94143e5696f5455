"""Hop strings follow their definition at every position."""

import jax
import numpy as np
import pytest

import data
from data.sources.hop_string import HopStringConfig


def open_source(length=33, hops=(0, 1, 2, 4), symbols=4):
  return HopStringConfig(
    length=length, hops=hops, symbols=symbols).open()


def draw(source, batch_size):
  return jax.tree.map(np.asarray, jax.jit(
    lambda: source.batch({}, 0, 'test', 0, batch_size))())


@pytest.fixture(scope='module')
def short():
  return draw(open_source(), 600)


@pytest.fixture(scope='module')
def published():
  return draw(open_source(length=100, hops=tuple(range(17))), 300)


def hop_by_definition(string, i, k):
  """The character k hops from i, or None; straight from the definition."""
  for _ in range(k):
    earlier = [j for j in range(i) if string[j] == string[i]]
    if not earlier:
      return None
    i = earlier[-1] + 1
  return string[i]


@pytest.mark.parametrize('drawn', ['short', 'published'])
def test_targets_follow_the_definition(drawn, request):
  batch = request.getfixturevalue(drawn)
  hops_seen = set()
  for tokens_T, targets_T, weights_T in zip(
      batch.tokens_BT[:40], batch.targets_BT, batch.weights_BT):
    k = tokens_T[0] - 4
    hops_seen.add(k)
    assert weights_T[0] == 0
    string = list(tokens_T[1:])
    for i, (target, weight) in enumerate(zip(targets_T[1:], weights_T[1:])):
      answer = hop_by_definition(string, i, k)
      assert weight == (answer is not None)
      assert answer is None or target == answer
  assert len(hops_seen) > 3


def test_training_may_ask_everywhere(short):
  config = HopStringConfig(length=33, hops=(0, 1, 2, 4), symbols=4,
                           trained='all')
  source = config.open()
  held_out = draw(source, 600)
  for found, expected in zip(held_out, short):
    np.testing.assert_array_equal(found, expected)
  trained, plain = (jax.tree.map(np.asarray, s.batch({}, 0, 'train', 0, 50))
                    for s in (source, open_source()))
  assert (trained.weights_BT == 1).all()
  exists = plain.weights_BT > 0
  np.testing.assert_array_equal(trained.targets_BT[exists],
                                plain.targets_BT[exists])
  blank, absent = 10, 9  # after 4 characters and k from 0 to 4
  assert (trained.targets_BT[:, 0] == blank).all()
  assert (trained.targets_BT[:, 1:][~exists[:, 1:]] == absent).all()
  assert source.vocab_size == 30


def test_the_first_token_says_k(short, published):
  np.testing.assert_array_equal(
    short.tokens_BT[:, 0] - 4, np.array([0, 1, 2, 4])[short.group_B])
  np.testing.assert_array_equal(published.tokens_BT[:, 0] - 4,
                                published.group_B)
  assert set(published.group_B) == set(range(17))


def test_no_character_repeats_at_once_and_all_are_used(published):
  string_BT = published.tokens_BT[:, 1:]
  assert (string_BT[:, 1:] != string_BT[:, :-1]).all()
  share_V = np.bincount(string_BT.ravel(), minlength=4) / string_BT.size
  np.testing.assert_allclose(share_V, 0.25, atol=0.01)


@pytest.mark.parametrize(('group', 'share'), [(1, .12), (2, .22), (3, .41)])
def test_the_share_without_an_answer_is_the_known_one(short, group, share):
  """The known numbers are of strings of 32 over 4, for k = 1, 2, 4."""
  weights_BT = short.weights_BT[short.group_B == group, 1:]
  # They are rounded to a per cent; 12.5 % has been rounded down.
  assert abs(1 - weights_BT.mean() - share) < 0.0055


def test_the_count_without_an_answer_is_exact(published):
  missing_B = 99 - published.weights_BT.sum(axis=1)
  k_B = published.group_B
  np.testing.assert_array_equal(missing_B, np.where(k_B, 1 + 3 * k_B, 0))


def test_the_vocabulary_is_the_published_one_and_grows_when_it_must():
  assert open_source(length=100, hops=tuple(range(17))).vocab_size == 30
  assert open_source(length=200, hops=(40,)).vocab_size == 45


def test_impossible_strings_are_refused_with_the_way_out():
  with pytest.raises(data.InputError, match=r'source\.length.*at least 51'):
    open_source(length=50, hops=(16,))
  open_source(length=51, hops=(16,))
  with pytest.raises(data.InputError, match=r'source\.symbols.*at least 3'):
    open_source(symbols=2)
  with pytest.raises(data.InputError, match=r'source\.hops.*at least 0'):
    open_source(hops=(-1,))
