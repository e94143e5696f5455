import logging
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import checksums, placement
from train.checkpoint import Checkpoints
from train.config import MeshConfig
from train.stop import CheckpointError

ROOT = Path(__file__).parents[2]
ONE = MeshConfig(replica=1)


def state(step, layout=ONE):
  """A state whose values tell its step, laid out on a mesh."""
  values = {'step': jnp.int32(step),
            'w_up_DF': jnp.arange(64.0).reshape(1, 8, 8) + step}
  return jax.tree.map(jax.device_put, values,
                      placement.shardings(values, placement.make_mesh(layout)))


def like(layout=ONE):
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
    state(0, layout))


def write(folder, *steps, **policy):
  with Checkpoints(folder, **policy) as checkpoints:
    for step in steps:
      checkpoints.save(state(step))


def restored(folder, layout=ONE):
  with Checkpoints(folder) as checkpoints:
    step = checkpoints.find()
    return None if step is None else checkpoints.restore(step, like(layout))


def kept(folder):
  return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


def flip(path):
  """One bit in the middle of a file."""
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def largest(folder):
  return max((p for p in folder.rglob('*') if p.is_file()
              and p.name != checksums.SEAL), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize('harm', [
  flip, lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.unlink()])
def test_damage_is_reported_and_the_one_before_is_read(tmp_path, harm, caplog):
  write(tmp_path, 4, 8)
  path = largest(tmp_path / '8')
  harm(path)
  with caplog.at_level(logging.WARNING, 'absl'):
    found = restored(tmp_path)
  assert int(found['step']) == 4
  np.testing.assert_array_equal(found['w_up_DF'], state(4)['w_up_DF'])
  assert path.name in caplog.text
  write(tmp_path, 8)  # the damaged one is out of the way
  assert int(restored(tmp_path)['step']) == 8


def test_a_damaged_seal_is_damage(tmp_path):
  write(tmp_path, 4, 8)
  flip(tmp_path / '8' / checksums.SEAL)
  assert int(restored(tmp_path)['step']) == 4


def test_when_all_are_damaged_nothing_is_removed(tmp_path):
  write(tmp_path, 4, 8)
  for step in (4, 8):
    flip(largest(tmp_path / str(step)))
  with pytest.raises(CheckpointError, match='every checkpoint is damaged'):
    restored(tmp_path)
  assert kept(tmp_path) == [4, 8]


def test_what_was_never_sealed_was_never_saved(tmp_path):
  write(tmp_path, 4)
  (tmp_path / '4' / checksums.SEAL).unlink()
  assert restored(tmp_path) is None
  write(tmp_path, 4)
  assert int(restored(tmp_path)['step']) == 4


def test_a_step_is_reported_once_it_can_be_read(tmp_path):
  seen = []

  def on_saved(step):
    assert not checksums.damage(tmp_path / str(step))
    seen.append(step)

  write(tmp_path, 1, 2, 3, on_saved=on_saved)
  assert seen == [1, 2, 3]


@pytest.mark.parametrize(('policy', 'left'), [
  ({'keep': 1}, [6]), ({'keep': 2}, [5, 6]),
  ({'keep': 1, 'keep_every': 2}, [2, 4, 6]),
  ({'keep': 2, 'keep_every': 3}, [3, 5, 6])])
def test_keeps_the_newest_and_every_so_many(tmp_path, policy, left):
  write(tmp_path, *range(1, 7), **policy)
  assert kept(tmp_path) == left


LAYOUTS = [
  MeshConfig(replica=1, fsdp=4), MeshConfig(replica=1, data=2, fsdp=2),
  MeshConfig(replica=1, data=4), MeshConfig(replica=1, fsdp=2, tensor=2),
  MeshConfig(replica=1, tensor=2), ONE]


@pytest.mark.parametrize('after', LAYOUTS)
def test_restores_onto_any_mesh(tmp_path, after):
  for before in LAYOUTS[:3]:
    folder = tmp_path / f'{before.data}-{before.fsdp}'
    with Checkpoints(folder) as checkpoints:
      checkpoints.save(state(7, before))
    found = restored(folder, after)
    assert found['w_up_DF'].sharding == like(after)['w_up_DF'].sharding
    np.testing.assert_array_equal(found['w_up_DF'], state(7)['w_up_DF'])


def test_another_shape_is_a_clear_message(tmp_path):
  write(tmp_path, 4)
  other = like() | {'w_up_DF': jax.ShapeDtypeStruct(
    (1, 8, 9), jnp.float32, sharding=like()['w_up_DF'].sharding)}
  says = r'w_up_DF is \(1, 8, 8\) there and \(1, 8, 9\) here'
  with (Checkpoints(tmp_path) as checkpoints,
        pytest.raises(CheckpointError, match=says)):
    checkpoints.restore(4, other)


FULL_DISK = '''
import resource, sys
sys.path.insert(0, 'tests/train')
from pathlib import Path
import test_checkpoint as this
folder = Path(sys.argv[1])
this.write(folder, 4)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
try:
  this.write(folder, 8)
except this.CheckpointError as error:
  print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print('restored', this.restored(folder)['step'])
'''


@pytest.mark.slow
def test_a_save_that_fails_leaves_the_older_ones(tmp_path):
  # In a process of its own: Orbax leaves failed coroutines behind.
  done = subprocess.run(
    [sys.executable, '-c', FULL_DISK, str(tmp_path)], cwd=ROOT,
    capture_output=True, text=True, timeout=900)
  assert 'the checkpoints of steps [4] are intact' in done.stdout, done.stderr
  assert 'are free there' in done.stdout
  assert 'restored 4' in done.stdout
