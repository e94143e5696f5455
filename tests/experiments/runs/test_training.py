import random
import resource
import signal
import subprocess
import sys
import time

import pytest
from training_process import ROOT, Train, goodput, lines

from experiments.commands import main
from experiments.machine import process
from experiments.sweeps import configs
from experiments.sweeps.configs import CONFIGS


@pytest.mark.parametrize(('arguments', 'says'), [
  ([], 'name one config: lm-small'),
  (['lm-smal'], 'did you mean lm-small'),
  (['lm-small', '--config.train.step=3'], 'did you mean --config.train.steps'),
  (['lm-small', '--config.model.n_heads=7'], 'model.mixer.n_heads: 7'),
  (['lm-small', '--config.train.keep_checkpoints=0'],
   'train.keep_checkpoints: 0'),
  (['lm-small', '--config.mesh.replica=2'], 'one run is one replica'),
  (['lm-small', '--profile=15:10'], '--profile=15:10'),
  (['lm-small', '--processes=2', '--process=0'], '--coordinator: missing'),
  (['lm-small', '--coordinator=here:1', '--processes=2', '--process=2'],
   '--process=2: must lie in 0 to 1'),
])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['train', *arguments])
  message = capsys.readouterr().err
  assert stopped.value.code == 2
  assert says in message
  assert 'Traceback' not in message


def test_the_allocator_keeps_what_a_person_has_set():
  added = process.huge_pages('')
  assert process.huge_pages('glibc.rtld.nns=4') == f'glibc.rtld.nns=4:{added}'
  for tunables in (added, 'glibc.malloc.hugetlb=0', f'{added}:a=1'):
    # A command that starts itself again has to find what it asked for.
    assert process.huge_pages(tunables) == tunables


def test_a_single_run_is_split_over_all_devices_and_has_checkpoints():
  config = configs.resolve(CONFIGS['lm-small'], {'mesh.replica': '-1',
                                                  'mesh.data': '1'})
  assert (config.mesh.replica, config.mesh.data) == (1, -1)
  assert 0 < config.train.checkpoint_every <= config.train.steps


@pytest.mark.slow
def test_told_to_stop_it_saves_and_ends_as_if_never_interrupted(tmp_path):
  # Long enough that the signal comes before the end.
  config = ['--config.train.steps=400', '--config.train.checkpoint_every=40',
            '--config.train.evaluate_every=100']
  with Train(tmp_path / 'whole', config=config, bare=True) as whole:
    assert whole.code() == 0, whole.said()
  assert 'bits/byte' in whole.said()

  with Train(tmp_path / 'cut', config=config) as cut:
    cut.until('saved step 40')
    cut.signal(signal.SIGTERM)
    assert cut.code() == 75, cut.said()
  stopped = lines(tmp_path / 'cut')[-1]['step']
  assert f'saved step {stopped}' in cut.said()
  assert 40 <= stopped < 400

  with Train(tmp_path / 'cut', config=config) as rest:
    assert rest.code() == 0, rest.said()
  expected = lines(tmp_path / 'whole')
  assert lines(tmp_path / 'cut') == expected
  assert goodput(tmp_path / 'cut')['starts'] == 2
  assert goodput(tmp_path / 'cut')['seconds']['lost'] == 0

  with Train(tmp_path / 'cut', config=config) as again:
    assert again.code() == 0
  assert 'Done already' in again.said()


@pytest.mark.slow
def test_killed_at_any_moment_nothing_reported_as_saved_is_lost(tmp_path):
  rng = random.Random(0)
  slower = ['--config.train.steps=300', '--config.train.checkpoint_every=5']
  reported, lost = 0, 0.0
  for _ in range(3):
    with Train(tmp_path / 'runs', config=slower) as run:
      run.until('saved step')
      first = (run.saved() or [reported])[0]
      time.sleep(rng.uniform(0, 1))
      run.signal(signal.SIGKILL)
      run.code()
    # It began where the last report left off, or after it.
    assert first > reported or run.saved() == [], run.said()
    reported = max([reported, *run.saved()])
    lost = goodput(tmp_path / 'runs')['seconds']['lost']
  with Train(tmp_path / 'runs', config=slower) as last:
    assert last.code() == 0, last.said()
  assert all(step > reported for step in last.saved())
  steps = [line['step'] for line in lines(tmp_path / 'runs')
           if line['split'] == 'train']
  assert steps == list(range(5, 301, 5))
  assert goodput(tmp_path / 'runs')['seconds']['lost'] >= lost


@pytest.mark.slow
def test_divergence_is_exit_code_4_with_what_to_know(tmp_path):
  with Train(tmp_path / 'runs', config=[
      '--config.train.learning_rate=1e37']) as run:
    assert run.code() == 4, run.said()
  assert 'diverged at step' in run.said()
  assert 'gradient norm' in run.said()
  assert 'Traceback' not in run.said()
  with Train(tmp_path / 'runs', config=[
      '--config.train.learning_rate=1e37']) as again:
    assert again.code() == 4, again.said()
  assert 'Done already' in again.said()
  assert 'gradient norm' in again.said()


@pytest.mark.slow
def test_an_absent_platform_is_exit_code_3(tmp_path):
  with Train(tmp_path / 'runs', config=['--config.mesh.platform=gpu']) as run:
    assert run.code() == 3, run.said()
  assert '--config.mesh.platform=gpu' in run.said()


def test_what_fails_in_an_event_loop_goes_to_the_log_even_after_the_run(
    tmp_path):
  program = """
import asyncio, gc, sys
from pathlib import Path
from experiments.runs import logs

async def forgets(reason):
  future = asyncio.get_running_loop().create_future()
  future.set_exception(OSError(reason))

with logs.to_file(Path(sys.argv[1]), 0):
  asyncio.run(forgets('during')); gc.collect()
asyncio.run(forgets('after')); gc.collect()
"""
  ended = subprocess.run([sys.executable, '-c', program, str(tmp_path)],
                         cwd=ROOT, capture_output=True, text=True, check=True)
  assert ended.stderr == ''
  assert 'during' in (tmp_path / 'process-0.log').read_text()


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_one_message(tmp_path):
  with Train(tmp_path / 'runs', '--config.train.steps=2000') as run:
    run.until('saved step 10')
    hard = resource.prlimit(run.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (64, hard))
    assert run.code() == 1, run.said()
  assert 'Traceback' not in run.said()
  assert 'run the same command again' in run.said()
  kept = max(run.saved())
  with Train(tmp_path / 'runs', '--config.train.steps=2000',
             '--config.train.checkpoint_every=10') as rest:
    rest.until(f'saved step {kept + 10}')
    assert min(rest.saved()) > kept, rest.said()
