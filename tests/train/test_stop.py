import os
import signal

import numpy as np
import pytest
from test_loop import assert_same, configs

import train
from experiments.runs.preemption import Preemption
from train import loop
from train.goodput import Goodput
from train.stop import Diverged, Divergence, Preempted


def column(*values):
  return np.array(values, np.float32)[:, None]


def test_divergence_tells_the_step_and_what_was_last():
  divergence = Divergence()
  divergence.check(0, column(5, 4), column(1, 1), lambda: None)
  with pytest.raises(Diverged) as stopped:
    divergence.check(2, column(3, 2, 9), column(1, np.inf, np.nan), lambda: 2)
  error = stopped.value
  assert (error.step, error.loss, error.checkpoint) == (3, 3.0, 2)
  assert error.grad_norm == np.inf
  assert 'step 3' in str(error)
  assert '3.0000 nats' in str(error)


def test_the_last_finite_loss_may_lie_in_the_chunk_before():
  divergence = Divergence()
  divergence.check(0, column(5, 4), column(1, 1), lambda: None)
  with pytest.raises(Diverged) as stopped:
    divergence.check(2, column(np.nan), column(1), lambda: None)
  assert (stopped.value.step, stopped.value.loss) == (2, 4.0)


def alone(**hooks):
  hooks.setdefault('preempted', lambda: False)
  return loop.Alone(goodput=Goodput(), **hooks)


def test_a_run_alone_stops_where_it_diverges(tmp_path):
  members = configs(rates=(1e38,), checkpoint_every=1)
  saved = []
  with pytest.raises(Diverged) as stopped:
    train.fit(members, tmp_path, alone=alone(on_saved=saved.append))
  assert 0 < stopped.value.step < 12
  # Nothing is saved that holds steps past the divergence.
  assert stopped.value.checkpoint == max(saved) <= stopped.value.step


def test_told_to_stop_it_saves_the_step_it_is_at(tmp_path):
  members = configs(checkpoint_every=10)
  asked = iter([False, True])
  saved = []
  with pytest.raises(Preempted) as stopped:
    train.fit(members, tmp_path, alone=alone(
      preempted=lambda: next(asked), on_saved=saved.append))
  assert saved == [stopped.value.step]
  whole = train.fit(configs(), tmp_path / 'whole')
  rest = train.fit(members, tmp_path, alone=alone())
  assert_same(whole.params, rest.params)


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
