"""A folder that is not as it should be gets one message; nothing is loaded."""

import json
import os
import pathlib
import pickle
import struct

import folders
import numpy as np
import pytest

from model import pretrained
from model.pretrained import hugging_face
from model.pretrained.checkpoint import INDEX

FILE = 'model.safetensors'
SHARD = 'model-00001-of-00002.safetensors'


def config(**changes):
  """Changes config.json; None takes a key away."""
  def spoil(path):
    file = path / 'config.json'
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps(
      {key: value for key, value in values.items() if value is not None}))
  return spoil


def tensor(name, array=None):
  """Replaces, adds, or takes away a tensor."""
  def spoil(path):
    arrays = folders.tensors(folders.LLAMA)
    arrays.pop(name, None)
    folders.write_folder(path, arrays=arrays if array is None else (
      arrays | {name: array}))
  return spoil


def text(name, content):
  """Writes a file."""
  def spoil(path):
    (path / name).write_bytes(content)
  return spoil


def cut(path):
  content = (path / FILE).read_bytes()
  (path / FILE).write_bytes(content[:-100])


def header(change):
  """Changes the header of the safetensors, not their data."""
  def spoil(path):
    content = (path / FILE).read_bytes()
    size = struct.unpack('<Q', content[:8])[0]
    values = json.loads(content[8:8 + size])
    change(values)
    encoded = json.dumps(values).encode()
    (path / FILE).write_bytes(
      struct.pack('<Q', len(encoded)) + encoded + content[8 + size:])
  return spoil


def bounds(values):
  values['model.norm.weight']['data_offsets'] = [0, 2**40]


def size(values):
  values['model.norm.weight']['shape'] = [2**40]


def overflow(values):
  values['model.norm.weight']['shape'] = [2**62, 2**62]


def dtype(values):
  values['model.norm.weight']['dtype'] = 'F99'


def integers(values):
  values['model.norm.weight']['dtype'] = 'I32'


def pickled(path):
  (path / FILE).unlink()
  (path / 'pytorch_model.bin').write_bytes(pickle.dumps(Bomb()))


def pickle_alone(path):
  empty(path)
  (path / 'model.pt').write_bytes(pickle.dumps(Bomb()))


def gguf(path):
  empty(path)
  (path / 'model.gguf').write_bytes(b'GGUF')


class Bomb:
  """Leaves a trace when it is unpickled."""

  def __reduce__(self):
    return os.mkdir, ('exploded',)


def index(**places):
  """A folder in shards, whose index says something else of some tensors."""
  def spoil(path):
    (path / FILE).unlink()
    folders.write_folder(path, shards=2)
    values = json.loads((path / INDEX).read_text())
    values['weight_map'].update(places)
    (path / INDEX).write_text(json.dumps(values))
  return spoil


def lost_shard(path):
  index()(path)
  (path / SHARD).unlink()


def cut_shard(path):
  index()(path)
  (path / SHARD).write_bytes((path / SHARD).read_bytes()[:-4])


def link(path):
  """The tensors are elsewhere, and a link leads there."""
  (path / FILE).rename(path.parent / FILE)
  (path / FILE).symlink_to(path.parent / FILE)


def two(path):
  (path / FILE).rename(path / 'a.safetensors')
  (path / 'b.safetensors').write_bytes((path / 'a.safetensors').read_bytes())


def empty(path):
  for file in path.iterdir():
    file.unlink()


def code(path):
  config(auto_map={'AutoModel': 'spoilt.Model'}, model_type='spoilt')(path)
  (path / 'spoilt.py').write_text("import os; os.mkdir('exploded')")


NORM = 'model.norm.weight'
DEEP = b'[' * 100_000

