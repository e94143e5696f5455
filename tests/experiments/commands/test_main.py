"""The command line: what is refused, what is explained, what it imports."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.commands import main
from experiments.commands.init import TEMPLATE
from experiments.machine import process, usage

ROOT = Path(__file__).parents[3]
SECONDS = 900  # a hang, on a machine however slow


def fails(arguments, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(arguments)
  return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'says'), [
  (['rnu', 'depth'], 'did you mean run'),
  (['--preset=cpu'], '--preset'),
  (['plan', 'dept'], 'did you mean depth'),
  (['plan', 'depth', 'text'], "'text' is one name too many for fathom plan"),
  (['plan', 'depth', '--preset=cpuu'], 'did you mean cpu'),
  (['plan', 'depth', '--strata=txt'], 'did you mean text'),
  (['plan', 'depth', '--presets=cpu'], 'did you mean --preset'),
  (['plan', 'depth', '--preset'], '--preset'),
  (['run', 'depth', '--worker=2'], 'did you mean --workers'),
  (['run', 'depth', '--workers=-1'], 'whole number from 0 on'),
  (['plan'], 'name one experiment: attention, depth'),
  (['train', 'lm-small', '--start='], '--start= names nothing'),
  (['plan', 'depth', '--config.model.n_layer=3'],
   'did you mean --config.model.n_layers'),
  (['plan', 'depth', '--config.model.norm'], '--config.model.norm has no'),
  (['plan', 'depth', '--strata=text', '--config.model.n_heads=7'],
   'model.mixer.n_heads: 7 does not divide'),
  (['plan', 'depth', '--strata=text', '--config.model.mask=bidirectional'],
   'model.mask'),
  (['plan', 'depth', '--strata=text', '--config.model.unembedding=absent'],
   "model.unembedding: 'absent' scores no tokens"),
  (['plan', 'depth', '--strata=text', '--config.model.n_layers=6'],
   'fathom sweep CONFIG --config.model.n_layers=6'),
  (['plan', 'depth', '--config.data.text_path=/no/such/file'],
   '/no/such/file'),
  (['plan', 'depth', '--strata=hierarchy', '--config.data.levels=0'],
   'data.source.levels'),
  (['plan', 'depth', '--device=h10'], 'did you mean h100'),
  (['doctor', '--config.model.norm=rms'], 'fathom doctor takes no --config'),
  (['doctor', '--platform=gpuu'], 'did you mean gpu'),
  (['init'], 'name a folder'),
])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, capsys):
  code, message = fails(arguments, capsys)
  assert code == usage.USAGE
  assert says in message
  assert message.startswith('fathom: ')
  assert message.count('\n') == 1


@pytest.mark.parametrize('arguments', [
  ['plan', 'depth', '--preset=smoke'], ['plan', '--preset', 'smoke', 'depth'],
  ['--help'], ['list']])
def test_names_and_flags_come_in_any_order(arguments, tmp_path, capsys,
                                           monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(SystemExit) as stopped:
    main.main(arguments)
  assert stopped.value.code == 0
  assert 'depth' in capsys.readouterr().out or arguments[0] == 'plan'


@pytest.mark.parametrize('verb', main.VERBS)
def test_every_verb_explains_itself(verb, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main([verb, '--help'])
  assert stopped.value.code == 0
  said = capsys.readouterr().out
  assert f'usage: fathom {verb}' in said
  # More than its flags: a sentence that starts with what it does.
  assert any(line.endswith('.') and line[0].isupper()
             for line in said.splitlines() if line)


def test_help_lists_each_verb_and_no_worker(capsys):
  code, _ = fails(['--help'], capsys)
  assert code == 0
  main.parser().print_help()
  said = capsys.readouterr().out
  for verb in main.VERBS:
    assert f'\n    {verb} ' in said
  assert f'\n    {main.WORKER}' not in said


def test_no_command_at_all_is_bad_usage_and_explained(capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main([])
  assert stopped.value.code == usage.USAGE
  assert 'usage: fathom' in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [['--help'], ['train', '--help'],
                                       ['plan', 'depth', '--presets=cpu']])
def test_help_and_typos_come_at_once(arguments):
  """They import nothing that takes its time."""
  program = f"""
import sys
from experiments.commands import main
try:
  main.main({arguments!r})
except SystemExit:
  slow = {{'jax', 'numpy', 'polars', 'matplotlib', 'rich', 'scipy'}}
  sys.stderr.write(f'imported {{sorted(slow & set(sys.modules))}}')
