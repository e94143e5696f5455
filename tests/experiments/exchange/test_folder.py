"""An imported folder is the model that it was made of, or is refused."""

import errno
import json
import math
import os
import resource
import subprocess
import sys
import tracemalloc

import folders
import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import model as models
from data import durable
from data.errors import InputError
from experiments.exchange import folder, original, shards
from experiments.exchange.opening import opened
from experiments.machine.usage import UsageError
from experiments.runs import origin
from model.pretrained import buffers, loading
from model.pretrained.checkpoint import UnreadableModel
from train import placement
from train.config import MeshConfig

LLAMA = folders.REFERENCES / 'llama'


def imported(tmp_path, name='llama', out='ours'):
  source = opened(folders.REFERENCES / name)
  return folder.write(source, tmp_path / out)


def arrays(name='llama'):
  return load_file(folders.REFERENCES / name / 'model.safetensors')


def theirs(name='llama', **changes):
  text = (folders.REFERENCES / name / 'config.json').read_text()
  return json.loads(text) | changes


@pytest.mark.parametrize('name', ['llama', 'gpt2', 'neox', 'bert'])
def test_an_imported_model_computes_what_the_reference_does(tmp_path, name):
  imported(tmp_path, name)
  ours = opened(tmp_path / 'ours')
  assert ours.form == 'imported'
  kept = np.load(folders.REFERENCES / name / 'reference.npz')
  valid_BT = kept['attention_mask'].astype(bool)
  types_BT = kept.get('token_type_ids')
  out = models.apply(ours.config, ours.params(), kept['input_ids'],
                     valid_BT=valid_BT, types_BT=types_BT)
  found, wanted = ((out.logits_BTV, 'logits') if 'logits' in kept
                   else (out.x_BTD, 'hidden'))
  np.testing.assert_allclose(np.asarray(found)[valid_BT],
                             kept[wanted][valid_BT], atol=2e-5)


def test_pieces_of_any_size_are_the_same_parameters(tmp_path, monkeypatch):
  source = opened(LLAMA)
  monkeypatch.setattr(shards, 'SHARD', 200)
  monkeypatch.setattr(buffers, 'BLOCK', 150)
  ours = folder.write(source, tmp_path / 'ours')
  assert len(list((tmp_path / 'ours').glob('parameters-*'))) > 20
  assert max(map(len, ours.pieces.values())) > 1
  assert max(np.prod(piece.shape) for own in ours.pieces.values()
             for piece in own) <= 16 * 24  # the largest layer
  jax.tree.map(np.testing.assert_array_equal, ours.params(), source.params())
  mesh = placement.make_mesh(MeshConfig(replica=1, fsdp=2, tensor=2))
  split = ours.params(mesh)
  jax.tree.map(np.testing.assert_array_equal, split, source.params())
  assert not split['stack']['mixer']['w_q_DHK'].is_fully_replicated


def test_no_more_than_a_file_is_held(tmp_path, monkeypatch):
  monkeypatch.setattr(shards, 'SHARD', 500_000)
  monkeypatch.setattr(buffers, 'BLOCK', 100_000)

  def numbers(index):
    rows, columns = index
    held = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    return np.repeat(held, columns.stop - columns.start, 1)

  wide = (5000, 1000)
  tracemalloc.start()
  pieces = shards.write(tmp_path, {'w_DF': loading.Parameter(wide, numbers)})
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 4 * 2 * 500_000 < 4 * math.prod(wide) / 4
  tracemalloc.start()
  shards.verify(tmp_path, pieces)
  peak = tracemalloc.get_traced_memory()[1]
  assert peak < 4 * 4 * 100_000
  part = shards.parameters(tmp_path, pieces)['w_DF']
  found = part.read((slice(None), slice(None)))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < found.nbytes + 4 * 4 * 100_000
  np.testing.assert_array_equal(found[:, 7], np.arange(5000))


def test_a_fingerprint_is_of_the_content_alone(tmp_path):
  bare = {name.removeprefix('model.'): array
          for name, array in arrays().items()}
  folders.write_folder(tmp_path / 'sharded', theirs(), arrays(), shards=3)
  folders.write_folder(tmp_path / 'bare', theirs(), bare)
  found = {opened(path).fingerprint for path in (
    LLAMA, tmp_path / 'sharded', tmp_path / 'bare')}
  found.add(imported(tmp_path).fingerprint)
  assert len(found) == 1
  changed = arrays()
  changed['model.norm.weight'][3] += 1e-6
  folders.write_folder(tmp_path / 'values', theirs(), changed)
  folders.write_folder(tmp_path / 'config', theirs(rms_norm_eps=0.02), arrays())
  others = {opened(tmp_path / name).fingerprint
            for name in ('values', 'config')}
  assert len(others | found) == 3


def test_a_gguf_of_the_same_numbers_is_the_same_model(tmp_path):
  pytest.importorskip('gguf')
  import gguf_files
  gguf_files.converted(tmp_path / 'm.gguf', 'llama')
  source = opened(tmp_path / 'm.gguf')
  assert source.form == 'gguf'
  assert source.fingerprint == opened(LLAMA).fingerprint
  ours = folder.write(source, tmp_path / 'ours')
  jax.tree.map(np.testing.assert_array_equal, ours.params(),
               opened(LLAMA).params())


