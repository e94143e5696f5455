"""Rows by weight, parts that keep apart, and what cannot be mixed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import documents

from data import DataConfig, InputError, evaluation_sources
from data.sources import prepared
from data.sources.hop_string import HopStringConfig
from data.sources.mixture import (
  MixtureConfig,
  Part,
  largest_remainder,
  unique,
)
from data.sources.pointer_chasing import PointerChasingConfig
from data.sources.text import TextConfig
from data.sources.tree import TreeConfig
from data.text import leak

LENGTH = 33
HOPS = HopStringConfig(length=LENGTH, symbols=4, hops=(1, 2))


@pytest.fixture(scope='module')
def texts(tmp_path_factory):
  """Two texts in the same tokens."""
  configs = []
  for seed in (0, 1):
    path = tmp_path_factory.mktemp('texts') / f'{seed}.txt'
    path.write_text('\n\n'.join(documents(30, seed)))
    configs.append(TextConfig(text_path=str(path), length=LENGTH))
  return configs


def mix(*parts):
  return MixtureConfig(tuple(Part(source, weight) for source, weight in parts))


@pytest.fixture(scope='module')
def source(texts):
  return mix((texts[0], 3), (HOPS, 1), (texts[1], 1.5)).open()


def draw(source, split, step, seed=0, batch_size=11):
  return jax.tree.map(np.asarray, source.batch(
    source.instance(0), seed, split, step, batch_size))


@pytest.mark.parametrize(('weights', 'count', 'rows'), [
  ((1, 1), 7, [4, 3]), ((3, 1), 8, [6, 2]), ((0.7, 0.2, 0.1), 10, [7, 2, 1]),
  ((1, 1, 1), 8, [3, 3, 2]), ((0.55, 0.3, 0.15), 10, [6, 3, 1]),
  ((1e9, 1), 5, [5, 0]), ((5,), 3, [3])])
def test_rows_are_in_proportion_and_add_up(weights, count, rows):
  assert largest_remainder(weights, count) == rows


@pytest.mark.parametrize('split', ['train', 'validation'])
def test_a_batch_is_those_of_the_parts(source, split):
  for step, seed in ((0, 0), (3, 0), (3, 1)):
    whole, at, groups = draw(source, split, step, seed), 0, 0
    for part, rows in zip(source.parts, (6, 2, 3)):
      own = draw(part, split, step, seed, rows)
      for mixed, alone in zip(whole[:3], own[:3]):
        np.testing.assert_array_equal(mixed[at:at + rows], alone)
      np.testing.assert_array_equal(
        whole.group_B[at:at + rows], own.group_B + groups)
      at, groups = at + rows, groups + len(part.groups)
    assert at == len(whole.group_B)
    assert groups == len(source.groups)


def test_sizes_and_groups_are_those_of_all_parts(source, texts):
  assert source.length == LENGTH
  assert source.vocab_size == max(part.vocab_size for part in source.parts)
  assert source.bytes_V is None  # not all of it is text
  assert source.groups == (texts[0].name, 'hop_string: 1', 'hop_string: 2',
                           texts[1].name)


def test_traced_it_is_the_same(source):
  instance = source.instance(0)
  steps = jnp.arange(3)
  traced = jax.jit(jax.vmap(lambda step: source.batch(
    instance, 5, 'train', step, 11)))(steps)
  for step in range(3):
    for whole, alone in zip(traced, draw(source, 'train', step, 5)):
      np.testing.assert_array_equal(whole[step], alone)


def test_texts_that_are_mixed_are_scored_in_bytes(texts):
  source = mix((texts[0], 1), (texts[1], 1)).open()
  np.testing.assert_array_equal(source.bytes_V, source.parts[0].bytes_V)
  assert source.fingerprint == {
    'parts': [dict(part.fingerprint) for part in source.parts]}
  told = leak.sentences(source.fingerprint)
  assert [words[:8] for words in told] == ['Part 1: ', 'Part 2: ']
  assert mix((HOPS, 1)).open().fingerprint == {}


def test_evaluation_meets_every_held_out_window(texts):
  source = mix((texts[0], 5), (texts[1], 1)).open()
  steps = source.evaluation_steps('validation', 12)
  scored = [np.zeros(2), np.zeros(2)]
  for step in range(steps):
    batch = draw(source, 'validation', step, batch_size=12)
    np.add.at(scored[0], batch.group_B, batch.weights_BT.sum(1))
  for group, part in enumerate(source.parts):
    for step in range(part.evaluation_steps('validation', 50)):
      batch = draw(part, 'validation', step, batch_size=50)
      scored[1][group] += batch.weights_BT.sum()
  np.testing.assert_array_equal(*scored)
  assert mix((HOPS, 1)).open().evaluation_steps('validation', 4) is None
  both = mix((texts[0], 1), (HOPS, 1)).open()
  assert both.evaluation_steps('validation', 4) == (
    both.parts[0].evaluation_steps('validation', 2))


def test_a_part_without_rows_is_refused(texts):
  source = mix((texts[0], 50), (HOPS, 1)).open()
  with pytest.raises(InputError, match='hop_string with weight 1 gets none of'):
    draw(source, 'train', 0)
  assert draw(source, 'train', 0, batch_size=64).group_B.max() == 2


@pytest.mark.parametrize(('change', 'says'), [
  ({'length': 64}, 'parts: length is 33 in .* and 64 in'),
  ({'tokenizer': 'bpe', 'vocab_size': 420}, 'has another tokenizer than'),
])
def test_texts_that_do_not_mix(texts, change, says, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  other = dataclasses.replace(texts[1], **change)
  with pytest.raises(InputError, match=says):
    mix((texts[0], 1), (other, 1)).open()


@pytest.mark.parametrize(('parts', 'says'), [
  ([], 'a mixture without parts'),
  ([(HOPS, 0)], r'the weight of hop_string is 0; it must be above 0'),
  ([(HOPS, float('nan'))], 'the weight of hop_string is nan'),
  ([(mix((HOPS, 1)), 1)], 'a mixture in a mixture'),
  ([(HOPS, 1), (TreeConfig(levels=5), 1)], 'causal is True in hop_string and '
   'False in tree'),
])
def test_parts_that_do_not_mix(parts, says):
  with pytest.raises(InputError, match=says):
    mix(*parts).open()


def test_a_part_that_streams_is_refused(made, monkeypatch):
  monkeypatch.setattr(prepared, 'RESIDENT_BYTES', 1000)
  text = TextConfig(text_path=str(made), length=LENGTH)
  with pytest.raises(InputError, match=r'source\.parts: .* is too large for'):
    mix((text, 1), (HOPS, 1)).open()


def test_a_mixture_looks_ahead_only_if_its_parts_may(texts):
  assert mix((texts[0], 1), (HOPS, 1)).causal
  assert not mix((TreeConfig(), 1), (TreeConfig(symbols=4), 1)).causal


def test_names_are_told_apart():
  assert unique(['a', 'b', 'a', 'a-2', 'a']) == (
    'a', 'b', 'a-2', 'a-2-2', 'a-3')
  twice = mix((TreeConfig(), 1), (TreeConfig(sigma=2.0), 1))
  assert twice.open().groups == ('tree', 'tree-2')
  assert twice.name == 'mixture of tree, tree-2'


def test_evaluation_sources_have_names_and_the_tokens_of_the_text(
    texts, tmp_path, monkeypatch):
  chase = PointerChasingConfig(symbols=5, hops=(1, 2))
  other = PointerChasingConfig(symbols=5, hops=(2,))
  found = evaluation_sources(
    DataConfig(texts[0], evaluate=(texts[1], chase, other)))
  assert [name for name, _ in found] == [
    texts[1].name, 'pointer_chasing', 'pointer_chasing-2']
  assert [source.groups for _, source in found[1:]] == [('1', '2'), ('2',)]
  assert evaluation_sources(DataConfig(texts[0])) == ()
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  pieces = TextConfig(text_path=texts[1].text_path, length=LENGTH,
                      tokenizer='bpe', vocab_size=420)
  for training in (texts[0], mix((HOPS, 1), (texts[0], 1))):
    with pytest.raises(InputError, match=r'data\.evaluate: .* has another '
                       r'tokenizer than data\.source'):
      evaluation_sources(DataConfig(training, evaluate=(pieces,)))
