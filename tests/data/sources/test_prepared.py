"""A prepared corpus gives the same batches on the device and streamed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corpora import documents, prepare, scored_tokens, texts

from data.batch import StreamedSource
from data.errors import InputError
from data.prefetch import Prefetch
from data.prepare import work
from data.sources import prepared
from data.sources.text import TextConfig
from data.text import corpus, shards

LENGTH, BATCH = 24, 7


@pytest.fixture(scope='module')
def config(made):
  return TextConfig(text_path=str(made), length=LENGTH)


@pytest.fixture(scope='module')
def source(config):
  return config.open()


@pytest.fixture
def streamed(config, monkeypatch):
  monkeypatch.setattr(prepared, 'RESIDENT_BYTES', 1000)
  return config.open()


@functools.partial(jax.jit, static_argnums=(0, 3, 5))
def draw(source, instance, seed, split, step, batch_size):
  return source.batch(instance, seed, split, step, batch_size)


def test_folder_brings_its_tokenizer_and_split(source):
  assert isinstance(source, prepared.PreparedText)
  assert source.vocab_size == 420
  assert not source.streams
  assert source.fingerprint['documents'] == 40
  assert source.fingerprint['bytes'] == sum(
    len(text.encode()) for text in documents(40))
  assert source.instance(0)['train'].dtype == np.uint16


@pytest.mark.parametrize(('split', 'stride'), [
  ('train', 0), ('validation', 0), ('validation', 5)])
def test_streamed_and_resident_batches_are_equal(config, monkeypatch, split,
                                                 stride):
  config = dataclasses.replace(config, stride=stride)
  source = config.open()
  monkeypatch.setattr(prepared, 'RESIDENT_BYTES', 1000)
  streamed = config.open()
  assert streamed.streams
  assert isinstance(streamed, StreamedSource)
  assert dict(streamed.instance(0)) == {}
  steps = (0, 1, 5, source.windows // BATCH, 3 * source.windows // BATCH, 999)
  for seed, step in ((seed, step) for seed in (0, 3) for step in steps):
    device = draw(source, source.instance(0), seed, split, step, BATCH)
    host = streamed.host_batch(seed, split, step, BATCH)
    for expected, found in zip(device, host):
      assert isinstance(found, np.ndarray)
      assert found.dtype == expected.dtype
      np.testing.assert_array_equal(expected, found)


def test_each_window_is_met_once_an_epoch(source):
  """An order of its own for every seed and epoch, and no window left out."""
  stream = source.instance(0)['train']
  # Some may be alike: documents overlap.
  windows = sorted(stream[i * LENGTH:(i + 1) * LENGTH + 1].tobytes()
                   for i in range(source.windows))
  orders = set()
  for seed in (0, 1):
    met = []
    for step in range(2 * source.windows // BATCH + 1):
      batch = source.host_batch(seed, 'train', step, BATCH)
      rows = np.concatenate([batch.tokens_BT, batch.targets_BT[:, -1:]], 1)
      met += [row.astype(np.uint16).tobytes() for row in rows]
      assert (batch.weights_BT == 1).all()
    for epoch in (met[:source.windows], met[source.windows:2 * source.windows]):
      assert sorted(epoch) == windows
      orders.add(tuple(epoch))
  assert len(orders) == 4


@pytest.mark.parametrize('split', ['train', 'validation'])
@pytest.mark.parametrize('rows', [slice(0, 3), slice(3, 7), slice(2, 3),
                                  slice(1, None, 2), slice(0, 0)])
def test_rows_are_those_of_the_whole_batch(source, split, rows):
  for step in (0, 2):
    whole = source.host_batch(5, split, step, BATCH)
    part = source.host_batch(5, split, step, BATCH, rows)
    for expected, found in zip(whole, part):
      np.testing.assert_array_equal(expected[rows], found)


@pytest.mark.parametrize('batch_size', [1, 7, 1000])
def test_held_out_tokens_are_scored_once_unless_they_leak(source, made,
                                                          batch_size):
  opened = shards.Corpus(made)
  marks = scored_tokens(source.tokenizer, texts(opened, 'validation'),
                        texts(opened, 'train'))
  assert 0.1 < marks.mean() < 0.9
  stream, expected, targets = source.instance(0)['validation'], [], []
  for start in range(1, len(stream), LENGTH):
    window = slice(start, start + LENGTH)
    if marks[window].any():  # else nothing is scored, not even a separator
      found = stream[window]
      separates = found == source.tokenizer.separator
      expected.append(found[marks[window] | separates])
  for step in range(source.evaluation_steps('validation', batch_size)):
    batch = source.host_batch(0, 'validation', step, batch_size)
    targets.append(batch.targets_BT[batch.weights_BT == 1])
  np.testing.assert_array_equal(np.concatenate(targets),
                                np.concatenate(expected))


def test_prepared_text_is_scored_as_text_that_is_not(tmp_path, monkeypatch):
  (tmp_path / 'in').mkdir()
  for i, text in enumerate(documents(60)):
    (tmp_path / 'in' / f'{i:02}.txt').write_bytes(text.encode())
  prepare([tmp_path / 'in'], tmp_path / 'out', held_out=0.3, shard_bytes=5000)

  def split(documents, share):
    held = [work.is_held_out(text.encode(), share) for text in documents]
    return tuple([text for text, its in zip(documents, held) if its == side]
                 for side in (False, True))

  monkeypatch.setattr(corpus, 'split', split)
  plain, shard = (
    TextConfig(text_path=str(tmp_path / name), length=LENGTH, held_out=0.3
               ).open() for name in ('in', 'out'))
  assert isinstance(shard, prepared.PreparedText)
  for name, array in plain.instance(0).items():
    np.testing.assert_array_equal(array, shard.instance(0)[name])
  for name in ('left_out', 'held_out_bytes', 'bytes', 'documents', 'tokenizer'):
    assert plain.fingerprint[name] == shard.fingerprint[name]


def test_what_needs_the_device_refuses_a_streamed_corpus(streamed):
  with pytest.raises(InputError, match='is streamed'):
    streamed.batch({}, 0, 'train', 0, BATCH)


def test_replicas_draw_by_their_own_seeds(source):
  instance = source.instance(0)
  together = jax.vmap(
    lambda seed: source.batch(instance, seed, 'train', 4, BATCH))(jnp.arange(3))
  for seed in range(3):
    np.testing.assert_array_equal(
      together.tokens_BT[seed],
      source.host_batch(seed, 'train', 4, BATCH).tokens_BT)


def test_prefetched_batches_are_those_of_their_steps(source):
  make = functools.partial(source.host_batch, 1, 'train', batch_size=BATCH)
  with Prefetch(make, 3, 8) as batches:
    for step, batch in zip(range(3, 8), batches):
      np.testing.assert_array_equal(
        batch.tokens_BT, source.host_batch(1, 'train', step, BATCH).tokens_BT)


def test_an_unusable_folder_is_an_error_of_the_field(config, tmp_path):
  (tmp_path / 'corpus.request.json').write_text('{}')
  with pytest.raises(InputError, match=r'source\.text_path: .* not finished'):
    TextConfig(text_path=str(tmp_path)).open()
  with pytest.raises(InputError, match=r'source\.length: .* train split'):
    TextConfig(text_path=config.text_path, length=10**6).open()
  with pytest.raises(InputError, match="no 'test' split"):
    config.open().host_batch(0, 'test', 0, 1)
