"""A file that is not as it should be gets one message, soon, in little room."""

import re
import struct
import sys
import time
import tracemalloc

import pytest

gguf = pytest.importorskip('gguf')

import gguf_files  # noqa: E402
import numpy as np  # noqa: E402

from model.pretrained.checkpoint import UnreadableModel  # noqa: E402
from model.pretrained.gguf import GGUFCheckpoint  # noqa: E402

KIND = gguf.GGMLQuantizationType
FIELDS = {
  'tokenizer.ggml.tokens': ['a', 'b'], 'tokenizer.ggml.scores': [1.0, 2.0],
  'block_count': 1, 'context_length': 8, 'embedding_length': 32,
  'feed_forward_length': 8, 'attention.head_count': 2,
  'attention.layer_norm_rms_epsilon': 1e-5}
ARRAYS = {'token_embd.weight': np.ones((4, 32), np.float32),
          'blk.0.attn_q.weight': np.ones((32, 32), np.float32),
          'blk.0.attn_k.weight': np.ones((32, 32), np.float32),
          'output_norm.weight': np.ones(32, np.float32)}
# Where the counts are, and how long a type is.
TENSORS, FIELD_COUNT = 8, 16
LARGE = 2**60


def written(path, fields=None, arrays=None, **more):
  return gguf_files.write(path, more.pop('architecture', 'llama'),
                          {**FIELDS, **(fields or {})},
                          {**ARRAYS, **(arrays or {})}, **more).read_bytes()


def put(content, at, form, *values):
  """Content with numbers written over it."""
  packed = struct.pack('<' + form, *values)
  return content[:at] + packed + content[at + len(packed):]


def after(content, name):
  """Where what follows a name begins."""
  return content.index(name.encode()) + len(name)


def cut(share):
  return lambda content: content[:int(len(content) * share)]


def over(name, offset, form, *values):
  """A change of what stands some bytes behind a name."""
  return lambda content: put(
    content, after(content, name) + offset, form, *values)


# What is done to the bytes of a good file, and what the message says.
SPOILT = {
  'empty': (lambda content: b'', 'not a GGUF file'),
  'another format': (lambda content: b'PK' + content[2:], 'not a GGUF file'),
  'six bytes': (lambda content: content[:6], '6 bytes'),
  'the counts missing': (lambda content: content[:12], 'truncated or damaged'),
  'cut in the metadata': (cut(0.1), 'truncated or damaged'),
  'cut in the tensors': (cut(0.9), 'truncated or damaged'),
  'version 1': (lambda content: put(content, 4, 'I', 1), 'version 1'),
  'version 77': (lambda content: put(content, 4, 'I', 77), 'version 77'),
  'tensors without number': (
    lambda content: put(content, TENSORS, 'Q', LARGE), 'truncated or damaged'),
  'fields without number': (
    lambda content: put(content, FIELD_COUNT, 'Q', LARGE),
    'truncated or damaged'),
  'a name without end': (
    lambda content: put(content, 24, 'Q', LARGE), 'truncated or damaged'),
  'an array without end': (
    over('tokenizer.ggml.scores', 8, 'Q', LARGE), 'truncated or damaged'),
  'an array of arrays without end': (
    over('tokenizer.ggml.scores', 4, 'IQIQ', 9, LARGE, 9, LARGE),
    'truncated or damaged'),
  'a field of no type': (
    over('tokenizer.ggml.scores', 0, 'I', 99), 'truncated or damaged'),
  'a name that is not UTF-8': (
    lambda content: content.replace(b'ggml.scores', b'\xff\xfe\xfd\xfc.scores'),
    'truncated or damaged'),
  'axes without number': (
    over('output_norm.weight', 0, 'I', 2**31), 'truncated or damaged'),
  'an axis without end': (
    over('output_norm.weight', 4, 'Q', LARGE), 'truncated or damaged'),
  'axes whose product wraps round': (
    over('token_embd.weight', 4, 'QQ', 2**33, 2**33), 'truncated or damaged'),
  'no such way to store': (
    over('output_norm.weight', 12, 'I', 999), 'truncated or damaged'),
  'an offset beyond the file': (
    over('output_norm.weight', 16, 'Q', 2**40), 'truncated or damaged'),
  'an offset that wraps round': (
    over('output_norm.weight', 16, 'Q', 2**64 - 32), 'truncated or damaged'),
  'an offset into another tensor': (
    over('output_norm.weight', 16, 'Q', 0), 'lie on the same bytes'),
  'a tensor twice': (
    lambda content: content.replace(b'attn_k', b'attn_q'),
    'truncated or damaged'),
}


