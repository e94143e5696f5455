"""What is read is what was written, and damage is named."""

import json
import shutil

import numpy as np
import pytest
from corpora import SHARDED, documents, prepare, write_jsonl

from data.errors import InputError
from data.text import shards


@pytest.fixture
def copy(made, tmp_path):
  return shutil.copytree(made, tmp_path / 'copy')


@pytest.mark.parametrize('split', shards.SPLITS)
def test_windows_are_stretches_of_the_stream_across_shards(made, split):
  stream = shards.Corpus(made).streams[split]
  whole = stream.whole()
  assert len(stream) == len(whole)
  assert len(list(made.glob(f'{split}-*.bin'))) > 4
  start_B = np.arange(0, len(whole) + 50, 37)
  # Windows that are longer than a shard, among others.
  for length in (1, 5, 3 * len(whole) // 4):
    expected = np.pad(whole, (0, length + 50), mode='edge')
    found = stream.windows(start_B, length)
    assert found.dtype == np.int32
    for start, row in zip(start_B, found):
      np.testing.assert_array_equal(row, expected[start:start + length])


def test_tokens_are_small_where_the_vocabulary_is():
  assert shards.dtype(2**16) == np.dtype('<u2')
  assert shards.dtype(2**16 + 1) == np.dtype('<u4')


def damage_cut(path):
  path.write_bytes(path.read_bytes()[:-2])


def damage_longer(path):
  path.write_bytes(path.read_bytes() + b'\0\0')


def damage_missing(path):
  path.unlink()


@pytest.mark.parametrize(('damage', 'says'), [
  (damage_cut, 'train-00003.bin is cut off'),
  (damage_longer, 'train-00003.bin is too long'),
  (damage_missing, 'train-00003.bin is missing'),
])
def test_wrong_sizes_are_noticed_when_a_corpus_is_opened(copy, damage, says):
  damage(copy / 'train-00003.bin')
  with pytest.raises(InputError, match=says):
    shards.Corpus(copy)
  assert [says in problem for problem in shards.verify(copy)] == [True]


@pytest.mark.parametrize('name', ['train-00002.bin', 'tokenizer.model'])
def test_one_flipped_bit_is_found(copy, name):
  raw = bytearray((copy / name).read_bytes())
  raw[len(raw) // 2] ^= 1
  (copy / name).write_bytes(raw)
  assert shards.verify(copy) == [f'{name} is damaged: its checksum differs']


def test_every_damaged_file_is_named(copy):
  damage_cut(copy / 'train-00001.bin')
  damage_missing(copy / 'tokenizer.model')
  assert len(shards.verify(copy)) == 2


def test_index_is_checked(copy):
  path = copy / shards.INDEX
  index = json.loads(path.read_text())
  path.write_text(json.dumps({**index, 'schema': 99}))
  with pytest.raises(InputError, match='has schema 99, and this version'):
    shards.Corpus(copy)
  index['shards']['train'].pop()
  path.write_text(json.dumps(index))
  with pytest.raises(InputError, match=f'{shards.INDEX} is damaged'):
    shards.Corpus(copy)
  path.write_text('{"schema"')
  with pytest.raises(InputError, match=f'{shards.INDEX} is damaged'):
    shards.verify(copy)
  path.unlink()
  with pytest.raises(InputError, match='not finished; run the same'):
    shards.Corpus(copy)


def test_fingerprint_follows_the_content(made, tmp_path):
  _, same = prepare([made.parent / 'in.jsonl'], tmp_path / 'same',
                    **SHARDED)
  assert same.fingerprint == shards.Corpus(made).fingerprint
  _, other = prepare([write_jsonl(tmp_path / 'in.jsonl', documents(39))],
                     tmp_path / 'other', **SHARDED)
  assert other.fingerprint != same.fingerprint
