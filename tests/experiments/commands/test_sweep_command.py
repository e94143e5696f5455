"""Sweeps from flags: what is planned, and that any stop ends the same."""

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from experiments.commands import listing, main, sweep
from experiments.machine import process, usage
from experiments.machine.usage import UsageError
from experiments.runs import remaining
from experiments.sweeps.configs import CONFIGS

ROOT = Path(__file__).parents[3]
SECONDS = 900  # a hang, on a machine however slow
# Two shapes: enough for two workers, seconds to train.
SMALL = ['sweep', 'lm-small', '--config.model.n_layers=1,2', '--seeds=2',
         '--config.model.d_model=16', '--config.model.n_heads=2',
         '--config.data.length=16', '--config.data.batch_size=4',
         '--config.train.steps=40', '--config.train.chunk_steps=10',
         '--config.train.evaluation_batches=2']


def planned(*arguments, runs='runs'):
  options = main.parse(['sweep', 'lm-small', f'--runs={runs}', *arguments])
  return options.plan(options)


def swept(plan, *paths):
  return [tuple(getattr(getattr(c.config, p.split('.')[0]), p.split('.')[1])
                for p in paths) for c in plan.cells]


def test_every_combination_is_run_with_every_seed():
  plan = planned('--config.model.n_layers=1,2', '--config.model.norm=layer,rms',
                 '--config.train.steps=7', '--seeds=2')
  assert swept(plan, 'model.n_layers', 'model.norm', 'train.seed') == [
    (n, norm, seed) for n in (1, 2) for norm in ('layer', 'rms')
    for seed in (0, 1)]
  assert {c.config.train.steps for c in plan.cells} == {7}
  # A seed trains side by side with the others of its shape.
  assert sorted(len(group.ids) for group in plan.groups()) == [2] * 4
  assert all(c.config.train.checkpoint_every for c in plan.cells)


def test_commas_belong_to_a_field_that_is_a_list():
  base = CONFIGS['lm-small']
  texts = {'model.mask': 'bidirectional', 'data.source': 'pointer_chasing'}
  found = sweep.values(base, {**texts, 'data.hops': '1,2'})
  assert found['data.source.hops'] == ((1, 2),)
  found = sweep.values(base, {'data.hops': '1,2/1,2,3', **texts})
  assert found['data.source.hops'] == ((1, 2), (1, 2, 3))
  assert found['data.source'] == ('pointer_chasing',)


def test_a_field_of_another_source_is_named_with_it():
  with pytest.raises(UsageError, match=(
      r'no such field of data\.source=text; pointer_chasing, hop_string have '
      r'it: --config\.data\.source=pointer_chasing')):
    planned('--config.data.hops=3')


def test_a_plan_shows_what_is_swept(capsys, tmp_path):
  listing.print_plan(planned(
    '--config.model.n_layers=1,2', '--config.model.position=rotary,none',
    '--config.train.learning_rate=0.1,0.2', '--seeds=1', runs=tmp_path))
  header, *rows = capsys.readouterr().out.splitlines()[:9]
  assert header.split()[3:7] == ['n', 'd', 'position', 'learning_rate']
  assert len({tuple(row.split()[3:7]) for row in rows}) == 8


def test_a_single_run_of_a_sweep_is_that_of_train(tmp_path):
  from experiments.commands import train
  from experiments.sweeps import configs
  from experiments.sweeps.task import Train
  plan = planned('--config.model.n_layers=1,2', '--seeds=1')
  alone = train.single('lm-small', Train(configs.resolve(
    CONFIGS['lm-small'], {'model.n_layers': '2'})), tmp_path)
  assert alone.run_ids() == plan.run_ids()[1:]


def test_a_wider_list_goes_on_in_the_same_folder():
  narrow = planned('--config.model.n_layers=1,2', '--config.model.norm=rms')
  wide = planned('--config.model.norm=rms', '--config.model.n_layers=1,2,3',
                 '--seeds=5', '--config.mesh.pack=1')
  assert wide.folder == narrow.folder
  assert set(narrow.run_ids()) < set(wide.run_ids())
  others = [
    planned('--config.model.n_layers=1,2'),
    planned('--config.model.n_layers=1,2', '--config.model.norm=layer'),
    planned('--config.model.n_layers=1', '--config.model.norm=rms'),
    planned('--config.model.n_layers=1', '--config.model.norm=layer,rms')]
  assert len({p.folder for p in (narrow, *others)}) == 5