def message(path):
  """The one message, got soon and in little room."""
  tracemalloc.start()
  start = time.perf_counter()
  try:
    with pytest.raises(UnreadableModel) as raised:
      GGUFCheckpoint(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
  finally:
    tracemalloc.stop()
  assert time.perf_counter() - start < 5
  text = str(raised.value)
  assert '\n' not in text
  assert text.startswith(str(path))
  return text


@pytest.mark.parametrize('name', SPOILT)
def test_spoilt_bytes(tmp_path, name):
  path = tmp_path / 'm.gguf'
  content = written(path)
  GGUFCheckpoint(path)  # is good before
  spoil, words = SPOILT[name]
  path.write_bytes(spoil(content))
  text = message(path)
  assert words in text
  assert re.search('download|convert', text)


# What a whole file says that cannot be read, and what the message says.
SAID = {
  'one part of several': (
    {'fields': {'split.count': 3, 'split.no': 0}},
    ['one of 3 parts', 'llama-gguf-split --merge']),
  'big-endian': ({'endian': gguf.GGUFEndian.BIG},
                 ['big-endian', 'gguf-convert-endian']),
  'an unknown architecture': ({'architecture': 'rwkv7'}, ['rwkv7', 'qwen2']),
  'layers without number': ({'fields': {'block_count': 2**31 - 1}},
                            ['block_count', '2147483647', '1 layers']),
  'a layer less': ({'fields': {'block_count': 2}}, ['block_count']),
  'no heads': ({'fields': {'attention.head_count': 0}},
               ['attention.head_count', '0']),
  'heads by layer': ({'fields': {'attention.head_count': [2, 2]}},
                     ['attention.head_count', '[2, 2]']),
  'no epsilon': ({'fields': {'attention.layer_norm_rms_epsilon': float('nan')}},
                 ['attention.layer_norm_rms_epsilon', 'nan']),
  'attention in both directions': (
    {'fields': {'attention.causal': False}}, ['attention.causal', 'False']),
  'half a head turns': ({'fields': {'rope.dimension_count': 8}},
                        ['rope.dimension_count', '16']),
  'another rule of rotation': ({'fields': {'rope.scaling.type': 'longrope'}},
                               ['rope.scaling.type', 'longrope', 'yarn']),
  'factors of frequencies that are nobody\'s': (
    {'arrays': {'rope_freqs.weight': np.linspace(1, 9, 8, dtype=np.float32)}},
    ['rope_freqs.weight', 'Llama 3']),
  'factors of too few frequencies': (
    {'arrays': {'rope_freqs.weight': np.ones(3, np.float32)}},
    ['rope_freqs.weight']),
  'what is not computed': ({'fields': {'attention.clamp_kqv': 8.0}},
                           ['attention.clamp_kqv', '8.0']),
  'experts': ({'fields': {'expert_count': 8}}, ['expert_count', '8']),
  'a way to store that is not decoded': (
    {'arrays': {'blk.0.ffn_up.weight': np.zeros((8, 40), np.uint8)},
     'kinds': {'blk.0.ffn_up.weight': KIND.Q8_1}},
    ['blk.0.ffn_up.weight', 'Q8_1', 'Q8_0']),
}


@pytest.mark.parametrize('name', SAID)
def test_a_whole_file_that_is_not_known(tmp_path, name):
  changes, words = SAID[name]
  path = tmp_path / 'm.gguf'
  written(path, **changes)
  text = message(path)
  assert all(word in text for word in words), text


def test_no_embedding(tmp_path):
  path = tmp_path / 'm.gguf'
  gguf_files.write(path, 'llama', FIELDS, {
    name: array for name, array in ARRAYS.items() if 'embd' not in name})
  assert 'token_embd.weight' in message(path)


def test_no_file(tmp_path):
  assert 'No such file' in message(tmp_path / 'm.gguf')
  assert 'Is a directory' in message(tmp_path)


def test_no_package(tmp_path, monkeypatch):
  written(tmp_path / 'm.gguf')
  monkeypatch.delitem(sys.modules, 'model.pretrained.gguf.file')
  monkeypatch.delattr('model.pretrained.gguf.file')
  monkeypatch.setitem(sys.modules, 'gguf', None)
  assert "pip install -e '.[gguf]'" in message(tmp_path / 'm.gguf')
