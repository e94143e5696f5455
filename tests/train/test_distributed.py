import json

import numpy as np
import pytest

from experiments.runs.peers import Peers
from model.config import ConfigError
from train import distributed, placement
from train.config import MeshConfig

SLURM = {'SLURM_STEP_NUM_TASKS': '4', 'SLURM_PROCID': '3'}


def detect(coordinator='', processes=None, process=None, automatic=False,
           environment=None):
  return distributed.detect(coordinator, processes, process, 9, automatic,
                            environment or {})


def test_one_process_needs_no_cluster():
  assert detect() is None
  assert detect(environment={'SLURM_STEP_NUM_TASKS': '1'}) is None
  assert detect(environment={'TPU_WORKER_HOSTNAMES': 'localhost'}) is None


def test_flags_come_before_what_slurm_says():
  cluster = detect('a:1', 2, 0, environment=SLURM)
  assert cluster == distributed.Cluster('a:1', 2, 0, 9)
  assert cluster.known


def test_slurm_fills_in_who_this_is():
  assert detect('a:1', environment=SLURM) == distributed.Cluster('a:1', 4, 3, 9)
  assert detect(environment=SLURM) == distributed.Cluster('', 4, 3, 9)


@pytest.mark.parametrize('how', [
  {'automatic': True}, {'environment': {'TPU_WORKER_HOSTNAMES': 'a,b'}}])
def test_a_pod_is_left_to_jax(how):
  cluster = detect(**how)
  assert cluster == distributed.Cluster('', 0, -1, 9)
  assert not cluster.known


@pytest.mark.parametrize(('flags', 'says'), [
  (('', 2, 0), '--coordinator: missing'),
  (('a', 2, 0), '--coordinator=a: write HOST:PORT'),
  (('a:1', 2, None), '--processes and --process: both'),
  (('a:1', 2, 2), '--process=2: must lie in 0 to 1')])
def test_flags_that_do_not_belong_together(flags, says):
  with pytest.raises(ConfigError, match=says):
    detect(*flags)


def test_what_is_placed_is_fetched():
  tree = {'w_up_DF': np.arange(64.0, dtype=np.float32).reshape(1, 8, 8)}
  layout = placement.make_mesh(MeshConfig(replica=1, fsdp=4, tensor=2))
  placed = distributed.place(tree, placement.shardings(tree, layout))
  assert len(placed['w_up_DF'].sharding.device_set) == 8
  fetched = distributed.fetch(placed)
  assert isinstance(fetched['w_up_DF'], np.ndarray)
  np.testing.assert_array_equal(fetched['w_up_DF'], tree['w_up_DF'])
  whole = distributed.place(tree, placement.replicated(layout))
  assert whole['w_up_DF'].is_fully_replicated


def test_a_last_word_that_was_not_yet_heard_is_no_sign_of_life(tmp_path):
  here = Peers(tmp_path, 0, 2, timeout=600)
  (tmp_path / 'process-1.json').write_text(json.dumps({
    'count': 9, 'host': 'n2', 'pid': 7, 'step': 3, 'state': 'training',
    'reason': ''}))
  assert here.absent(patience=0.1).startswith(
    'process 1 (n2, pid 7) was last heard of at step 3')


def test_peers_name_who_is_silent_and_who_failed(tmp_path):
  (tmp_path / 'process-3.json').write_text('{"count": 9}')  # an earlier run's
  here = Peers(tmp_path, 0, 4, timeout=600)
  there = Peers(tmp_path, 1, 4, timeout=600)
  broken = Peers(tmp_path, 2, 4, timeout=600)
  for peer in (here, there, broken):
    peer.start()
  broken.end('failed', 'No space left on device')
  try:
    assert here.absent() == 'process 3 never came'
    assert there.absent() == 'process 3 never came'
    late = Peers(tmp_path, 3, 4, timeout=600)
    late.start()
    assert 'failed: No space left on device' in here.absent()
    late.end('done')
    assert 'process 3' not in here.absent()
  finally:
    for peer in (here, there):
      peer.end('done')
  assert there.absent() == here.absent()
