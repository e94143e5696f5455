"""Several processes of one run: they train as one, and they end as one."""

import os
import shutil
import signal

import numpy as np
import psutil
import pytest
from training_process import Train, folder, lines

from experiments.launch import processes

# Sums over devices add up in another order.
ROUNDING = 1e-4
# Many steps, so that no run is over before it is told to end, which learn from
# the first on; and no evaluation, which each layout would have to compile.
LONG = ['--config.train.steps=100000', '--config.train.warmup_fraction=0',
        '--config.train.evaluate_every=0']
# What ends the others once one is gone, unless the parent sees it go: long
# enough for processes that wait for a core.
PATIENT = '--timeout=300'
TOGETHER = ['--local-processes=2', '--cpu-devices=2', *LONG]
FSDP = ['--config.mesh.data=1', '--config.mesh.fsdp=-1']


def losses(runs):
  return {line['step']: line['loss'][0] for line in lines(runs)
          if line['split'] == 'train'}


def rank(parent, process):
  """The process id of one child of a --local-processes parent."""
  for child in psutil.Process(parent).children():
    if f'--process={process}' in child.cmdline():
      return child.pid
  raise AssertionError('no such child')


def stopped_after(run, step):
  """Waits for a step to be saved, and tells the run to stop."""
  run.until(f'saved step {step}')
  run.signal(signal.SIGTERM)
  assert run.code() == 75, run.said()


@pytest.mark.slow
def test_killed_on_two_processes_it_goes_on_in_any_other_layout(tmp_path):
  with Train(tmp_path / 'cut', *TOGETHER, *FSDP, PATIENT) as cut:
    cut.until('saved step 10')
    victim = rank(cut.pid, 1)
    os.kill(victim, signal.SIGKILL)
    assert cut.code() == 1, cut.said()
  assert f'process 1 (pid {victim}) was ended by SIGKILL' in cut.said()
  assert 'Traceback' not in cut.said()

  checkpoint = max(cut.saved())
  end = checkpoint + 30
  with Train(tmp_path / 'whole', '--cpu-devices=1', *LONG) as whole:
    stopped_after(whole, end)
  expected = losses(tmp_path / 'whole')
  assert expected[end] < expected[5]

  for layout in (['--cpu-devices=4'], ['--local-processes=4', PATIENT]):
    runs = tmp_path / layout[0].strip('-')
    shutil.copytree(tmp_path / 'cut', runs)
    with Train(runs, *layout, *LONG) as rest:
      stopped_after(rest, end)
    assert min(rest.saved()) > checkpoint, 'it began again'
    tail = losses(runs)
    for step in range(5, end + 1, 5):
      np.testing.assert_allclose(tail[step], expected[step], rtol=ROUNDING)


@pytest.mark.slow
def test_sigterm_on_one_process_stops_all_at_the_same_step(tmp_path):
  with Train(tmp_path / 'runs', *TOGETHER, *FSDP, PATIENT) as run:
    run.until('saved step 10')
    os.kill(rank(run.pid, 1), signal.SIGTERM)
    assert run.code() == 75, run.said()
  logs = [(folder(tmp_path / 'runs') / 'logs' / f'process-{i}.log').read_text()
          for i in range(2)]
  stops = [log.split('stopped at step ')[1].split()[0] for log in logs]
  assert stops[0] == stops[1]
  assert f'saved step {stops[0]}' in run.said()
  assert lines(tmp_path / 'runs')[-1]['step'] == int(stops[0])


@pytest.mark.slow
def test_a_process_that_never_comes_is_named(tmp_path):
  port = processes.free_port()
  with Train(tmp_path / 'runs', f'--coordinator=127.0.0.1:{port}',
             '--processes=3', '--process=0', '--timeout=5') as run:
    assert run.code() == 1, run.said()
  assert 'process 1 never came; process 2 never came' in run.said()


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_others_and_is_named(tmp_path):
  with Train(tmp_path / 'runs', *TOGETHER, *FSDP, '--timeout=30') as run:
    run.until('saved step 10')
    victim = rank(run.pid, 1)
    os.kill(victim, signal.SIGSTOP)
    assert run.code() == 1, run.said()
  assert f'pid {victim}) was last heard of' in run.said()
  assert not psutil.pid_exists(victim)
