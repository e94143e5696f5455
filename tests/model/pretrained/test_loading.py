"""Parameters come from a checkpoint slice by slice, and go back unchanged."""

import itertools

import folders
import jax
import ml_dtypes
import numpy as np
import pytest

import model
from model import pretrained
from model.pretrained import buffers, hugging_face, table
from model.pretrained.table import Entry
from train import placement
from train.config import MeshConfig


class Counting:
  """A checkpoint that counts the numbers read of each tensor."""

  def __init__(self, checkpoint):
    self.tensors, self.readable = checkpoint.tensors, checkpoint.readable
    self.checkpoint, self.counts = checkpoint, dict.fromkeys(self.tensors, 0)

  def read(self, name, index):
    part = self.checkpoint.read(name, index)
    self.counts[name] += part.size
    return part


def equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def whole(checkpoint, name):
  shape = checkpoint.tensors[name].shape
  return checkpoint.read(name, tuple(slice(0, size) for size in shape))


def mesh(**axes):
  lengths = dict.fromkeys(placement.AXES, 1) | axes
  return placement.make_mesh(MeshConfig(**lengths), jax.devices()[:4])


@pytest.fixture(scope='module')
def llama(tmp_path_factory):
  path = tmp_path_factory.mktemp('llama')
  return hugging_face.read(folders.write_folder(path))


@pytest.fixture(scope='module')
def params(llama):
  return pretrained.load(llama)


def test_a_table_names_all_parameters_of_its_model(llama, params):
  shapes = jax.eval_shape(
    lambda: model.init(llama.config, jax.random.key(0)))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == (
    jax.tree.map(lambda x: (x.shape, x.dtype), shapes))


def test_a_parameter_is_what_its_letters_say(llama, params):
  theirs = whole(llama.checkpoint, 'model.layers.1.self_attn.q_proj.weight')
  w_q_DHK = np.asarray(params['stack']['mixer']['w_q_DHK'][1])
  np.testing.assert_array_equal(w_q_DHK[5, 3, 2], theirs[3 * 4 + 2, 5])


def test_what_was_loaded_goes_back_unchanged(llama, params):
  back = dict(pretrained.unload(llama.family, llama.config, params))
  assert back.keys() == llama.checkpoint.tensors.keys()
  for name, array in back.items():
    np.testing.assert_array_equal(array, whole(llama.checkpoint, name))


def test_each_device_reads_its_share(llama, params):
  devices = mesh(fsdp=2, tensor=2)
  shardings = placement.parameter_shardings(params, devices)
  counting = Counting(llama.checkpoint)
  loaded = pretrained.load(llama._replace(checkpoint=counting), shardings)
  equal(loaded, params)
  assert jax.tree.map(lambda x: x.sharding, loaded) == shardings
  for name, tensor in llama.checkpoint.tensors.items():
    size, matrix = np.prod(tensor.shape), len(tensor.shape) == 2
    # Vectors are split over fsdp alone: each half is on two devices.
    assert counting.counts[name] == (size if matrix else 2 * size), name


@pytest.mark.parametrize('name', ['bert', 'gpt2', 'neox', 'qwen3'])
def test_a_share_of_every_family_is_that_of_the_whole(name):
  found = hugging_face.read(folders.REFERENCES / name)
  whole = pretrained.load(found)
  shardings = placement.parameter_shardings(whole, mesh(fsdp=2, tensor=2))
  loaded = pretrained.load(found, shardings)
  equal(loaded, whole)
  assert jax.tree.map(lambda x: x.sharding, loaded) == shardings


def test_a_large_tensor_is_read_in_blocks(llama, params, monkeypatch):
  monkeypatch.setattr(buffers, 'BLOCK', 64)
  counting = Counting(llama.checkpoint)
  sizes = []
  read = counting.read
  counting.read = lambda name, index: sizes.append(
    read(name, index).size) or read(name, index)
  equal(pretrained.load(llama._replace(checkpoint=counting)), params)
  assert max(sizes) == 64


@pytest.mark.parametrize('dtype', [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_widened_exactly(tmp_path, dtype):
  arrays = folders.tensors(folders.LLAMA, dtype)
  found = hugging_face.read(folders.write_folder(tmp_path, arrays=arrays))
  params = pretrained.load(found)
  back = dict(pretrained.unload(found.family, found.config, params))
  for name, array in arrays.items():
    assert back[name].dtype == np.float32
    np.testing.assert_array_equal(back[name], array.astype(np.float32))


def test_shards_with_an_index_are_one_model(tmp_path, params):
  found = hugging_face.read(folders.write_folder(tmp_path, shards=3))
  equal(pretrained.load(found), params)


class Fused:
  """Three of our parameters in one tensor of theirs, whole."""

  def __init__(self, axes):
    self.sizes = {'D': 4, 'H': 2, 'K': 3, 'C': 3}
    self.entries = tuple(
      Entry('fused', f'stack/mixer/w_{name}_DHK', axes, piece=piece)
      for piece, name in enumerate('qkv'))
    self.letters = ''.join(self.entries[0].groups)
    self.array = np.arange(72, dtype=np.float32).reshape(
      table.shape(self.entries[0], self.sizes))

  def read(self, name, index):
    return self.array[index]


@pytest.mark.parametrize('axes', ['D (C H K)', '(H C K) D', '(C H K) D',
                                  'D (H C K)', 'K H C D', '(H K) (C D)'])
def test_pieces_of_a_fused_tensor_are_told_apart(axes):
  fused = Fused(axes)
  parts = {'D': [range(4), range(1, 3)], 'H': [range(2), range(1, 2)],
           'K': [range(3), range(1, 3)]}
  all_of_it = fused.array.reshape([fused.sizes[x] for x in fused.letters])
  for entry, *asked in itertools.product(fused.entries, *parts.values()):
    ranges = dict(zip(parts, asked))
    order = [fused.letters.index(x) for x in 'CDHK']
    piece_DHK = all_of_it.transpose(order)[entry.piece]
    expected = piece_DHK[tuple(slice(x.start, x.stop) for x in asked)]
    np.testing.assert_array_equal(
      table.read(entry, fused.sizes, fused, 'fused', ranges), expected)
  ours = {entry.ours: table.read(
    entry, fused.sizes, fused, 'fused', {x: range(fused.sizes[x])
                                         for x in 'DHK'})
    for entry in fused.entries}
  np.testing.assert_array_equal(
    table.write(fused.entries, fused.sizes, ours), fused.array)


def test_an_entry_has_the_letters_of_its_parameter():
  with pytest.raises(ValueError, match='w_q_DHK'):
    Entry('q', 'stack/mixer/w_q_DHK', '(H K) F')
