"""Several processes of one run: they train as one, and they end as one."""

import os
import signal
import time

import numpy as np
import psutil
import pytest
from training_process import Train, lines

# Sums over devices add up in another order.
ROUNDING = 1e-4
TOGETHER = ['--local-processes=2', '--cpu-devices=2', '--timeout=60',
            '--config.train.steps=40']


def losses(runs):
  return {line['step']: line['loss'][0] for line in lines(runs)
          if line['split'] == 'train'}


def rank(parent, process):
  """The process id of one child of a --local-processes parent."""
  for child in psutil.Process(parent).children():
    if f'--process={process}' in child.cmdline():
      return child.pid
  raise AssertionError('no such child')


@pytest.mark.slow
def test_killed_on_two_processes_it_goes_on_in_any_other_layout(tmp_path):
  with Train(tmp_path / 'whole', '--cpu-devices=1',
             '--config.train.steps=40') as whole:
    assert whole.code() == 0, whole.said()
  expected = losses(tmp_path / 'whole')

  with Train(tmp_path / 'cut', *TOGETHER, '--config.mesh.data=1',
             '--config.mesh.fsdp=-1') as cut:
    cut.until('saved step 10')
    victim = rank(cut.pid, 1)
    os.kill(victim, signal.SIGKILL)
    assert cut.code() == 1, cut.said()
  assert f'process 1 (pid {victim}) was ended by SIGKILL' in cut.said()
  assert 'Traceback' not in cut.said()

  for layout in (['--cpu-devices=4'],
                 ['--local-processes=4', '--timeout=60']):
    runs = tmp_path / layout[0].strip('-')
    (tmp_path / 'cut').rename(runs)
    with Train(runs, *layout, '--config.train.steps=40') as rest:
      assert rest.code() == 0, rest.said()
    assert min(rest.saved(), default=99) > 10, 'it began again'
    found = losses(runs)
    assert found.keys() == expected.keys()
    for step, loss in expected.items():
      np.testing.assert_allclose(found[step], loss, rtol=ROUNDING)
    for name in ('checkpoints/40', 'result.json'):  # once more from there
      _remove(runs / 'train' / 'run' / name)
    runs.rename(tmp_path / 'cut')


def _remove(path):
  if path.is_dir():
    for inner in sorted(path.rglob('*'), reverse=True):
      inner.rmdir() if inner.is_dir() else inner.unlink()
    path.rmdir()
  else:
    path.unlink()


@pytest.mark.slow
def test_sigterm_on_one_process_stops_all_at_the_same_step(tmp_path):
  with Train(tmp_path / 'runs', *TOGETHER,
             '--config.train.steps=2000') as run:
    run.until('saved step 10')
    os.kill(rank(run.pid, 1), signal.SIGTERM)
    assert run.code() == 75, run.said()
  logs = [(tmp_path / 'runs' / 'train' / 'run' / 'logs' / f'process-{i}.log')
          .read_text() for i in range(2)]
  stops = [log.split('Told to stop: saved step ')[1].split(';')[0]
           for log in logs]
  assert stops[0] == stops[1]
  assert f'saved step {stops[0]}' in run.said()
  assert lines(tmp_path / 'runs')[-1]['step'] == int(stops[0])


@pytest.mark.slow
def test_a_process_that_never_comes_is_named(tmp_path):
  with Train(tmp_path / 'runs', '--coordinator=127.0.0.1:29871',
             '--processes=3', '--process=0', '--timeout=5') as run:
    assert run.code() == 1, run.said()
  assert 'process 1 never came; process 2 never came' in run.said()


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others_and_is_named(tmp_path):
  with Train(tmp_path / 'runs', *TOGETHER[:2], '--timeout=30',
             '--config.train.steps=100000') as run:
    run.until('saved step 10')
    stopped = rank(run.pid, 1)
    os.kill(stopped, signal.SIGSTOP)
    started = time.monotonic()
    assert run.code() == 1, run.said()
    assert time.monotonic() - started < 120  # bounded, not measured
  assert f'pid {stopped}) was last heard of' in run.said()
  assert not psutil.pid_exists(stopped)