"""
  done = subprocess.run([sys.executable, '-P', '-c', program], cwd=ROOT,
                        capture_output=True, text=True, check=True)
  assert done.stderr.endswith('imported []')


def test_plan_names_every_run_and_starts_nothing(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['plan', 'depth', f'--runs={tmp_path}'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  assert 'chain_of_thought' in printed
  assert 'equal cost' in printed
  assert re.search(r'\b0 of \d+ runs done', printed)
  assert not list(tmp_path.iterdir())


def test_power_prints_every_state_of_every_effect(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['power', 'depth', '--strata=text', '--draws=10',
               f'--runs={tmp_path}'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  assert printed.startswith('# Power: depth, preset cpu\n')
  rows = [line.split('|')[1:-1] for line in printed.splitlines()
          if line.startswith('|')]
  effects = [row for row in rows if len(row) == 8][2:]
  assert len(effects) % 5 == 0
  for row in effects:
    assert sum(map(float, row[4:])) == pytest.approx(1, abs=0.02)
  assert '| **claim**' in printed
  assert 'until it solves' not in printed
  assert not list(tmp_path.iterdir())


def test_power_says_that_no_budget_is_planted(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['power', 'depth', '--strata=composition', '--draws=10',
               f'--runs={tmp_path}'])
  assert stopped.value.code == 0
  assert 'as if each run were watched until it solves' in (
    capsys.readouterr().out)


def test_what_cannot_be_shown_is_refused_when_planned(tmp_path, capsys):
  few = TEMPLATE.read_text().replace("'cpu': 8}", "'cpu': 4}")
  (tmp_path / 'few.py').write_text(few)
  code, said = fails(['plan', str(tmp_path / 'few.py')], capsys)
  assert code == usage.USAGE
  assert '4 seeds cannot show it' in said
  assert '5 seeds would do' in said


def test_plan_for_a_device_is_packed_and_in_words(tmp_path, capsys):
  flags = ['plan', 'depth', '--preset=accelerator', '--strata=composition',
           f'--runs={tmp_path}']
  said = {}
  for device in ('h100', 'v5e'):
    with pytest.raises(SystemExit) as stopped:
      main.main([*flags, f'--device={device}'])
    assert stopped.value.code == 0
    said[device] = capsys.readouterr().out.rsplit('should take about ')[1]
  assert 'on one H100' in said['h100']
  assert 'not measured: 10%' in said['h100']
  assert re.match(r'\d+ (minutes|hours) on', said['h100'])
  assert float(said['v5e'].split()[0]) > 0


def test_status_says_what_is_to_do(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['status', 'depth', '--preset=smoke', '--strata=text',
               f'--runs={tmp_path}'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  assert printed.count('to do') == 3  # two depths, one of them matched
  assert '0 of 6 runs done' in printed


def test_config_says_where_values_come_from(tmp_path, capsys):
  with pytest.raises(SystemExit):
    main.main(['config', 'depth', '--strata=text', f'--runs={tmp_path}',
               '--config.model.norm=rms'])
  lines = capsys.readouterr().out.splitlines()
  origin = {line.split()[0]: line for line in lines if '.' in line[:20]}
  assert 'command line' in origin['model.norm']
  assert 'swept' in origin['model.n_layers']
  assert 'preset cpu' in origin['data.batch_size']
  assert 'default' in origin['model.feed_forward.activation']


@pytest.mark.parametrize('verb', ['plan', 'status', 'results', 'report', 'run'])
def test_results_of_an_earlier_layout_are_not_mixed_with_new_ones(
    verb, tmp_path, capsys):
  (tmp_path / 'depth' / 'groups').mkdir(parents=True)
  code, message = fails([verb, 'depth', f'--runs={tmp_path}'], capsys)
  assert code == usage.USAGE
  assert 'earlier layout' in message
  assert '--runs' in message


@pytest.mark.parametrize('intruder', ['data/__init__.py', 'train.py', 'jax.py'])
def test_an_intruder_is_named(intruder, tmp_path):
  path = tmp_path / intruder
  path.parent.mkdir(exist_ok=True)
  path.write_text('raise RuntimeError("not ours")')
  done = subprocess.run(
    [sys.executable, '-m', 'experiments', 'list'], cwd=tmp_path, check=False,
    env={**os.environ, 'PYTHONPATH': f'{tmp_path}:{ROOT}'},
    capture_output=True, text=True)
  assert done.returncode == usage.USAGE
  assert done.stderr.startswith(f'fathom: {path} stands where')
  assert done.stderr.count('\n') == 1


RUN = ('run', 'depth', '--preset=smoke', '--strata=text')
FLAG = '--config.mesh.platform=tpu'


@pytest.mark.slow
@pytest.mark.parametrize(('arguments', 'environment', 'says'), [
  ((*RUN, FLAG), None, FLAG), ((*RUN, FLAG, '--workers=0'), None, FLAG),
  (('train', 'lm-small', FLAG), None, FLAG),
  (RUN, 'tpu', 'JAX_PLATFORMS=tpu'),
  (('train', 'lm-small'), 'tpu', 'JAX_PLATFORMS=tpu'),
  (('bench',), 'tpu', 'JAX_PLATFORMS=tpu')])
def test_asking_for_an_absent_platform_is_exit_code_3(arguments, environment,
                                                      says, tmp_path):
  variables = {k: v for k, v in os.environ.items() if k != 'JAX_PLATFORMS'}
  if environment:
    variables['JAX_PLATFORMS'] = environment
  runs = () if arguments == ('bench',) else (f'--runs={tmp_path}',)
  done = subprocess.run(
    process.command(*arguments, *runs), cwd=ROOT, env=variables, check=False,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    timeout=SECONDS)
  assert done.returncode == usage.DEVICE, done.stdout
  assert says in done.stdout
  assert 'Traceback' not in done.stdout
