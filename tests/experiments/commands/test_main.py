import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from experiments.commands import main

ROOT = Path(__file__).parents[3]
SECONDS = 900  # a hang, on a machine however slow
# Three shapes of one layer: enough for two workers, seconds to train.
SMALL = ['depth', '--preset=smoke', '--strata=text',
         '--config.model.n_layers=1', '--config.train.steps=40']


def fails(arguments, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(arguments)
  return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'says'), [
  (['rnu', 'depth'], 'did you mean run'),
  (['plan', 'dept'], 'did you mean depth'),
  (['plan', 'depth', '--preset=cpuu'], 'did you mean cpu'),
  (['plan', 'depth', '--strata=txt'], 'did you mean text'),
  (['plan', 'depth', '--presets=cpu'], "'presets'"),
  (['plan'], 'name one experiment'),
  (['plan', 'depth', '--config.model.n_layer=3'],
   'did you mean --config.model.n_layers'),
  (['plan', 'depth', '--strata=text', '--config.model.n_heads=7'],
   'model.mixer.n_heads: 7 does not divide'),
  (['plan', 'depth', '--strata=text', '--config.model.mask=bidirectional'],
   'model.mask'),
  (['plan', 'depth', '--config.data.text_path=/no/such/file'],
   '/no/such/file'),
  (['plan', 'depth', '--strata=hierarchy', '--config.data.levels=0'],
   'data.source.levels'),
  (['plan', 'depth', '--strata=text', '--config.data.hops=3'],
   'nothing that text runs has such a field'),
])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, capsys):
  code, message = fails(arguments, capsys)
  assert code == 2
  assert says in message
  assert message.startswith('fathom: ')
  assert 'Traceback' not in message


@pytest.mark.parametrize('command', main.COMMANDS)
def test_every_command_explains_itself(command, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main([command, '--help'])
  assert stopped.value.code == 0
  assert 'fathom' in capsys.readouterr().out


def test_plan_names_every_run_and_starts_nothing(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['plan', 'depth', f'--runs={tmp_path}'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  assert 'chain_of_thought' in printed
  assert 'matched parameters' in printed
  assert not list(tmp_path.iterdir())


def test_config_says_where_values_come_from(capsys):
  with pytest.raises(SystemExit):
    main.main(['config', 'depth', '--strata=text',
                       '--config.model.norm=rms'])
  lines = capsys.readouterr().out.splitlines()
  origin = {line.split()[0]: line for line in lines if '.' in line[:20]}
  assert 'command line' in origin['model.norm']
  assert 'swept' in origin['model.n_layers']
  assert 'preset cpu' in origin['data.batch_size']
  assert 'default' in origin['model.activation']


def fathom(*arguments, environment):
  return subprocess.Popen(
    [sys.executable, '-m', 'experiments', *arguments], cwd=ROOT,
    env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    text=True, start_new_session=True)


def begun(folder):
  """Whether a sweep has begun its first runs."""
  return any(folder.glob('depth/groups/*/members.json'))


def finished(folder):
  """How many of a sweep's runs are finished."""
  return len(list(folder.glob('depth/runs/*/result.json')))


def table(folder):
  path, = folder.glob('depth/smoke-*/results.parquet')
  return pl.read_parquet(path)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_in_the_same_table(
    tmp_path, monkeypatch, capsys):
  environment = {**os.environ, 'XLA_FLAGS': ''}
  environment.pop('NPROC')
  whole = fathom('run', *SMALL, f'--runs={tmp_path / "whole"}',
                 environment=environment)
  printed, _ = whole.communicate(timeout=SECONDS)
  # Pinning n leaves the depths that the claim compares out.
  assert 'INCOMPLETE' in printed, printed
  assert whole.returncode == 1

  rng = random.Random(0)
  for more in (0, 1):
    goal = finished(tmp_path / 'cut') + more
    cut = fathom('run', *SMALL, f'--runs={tmp_path / "cut"}',
                 environment=environment)
    while cut.poll() is None and not (
        begun(tmp_path / 'cut') and finished(tmp_path / 'cut') >= goal):
      time.sleep(0.01)
    time.sleep(rng.uniform(0, 1))
    with contextlib.suppress(ProcessLookupError):
      os.killpg(cut.pid, signal.SIGKILL)
    cut.communicate()
  last = fathom('run', *SMALL, f'--runs={tmp_path / "cut"}',
                environment=environment)
  printed, _ = last.communicate(timeout=SECONDS)
  assert table(tmp_path / 'cut').equals(table(tmp_path / 'whole')), printed
  assert 'missing' not in set(table(tmp_path / 'cut')['status'])

  for name in ('XLA_FLAGS', 'JAX_PLATFORMS'):  # are set for what follows
    monkeypatch.setenv(name, os.environ[name])
  with pytest.raises(SystemExit) as again:
    main.main(['run', *SMALL, f'--runs={tmp_path / "cut"}'])
  assert again.value.code == 1
  printed = capsys.readouterr().out
  count = printed.split(' runs, ')[0].rsplit(' ', 1)[1]
  assert f'{count} runs, {count} done already' in printed


@pytest.mark.slow
def test_asking_for_an_absent_platform_is_exit_code_3(tmp_path):
  environment = {k: v for k, v in os.environ.items() if k != 'JAX_PLATFORMS'}
  asked = fathom('run', *SMALL, '--config.mesh.platform=tpu',
                 f'--runs={tmp_path}', environment=environment)
  printed, _ = asked.communicate(timeout=SECONDS)
  assert asked.returncode == 3, printed
  assert 'mesh.platform=tpu' in printed


@pytest.mark.slow
@pytest.mark.parametrize('arguments', [
  ('run', *SMALL), ('train', 'lm-small'), ('bench',)], ids=lambda a: a[0])
def test_so_is_asking_for_it_in_the_environment(arguments, tmp_path):
  runs = () if arguments == ('bench',) else (f'--runs={tmp_path}',)
  asked = fathom(*arguments, *runs,
                 environment={**os.environ, 'JAX_PLATFORMS': 'tpu'})
  printed, _ = asked.communicate(timeout=SECONDS)
  assert asked.returncode == 3, printed
  assert 'JAX_PLATFORMS=tpu' in printed
  assert 'Traceback' not in printed