@pytest.mark.parametrize(('arguments', 'says'), [
  ([], 'name one config'),
  (['lm-smal'], 'did you mean lm-small'),
  (['lm-small', '--seeds=0'], 'whole number from 1 on'),
  (['lm-small', '--config.model.n_layer=1,2'],
   'did you mean --config.model.n_layers'),
  (['lm-small', '--config.model.n_layers=1,two'], 'n_layers=two: not a whole'),
  (['lm-small', '--config.model.n_layers=1,'], 'n_layers=: not a whole'),
  (['lm-small', '--config.model.norm=layer,rsm'], 'did you mean rms'),
  (['lm-small', '--config.model.n_heads=4,7'], 'model.mixer.n_heads: 7'),
  (['lm-small', '--config.train.seed=1,2'], '--seeds=N'),
  (['lm-small', '--config.mesh.pack=1,2'], 'nothing to compare'),
])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['sweep', *arguments])
  assert stopped.value.code == usage.USAGE
  message = capsys.readouterr().err
  assert says in message
  assert message.count('\n') == 1


def test_two_lists_for_a_field_of_another_kind_are_refused():
  with pytest.raises(UsageError, match='no such field'):
    sweep.values(CONFIGS['lm-small'], {'data.hops': '1/2'})


@pytest.mark.parametrize('flag', ['--plan', '--dry-run'])
def test_its_plan_starts_nothing(flag, tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main([*SMALL, flag, f'--runs={tmp_path}'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  assert '0 of 4 runs done' in printed
  assert 'in 2 groups' in printed
  assert not list(tmp_path.iterdir())


def test_a_worker_reads_the_same_plan(tmp_path):
  options = main.parse(['work', *SMALL, f'--runs={tmp_path}', '--core=0',
                        f'--progress={tmp_path / "p.json"}', '--parent=1'])
  mine = options.plan(options)
  theirs = main.parse([*SMALL, f'--runs={tmp_path}'])
  assert mine.cells == theirs.plan(theirs).cells
  assert mine.folder == theirs.plan(theirs).folder
  assert len(remaining.work(mine)) == 2


def fathom(*arguments, environment):
  return subprocess.Popen(
    process.command(*arguments), cwd=ROOT, env=environment,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    start_new_session=True)


def begun(folder):
  """Whether a sweep has begun its first runs."""
  return any(folder.glob('together/*/members.json'))


def finished(folder):
  """How many runs are finished."""
  return len(list(folder.glob('trained/*/result.json')))


def table(folder):
  path, = folder.glob('sweep-*/lm-small/results.parquet')
  return pl.read_parquet(path)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_table(tmp_path):
  environment = {**os.environ, 'XLA_FLAGS': ''}
  environment.pop('NPROC')
  whole = fathom(*SMALL, f'--runs={tmp_path / "whole"}',
                 environment=environment)
  printed, _ = whole.communicate(timeout=SECONDS)
  assert 'No verdict.' in printed, printed
  assert whole.returncode == 0

  rng = random.Random(0)
  for more in (0, 1):
    goal = finished(tmp_path / 'cut') + more
    cut = fathom(*SMALL, f'--runs={tmp_path / "cut"}', environment=environment)
    while cut.poll() is None and not (
        begun(tmp_path / 'cut') and finished(tmp_path / 'cut') >= goal):
      time.sleep(0.01)
    time.sleep(rng.uniform(0, 1))
    with contextlib.suppress(ProcessLookupError):
      os.killpg(cut.pid, signal.SIGKILL)
    cut.communicate()
  last = fathom(*SMALL, f'--runs={tmp_path / "cut"}', environment=environment)
  printed, _ = last.communicate(timeout=SECONDS)
  assert last.returncode == 0, printed
  assert table(tmp_path / 'cut').equals(table(tmp_path / 'whole')), printed
  assert set(table(tmp_path / 'cut')['status']) == {'done'}

  # What is done is kept when the sweep grows.
  more = fathom(*SMALL, '--seeds=3', f'--runs={tmp_path / "cut"}',
                environment=environment)
  printed, _ = more.communicate(timeout=SECONDS)
  assert more.returncode == 0, printed
  assert '4 of 6 runs done' in printed
  old = table(tmp_path / 'whole')
  assert table(tmp_path / 'cut').filter(pl.col('seed') < 2).equals(old)


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
def test_told_to_stop_it_saves_and_ends_with_75(workers, tmp_path):
  environment = {**os.environ, 'XLA_FLAGS': ''}
  environment.pop('NPROC')
  running = fathom(*SMALL, '--config.train.steps=1000000',
                   f'--workers={workers}', f'--runs={tmp_path}',
                   environment=environment)
  deadline = time.monotonic() + SECONDS
  while not list(tmp_path.glob('together/*/metrics.jsonl')):
    assert running.poll() is None
    assert time.monotonic() < deadline
    time.sleep(0.1)
  running.send_signal(signal.SIGTERM)
  printed, _ = running.communicate(timeout=SECONDS)
  assert running.returncode == usage.PREEMPTED, printed
  assert printed.count('Told to stop') == 1
  assert 'goes on from there' in printed