def test_a_gguf_of_an_unknown_vocabulary_is_read_for_its_ids(tmp_path):
  pytest.importorskip('gguf')
  import gguf_files
  unknown = {'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': 'runes',
             'tokenizer.ggml.tokens': [str(i) for i in range(40)],
             'tokenizer.ggml.token_type': [1] * 40}
  gguf_files.converted(tmp_path / 'm.gguf', 'llama', more=unknown)
  source = opened(tmp_path / 'm.gguf')
  assert source.tokenizer is None
  assert "'runes' does not say how text is split" in source.unknown_vocabulary
  m = origin.load(tmp_path / 'm.gguf')
  assert m.run([1, 2]).logits_TV.shape == (2, 40)
  with pytest.raises(UsageError, match=r'reads ids alone: .*runes'):
    m.tokenize('text')


def test_a_folder_that_changes_is_read_again(tmp_path):
  path = folders.write_folder(tmp_path / 'm', theirs(), arrays())
  before = opened(path).fingerprint
  assert opened(path) is opened(path)
  changed = arrays()
  changed['model.norm.weight'] *= 2
  folders.write_folder(path, theirs(), changed)
  assert opened(path).fingerprint != before


KILLED = '''
import os, pathlib, sys
from experiments.exchange import folder, shards
from experiments.exchange.opening import opened
from experiments.machine.usage import UsageError
from experiments.runs import origin
save, count = shards.save_file, []
def dying(*arguments):
  count.append(save(*arguments))
  if len(count) == 3:
    os._exit(9)
shards.save_file, shards.SHARD = dying, 200
folder.write(opened(sys.argv[1]), pathlib.Path(sys.argv[2]))
'''


def test_a_kill_between_files_leaves_nothing_that_looks_whole(tmp_path):
  ended = subprocess.run(
    [sys.executable, '-P', '-c', KILLED, str(LLAMA), str(tmp_path / 'ours')],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}, check=False)
  assert ended.returncode == 9
  left, = tmp_path.iterdir()
  assert left.name.endswith('.partial')
  assert len(list(left.iterdir())) == 3
  with pytest.raises(UnreadableModel):
    opened(left)
  ours = imported(tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['ours']
  jax.tree.map(np.testing.assert_array_equal, ours.params(),
               opened(LLAMA).params())


def test_nothing_is_overwritten(tmp_path):
  (tmp_path / 'ours').mkdir()
  (tmp_path / 'ours' / 'mine').write_text('')
  with pytest.raises(InputError, match='is there already'):
    imported(tmp_path)
  assert [path.name for path in (tmp_path / 'ours').iterdir()] == ['mine']
  (tmp_path / 'ours' / 'mine').unlink()
  assert imported(tmp_path).path == tmp_path / 'ours'


def test_models_of_a_series_that_are_the_same_bytes_are_told(tmp_path):
  first = imported(tmp_path, out='step-1')
  assert folder.twins(first) == []
  changed = arrays()
  changed['model.norm.weight'] *= 2
  folders.write_folder(tmp_path / 'm', theirs(), changed)
  folder.write(opened(tmp_path / 'm'), tmp_path / 'step-2')
  imported(tmp_path, 'gpt2', 'other')
  second = imported(tmp_path, out='step-3')
  one, two = folder.twins(second)
  assert one == (f'{first.path} is the same model: its config and all of its '
                 'tensors are these')
  count = len(second.tensors)
  assert two == (f'{tmp_path / "step-2"} shares {count - 1} of the {count} '
                 'tensors')


def test_a_full_disk_names_the_file(tmp_path):
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
  try:
    with pytest.raises(OSError, match=r'x\.safetensors') as raised:
      shards.save(tmp_path / 'x.safetensors', {'x': np.zeros(10**4)})
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert raised.value.errno == errno.EFBIG


def test_who_comes_second_is_told(tmp_path):
  with pytest.raises(FileExistsError, match='by another process'), (
      durable.folder(tmp_path / 'ours')):
    (tmp_path / 'ours' / 'theirs').mkdir(parents=True)
  assert [path.name for path in tmp_path.iterdir()] == ['ours']


def test_a_file_that_goes_away_is_named(tmp_path):
  path = folders.write_folder(tmp_path / 'm', theirs(), arrays())
  model = opened(path)
  (path / 'model.safetensors').unlink()
  with pytest.raises(UnreadableModel, match=r'model\.safetensors.*cannot be'):
    model.params()


def test_a_name_that_no_file_can_have_is_refused():
  with pytest.raises(UnreadableModel, match='cannot be read'):
    opened('a' * 5000)


def test_what_carries_nothing_of_ours_is_named(tmp_path):
  assert opened(LLAMA).left_out == ()
  assert 'pooler.dense.weight' in opened(folders.REFERENCES / 'bert').left_out
  spare = 'model.layers.0.self_attn.rotary_emb.inv_freq'
  path = folders.write_folder(
    tmp_path / 'm', theirs(), arrays() | {spare: np.ones(2, np.float32)})
  assert isinstance(opened(path), original.Original)
  assert opened(path).left_out == (spare,)
  assert opened(path).fingerprint == opened(LLAMA).fingerprint


def test_dtypes_are_told(tmp_path):
  half = {name: array.astype(np.float16) if 'proj' in name else array
          for name, array in arrays().items()}
  path = folders.write_folder(tmp_path / 'm', theirs(), half)
  assert opened(path).stored == 'F16 (21), F32 (9)'