# What is done to a folder, and words of the message.
CASES = {
  'config: not JSON': (text('config.json', b'{"hidden'), 'config.json.*JSON'),
  'config: no text': (text('config.json', b'\xff\xfe'), 'config.json.*JSON'),
  'config: deep': (text('config.json', DEEP), 'config.json.*JSON'),
  'config: a list': (text('config.json', b'[]'), 'config.json.*object.*list'),
  'config: absent': (lambda path: (path / 'config.json').unlink(),
                     'config.json: no such file'),
  'key missing': (config(hidden_size=None), 'hidden_size: is missing; add'),
  'no model_type': (config(model_type=None), "model_type: 'None' is not read"),
  'unknown model_type': (config(model_type='lama'),
                         "model_type: 'lama'.*the nearest.*llama.*all: "),
  'model_type a list': (config(model_type=['llama']), 'model_type: .*not read'),
  'a word for a number': (config(hidden_size='16'),
                          "hidden_size: '16' is not an integer"),
  'true for a number': (config(num_hidden_layers=True),
                        'num_hidden_layers: True is not an integer'),
  'negative heads': (config(num_attention_heads=-4),
                     'num_attention_heads: -4 is not between 1'),
  'no layers': (config(num_hidden_layers=0), 'num_hidden_layers: 0 is not'),
  'vast width': (config(hidden_size=10**20), 'hidden_size: 1000.*not between'),
  'vast vocabulary': (config(vocab_size=2**31 - 1),
                      r'embed_tokens.*shape \(12, 16\).*2147483647'),
  'vast depth': (config(num_hidden_layers=10**6), 'num_hidden_layers: 1000000'),
  'heads that do not share': (config(num_key_value_heads=3),
                              'num_key_value_heads: 3 does not divide'),
  'odd heads': (config(head_dim=3), 'head_dim: 3'),
  'text for a flag': (config(tie_word_embeddings='no'),
                      "tie_word_embeddings: 'no' is neither true nor false"),
  'unknown activation': (config(hidden_act='gelo'),
                         "hidden_act: 'gelo'.*the nearest is 'gelu'"),
  'quantised': (config(quantization_config={'bits': 4}),
                'quantization_config: .*GGUF'),
  'code': (code, "model_type: 'spoilt' is not read"),
  'cut short': (cut, 'model.safetensors: damaged.*fetch'),
  'no bytes': (text(FILE, b''), 'model.safetensors: damaged'),
  'not safetensors': (text(FILE, b'PK\x03\x04' * 100),
                      'model.safetensors: damaged'),
  'vast header': (text(FILE, struct.pack('<Q', 2**62) + b'{}'),
                  'model.safetensors: damaged'),
  'offsets that lie': (header(bounds), 'model.safetensors: damaged'),
  'size that lies': (header(size), 'model.safetensors: damaged'),
  'size that overflows': (header(overflow), 'model.safetensors: damaged'),
  'unknown dtype': (header(dtype), 'model.safetensors: damaged'),
  'integers': (header(integers), f'{NORM}.*is stored as I32; convert'),
  'tensor missing': (tensor(NORM), f"'{NORM}' is missing"),
  'tensor left over': (tensor('score.weight', np.zeros((2, 16), np.float32)),
                       "'score.weight' has no place.*2 layers"),
  'layer left over': (config(num_hidden_layers=1),
                      r"'model.layers.1.*has no place.*1 layers"),
  'wrong shape': (tensor(NORM, np.zeros(17, np.float32)),
                  rf'{NORM}.*shape \(17,\).*makes it \(16,\)'),
  'a head that is not tied': (config(tie_word_embeddings=True),
                              'lm_head.weight.*tie_word_embeddings to false'),
  'twice under two names': (tensor('norm.weight', np.zeros(16, np.float32)),
                            "'norm.weight'.*'model.norm.weight' too"),
  'index: up and out': (index(**{NORM: '../x.safetensors'}),
                        r"'\.\./x\.safetensors' is not the plain name"),
  'index: absolute': (index(**{NORM: '/etc/passwd'}),
                      "'/etc/passwd' is not the plain name"),
  'index: a number': (index(**{NORM: 3}), 'index.json: weight_map'),
  'index: not JSON': (lambda path: [index()(path),
                                    text(INDEX, b'{')(path)],
                      'index.json: not JSON'),
  'index: another shard': (index(**{NORM: SHARD}),
                           f'index.json: {NORM!r} is said to be in'),
  'index: a tensor of no shard': (index(x=SHARD),
                                  "index.json: 'x' is said .*no shard"),
  'shard missing': (lost_shard, f'{SHARD}: no such file'),
  'shard cut short': (cut_shard, f'{SHARD}: damaged'),
  'a link out': (link, 'model.safetensors: is a link out of the folder'),
  'pickle': (pickled, 'pytorch_model.bin: a pickle.*convert it to safetensors'),
  'pickle alone': (pickle_alone, 'model.pt: a pickle.*convert it'),
  'gguf within': (gguf, 'give the file model.gguf itself'),
  'two models': (two, r'2 files of tensors \(a.safetensors, b.safetensors'),
  'empty': (empty, r'no \*\.safetensors in this folder; give'),
}


@pytest.mark.parametrize('case', CASES)
def test_what_is_malformed_is_refused(case, tmp_path, monkeypatch):
  spoil, words = CASES[case]
  monkeypatch.chdir(tmp_path)
  path = folders.write_folder(tmp_path / 'folder')
  spoil(path)
  with pytest.raises(pretrained.UnreadableModel, match=words) as raised:
    hugging_face.read(path)
  message = str(raised.value)
  assert message.startswith(str(path)), message
  assert '\n' not in message
  assert not pathlib.Path('exploded').exists()


@pytest.mark.parametrize('place', ['blobs', 'elsewhere'])
def test_a_snapshot_of_a_cache_links_to_its_blobs_alone(place, tmp_path):
  path = tmp_path / 'models--a--b' / 'snapshots' / '1f'
  path.mkdir(parents=True)
  folders.write_folder(path)
  blobs = tmp_path / 'models--a--b' / place
  blobs.mkdir()
  for number, file in enumerate(sorted(path.iterdir())):
    file.rename(blobs / str(number))
    file.symlink_to(blobs / str(number))
  if place == 'blobs':
    assert hugging_face.read(path).family.name == 'llama'
    return
  with pytest.raises(pretrained.UnreadableModel, match='a link out of'):
    hugging_face.read(path)
