"""Closeness of words: planted vectors, whole words, and lists that are damaged.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data.text.tokenizer import ByteTokenizer
from experiments.instruments import geometry, word_lists, word_similarity
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from experiments.instruments.word_lists import Pair
from experiments.machine.usage import UsageError
from model import AttentionConfig, ModelConfig

WORDS = [f'{a}{b}' for a in 'abcdefgh' for b in 'ijklmnop']
LISTS = {name: [Pair(one, other, float((i * 7 + shift) % 10)) for i, (
  one, other) in enumerate(zip(WORDS, WORDS[shift:]))]
  for shift, name in ((3, 'SimLex-999'), (5, 'WordSim-353'))}
CONFIG = ModelConfig(n_layers=2, d_model=8, vocab_size=257, unroll=1,
                     mixer=AttentionConfig(n_heads=2))


class Marked(ByteTokenizer):
  """Bytes with a mark before and after a text, as encoders have them."""

  def _marked(self, text):
    return [256, *text.encode(), 256]


@pytest.fixture
def folder(tmp_path):
  for name, file in word_lists.FILES.items():
    (tmp_path / file).write_text('# one\tother\thuman\n' + ''.join(
      f'{one}\t{other}\t{human}\n' for one, other, human in LISTS[name]))
  return tmp_path


@pytest.mark.parametrize('kind', [ByteTokenizer, Marked])
def test_a_word_is_all_of_its_pieces_and_nothing_else(kind):
  read = word_similarity.sentences(kind(), ['cat', 'horse'], ('the {}', '{}'))
  spelled = [bytes(row[weights > 0].tolist()).decode().strip()
             for row, weights in zip(read.tokens_BT, read.weights_BT)]
  assert spelled == ['cat', 'horse', 'cat', 'horse']
  assert read.text_B.tolist() == [0, 1, 0, 1]
  assert not read.weights_BT[~read.valid_BT].any()


def test_vectors_are_means_over_pieces_and_sentences(monkeypatch):
  monkeypatch.setattr(word_similarity, 'TOGETHER', 3)
  one = Network(model.init(CONFIG, jax.random.key(0)), CONFIG)
  read = word_similarity.sentences(ByteTokenizer(), ['cat', 'ox'],
                                   ('the {}', 'a {}'))
  found_NVD = word_similarity.vectors(one, read, 2)
  stream_NBTD = np.asarray(jax.jit(Network.stream)(one, read))
  means_NBD = np.stack([stream_NBTD[:, row, weights > 0].mean(1)
                        for row, weights in enumerate(read.weights_BT)], 1)
  np.testing.assert_allclose(
    found_NVD, (means_NBD[:, :2] + means_NBD[:, 2:]) / 2, atol=1e-5)


def test_forms_are_those_of_the_tables_of_geometry():
  table_VD = np.random.default_rng(0).normal(size=(60, 8)).astype(
    np.float32) * np.arange(1, 9) + 3
  for form, expected_VD in zip(word_similarity.FORMS, (
      table_VD, geometry.centred(table_VD), geometry.all_but_top(table_VD, 1),
      geometry.whitened(table_VD))):
    formed_VD = np.asarray(word_similarity.formed(jnp.asarray(table_VD), form))
    np.testing.assert_allclose(formed_VD @ formed_VD.T,
                               geometry.cosine(expected_VD), atol=1e-4)


def test_planted_closeness_is_found_and_shuffled_is_not():
  """Words on a circle; people judge by the angle between them."""
  angle_V = np.random.default_rng(0).uniform(0, 6.28, len(WORDS))
  table_VD = np.stack([np.cos(angle_V), np.sin(angle_V)], 1)
  number = {word: i for i, word in enumerate(WORDS)}

  def judged(order):
    return {name: [Pair(one, other, float(
      table_VD[order[number[one]]] @ table_VD[order[number[other]]]))
      for one, other, _ in pairs] for name, pairs in LISTS.items()}

  def found(order):
    # The mean, which all have, hides it until it is taken away.
    planted_NVD = jnp.asarray(table_VD + 30., jnp.float32)[None]
    return {(row.where['form'], row.where['list']): row.value
            for row in word_similarity.correlations(planted_NVD, WORDS,
                                                    judged(order))}

  same = found(np.arange(len(WORDS)))
  other = found(np.random.default_rng(1).permutation(len(WORDS)))
  for name in LISTS:
    assert same['centred', name] > 0.95
    assert same['as they are', name] < 0.8
    assert abs(other['centred', name]) < 0.35


def test_rows_of_a_model_of_a_random_one_and_of_spelling(folder):
  one = Network(model.init(CONFIG, jax.random.key(0)), CONFIG)
  given = Given(one, None, tokenizer=ByteTokenizer(), words=folder)
  rows = word_similarity.measure(given)
  assert not word_similarity.refusal(given)
  kinds = {(row.where.get('network'), row.where.get('layer'),
            row.where['form'], row.where['list']) for row in rows}
  assert len(kinds) == len(rows) == 2 + 2 * 3 * 4 * 2
  assert 'make models' in word_similarity.refusal(
    Given(one, None, tokenizer=ByteTokenizer()))
  assert 'no text' in word_similarity.refusal(Given(one, None, words=folder))


def test_more_directions_than_words_are_not_whitened():
  assert word_similarity.WHITENED in word_similarity.forms(100, 99)
  assert word_similarity.WHITENED not in word_similarity.forms(99, 99)


def test_spelling_sees_letters_and_no_meaning():
  like, unlike, same = (word_lists.spelling(Pair(one, other, 0.)) for one, other
                        in (('house', 'houses'), ('cat', 'dog'), ('A', 'a')))
  assert same == pytest.approx(1)
  assert 0.6 < like < 1
  assert unlike == 0


def test_no_cluster_shares_a_word_with_another_or_grows_too_large():
  rng = np.random.default_rng(0)
  pairs = [Pair(f'w{a}', f'W{b}', 0.)
           for a, b in rng.integers(40, size=(90, 2))]
  found = word_lists.clusters(pairs, 4)
  kept = [(pair, own) for pair, own in zip(pairs, found) if own is not None]
  owner = {}
  for pair, own in kept:
    for word in pair[:2]:
      assert owner.setdefault(word.lower(), own) == own
  counts = np.bincount([own for _, own in kept])
  assert 0 < counts.min() <= counts.max() <= 4
  assert len(kept) > 20
  assert len(counts) > 5


@pytest.mark.parametrize(('damage', 'said'), [
  (None, 'no such list'),
  (b'a\tb\t1\n' * 40, 'all judged alike'),
  (b'cat\tdog\t7\ncat\tdog\n', 'line 2 is not two words and a number'),
  (b'cat\tdog\tnan\n', 'line 1 is not'),
  (b'\xff\xfe', 'cannot be read'),
])
def test_a_damaged_list_is_one_message(folder, damage, said):
  file = folder / word_lists.FILES['SimLex-999']
  file.unlink()
  if damage is not None:
    file.write_bytes(damage)
  with pytest.raises(UsageError, match=said) as caught:
    word_lists.read(folder)
  assert str(file) in str(caught.value)
  assert 'make models' in str(caught.value)
