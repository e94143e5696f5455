import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_loop import assert_same, configs

import train
from experiments.runs.preemption import Preemption
from train.replica import ALIVE
from train.stop import Diverged, Divergence, Preempted

ROOT = Path(__file__).parents[2]


def column(*values):
  return np.array(values, np.float32)[:, None]


ONE = np.array([ALIVE])


def test_divergence_tells_the_step_and_what_was_last():
  divergence = Divergence(ONE)
  divergence.check(0, column(5, 4), column(1, 1), lambda: None)
  with pytest.raises(Diverged) as stopped:
    divergence.check(2, column(3, 2, 9), column(1, np.inf, np.nan), lambda: 2)
  error = stopped.value
  assert (error.step, error.loss, error.checkpoint) == (3, 3.0, 2)
  assert error.grad_norm == np.inf
  assert 'step 3' in str(error)
  assert '3.0000 nats' in str(error)


def test_the_last_finite_loss_may_lie_in_the_chunk_before():
  divergence = Divergence(ONE)
  divergence.check(0, column(5, 4), column(1, 1), lambda: None)
  with pytest.raises(Diverged) as stopped:
    divergence.check(2, column(np.nan), column(1), lambda: None)
  assert (stopped.value.step, stopped.value.loss) == (2, 4.0)


def test_what_a_dead_replica_says_later_does_not_count():
  divergence = Divergence(np.array([ALIVE, ALIVE, 1]))
  nan = np.nan
  divergence.check(2, np.array([[9, 8, 1], [7, nan, 1]]), np.ones((2, 3)),
                   lambda: None)
  with pytest.raises(Diverged) as stopped:
    divergence.check(4, np.array([[6, 1, 1], [nan, 1, 1]]), np.ones((2, 3)),
                     lambda: 4)
  error = stopped.value
  assert (error.steps, error.step, error.loss) == ((5, 3, 1), 5, 6.0)
  assert 'all 3 replicas diverged, the last of them' in str(error)


def test_a_run_on_its_own_stops_where_it_diverges(tmp_path):
  members = configs(rates=(1e38,), checkpoint_every=1)
  saved = []
  with pytest.raises(Diverged) as stopped:
    train.fit(members, tmp_path, train.Hooks(on_saved=saved.append))
  assert 0 < stopped.value.step < 12
  # Nothing is saved that holds steps past the divergence.
  assert stopped.value.checkpoint == max(saved) <= stopped.value.step


def test_when_all_replicas_diverge_there_is_nothing_left_to_train(tmp_path):
  members = configs(rates=(1e38, 2e38), steps=1000)
  with pytest.raises(Diverged) as stopped:
    train.fit(members, tmp_path)
  assert len(stopped.value.steps) == 2
  assert all(0 < step < 10 for step in stopped.value.steps)
  assert (tmp_path / 'metrics.jsonl').read_text().count('\n') == 1


@pytest.mark.parametrize('checkpoint_every', [0, 10])
def test_told_to_stop_it_saves_the_step_it_is_at(tmp_path, checkpoint_every):
  members = configs(seeds=(0, 1), checkpoint_every=checkpoint_every)
  asked = iter([False, True])
  saved = []
  with pytest.raises(Preempted) as stopped:
    train.fit(members, tmp_path, train.Hooks(
      preempted=lambda: next(asked), on_saved=saved.append))
  assert saved == [stopped.value.step]
  whole = train.fit(configs(seeds=(0, 1)), tmp_path / 'whole')
  first = []
  rest = train.fit(members, tmp_path, train.Hooks(
    progress=lambda step, _: first.append(step)))
  assert first[0] > stopped.value.step  # it went on, and did not begin again
  assert_same((whole.params, whole.initial), (rest.params, rest.initial))


IMPORTS = '''
import sys
sys.path.insert(0, 'tests/train')
from pathlib import Path
import test_loop, train
train.fit(test_loop.configs(), Path(sys.argv[1]))
print('orbax' in sys.modules)
'''


@pytest.mark.slow
def test_orbax_is_imported_for_checkpoints_alone(tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', IMPORTS, str(tmp_path)], cwd=ROOT,
    capture_output=True, text=True, timeout=600)
  assert done.stdout == 'False\n', done.stderr


def test_signals_are_heard_and_given_back():
  before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
  preemption = Preemption()
  with preemption.listening():
    assert not preemption.told()
    os.kill(os.getpid(), signal.SIGTERM)
    assert preemption.told()
    # A second signal is not held back.
    assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]
  assert {s: signal.getsignal(s) for s in before} == before
