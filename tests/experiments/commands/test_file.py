"""An experiment in anyone's file, from a folder full of traps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import claims
from experiments.commands import init, main
from experiments.machine import process, usage
from experiments.machine.usage import UsageError
from experiments.runs import instrument

SECONDS = 900  # a hang, on a machine however slow
MINIMAL = """
from experiments.sweeps.experiment import Experiment, Part
EXPERIMENT = Experiment({name!r}, 'A title',
                        (Part('one', lambda preset, pins: ()),))
"""
TEMPLATE = init.TEMPLATE.read_text()


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
  """Files of other tests are no neighbours."""
  monkeypatch.setattr(sys, 'path', list(sys.path))


@pytest.fixture
def trapped(tmp_path, monkeypatch):
  """A folder whose names are those of our packages, and of jax."""
  for name in ('data', 'train'):
    (tmp_path / name).mkdir()
    (tmp_path / name / '__init__.py').write_text('raise RuntimeError("theirs")')
  for name in ('model.py', 'jax.py'):
    (tmp_path / name).write_text('raise RuntimeError("theirs")')
  monkeypatch.chdir(tmp_path)
  return tmp_path


def fathom(*arguments, cwd):
  environment = {k: v for k, v in os.environ.items() if k != 'NPROC'}
  done = subprocess.run(
    process.command(*arguments), cwd=cwd, check=False, text=True,
    env={**environment, 'XLA_FLAGS': ''}, timeout=SECONDS,
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
  return done.returncode, done.stdout


def test_a_file_is_an_experiment_with_what_stands_beside_it(tmp_path):
  (tmp_path / 'neighbour.py').write_text('NAME = "mine"')
  path = tmp_path / 'my-depth.py'
  path.write_text('import neighbour\n' + MINIMAL.format(name='mine'))
  assert claims.load(str(path)).name == 'mine'


@pytest.mark.parametrize(('text', 'says'), [
  (None, 'no such file'),
  ('', 'sets no EXPERIMENT'),
  ('EXPERIMENT = {}', 'EXPERIMENT is a dict'),
  ('x = 1\ny = = 2\n', r'wrong.py, line 2: invalid syntax'),
  ('x = 1\ny = x / 0\n', r'wrong.py, line 2: ZeroDivisionError'),
  ('import other', r'other.py, line 3: KeyError'),
  ('import nothing_of_this_name', 'line 1: ModuleNotFoundError'),
  (MINIMAL.format(name='a/b'), 'must be the name of a folder'),
  (MINIMAL.format(name='trained'), 'none of trained'),
  (MINIMAL.format(name='depth'),
   'none of trained, together, claims, probes, .*depth'),
  ('from experiments.sweeps.experiment import Experiment, Part\n'
   'EXPERIMENT = Experiment("a", "A", (Part("one", print)))',
   r'line 2: TypeError: parts must be a tuple'),
])
def test_a_file_that_is_none_is_refused_with_its_line(text, says, tmp_path,
                                                      capsys):
  (tmp_path / 'other.py').write_text('\n\n{}["x"]\n')
  path = tmp_path / 'wrong.py'
  if text is not None:
    path.write_text(text)
  with pytest.raises(UsageError, match=says):
    claims.load(str(path))
  with pytest.raises(SystemExit) as stopped:
    main.main(['plan', str(path)])
  assert stopped.value.code == usage.USAGE
  assert capsys.readouterr().err.count('\n') == 1


@pytest.mark.parametrize(('verb', 'old', 'new', 'says'), [
  ('plan', "cells('links'", "cells('lnks'", "of stratum 'lnks'"),
  ('plan', 'return cells', 'cells', 'returns no cells'),
  ('plan', 'model.n_layers', 'model.n_layer', 'did you mean n_layers'),
  ('plan', 'STEPS[preset]', 'STEPS[present]', 'NameError'),
  ('report', "name='links', title", "name='lnks', title", "name='links'"),
  ('report', "(gain.name, 'supported')", "('gian', 'supported')",
   "ValueError: stratum 'links': rule.supported names 'gian'"),
  ('report', 'done, \'accuracy\'', 'done, accuracy', 'NameError'),
])
def test_a_mistake_in_what_a_file_does_is_one_line(verb, old, new, says,
                                                   tmp_path, capsys):
  assert old in TEMPLATE
  path = tmp_path / 'wrong.py'
  path.write_text(TEMPLATE.replace(old, new))
  with pytest.raises(SystemExit) as stopped:
    main.main([verb, str(path), '--preset=smoke', f'--runs={tmp_path}'])
  printed = capsys.readouterr().err
  assert stopped.value.code == usage.USAGE, printed
  assert says in printed
  assert printed.count('\n') == 1


def test_what_a_file_is_called_says_nothing_of_what_it_measures(tmp_path):
  names = set()
  for name in ('first.py', 'second.py'):
    (tmp_path / name).write_text(TEMPLATE)
    part, = claims.load(str(tmp_path / name)).parts
    names.add(instrument.name(part.measure))
  assert len(names) == 1


def test_doctor_looks_for_jax_among_traps(trapped):
  code, printed = fathom('doctor', '--platform=cpu', cwd=trapped)
  assert code == 0, printed
  assert 'theirs' not in printed


def test_claims_are_found_by_name():
  assert 'depth' in claims.names()
  for name in claims.names():
    assert claims.load(name).name == name
  with pytest.raises(UsageError, match='did you mean depth'):
    claims.load('dept')


def test_list_names_claims_and_configs(capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['list'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  for name in (*claims.names(), 'lm-small'):
    assert f'  {name} ' in printed
  assert claims.load('depth').title in printed


def test_init_writes_once(trapped, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['init', 'idea'])
  assert stopped.value.code == 0
  path = trapped / 'idea' / 'idea.py'
  assert f'fathom run {Path("idea/idea.py")}' in capsys.readouterr().out
  assert init.TEMPLATE.stem not in path.read_text()
  assert claims.load(str(path)).name == 'idea'
  path.write_text('mine now')
  with pytest.raises(SystemExit) as stopped:
    main.main(['init', 'idea'])
  assert stopped.value.code == usage.USAGE
  assert 'is there already' in capsys.readouterr().err
  assert path.read_text() == 'mine now'


def test_init_needs_a_name_that_python_takes(trapped):
  with pytest.raises(UsageError, match='use letters'):
    init.act(main.parse(['init', '3-ideas']))
  assert not (trapped / '3-ideas').exists()


@pytest.mark.slow
def test_what_init_writes_runs_among_traps(trapped):
  assert fathom('init', 'idea', cwd=trapped)[0] == 0
  code, printed = fathom('run', 'idea/idea.py', '--preset=smoke', cwd=trapped)
  assert code == 0, printed
  assert printed.splitlines()[-2] == 'A test of the machinery: no evidence.'
  folder = trapped / 'runs' / 'idea' / 'smoke'
  assert (folder / 'figures' / 'links-accuracy.svg').exists()
  assert 'second layer' in (folder / 'report.md').read_text()
  code, printed = fathom('run', 'idea/idea.py', '--preset=smoke', cwd=trapped)
  assert '4 of 4 runs done' in printed
  for verb, says in (
      ('status', '4 of 4 runs done'), ('results', 'rows from 4 of 4 runs'),
      ('report', 'no evidence'), ('config', 'model.n_layers')):
    code, printed = fathom(verb, 'idea/idea.py', '--preset=smoke', cwd=trapped)
    assert code == 0, printed
    assert says in printed


@pytest.mark.slow
def test_train_runs_among_traps(trapped):
  code, printed = fathom(
    'train', 'lm-small', '--config.model.n_layers=1',
    '--config.model.d_model=16', '--config.model.n_heads=2',
    '--config.data.length=16', '--config.data.batch_size=4',
    '--config.train.steps=20', '--config.train.evaluate_every=0', cwd=trapped)
  assert code == 0, printed
  assert 'Held-out loss' in printed
  assert len(list((trapped / 'runs' / 'trained').iterdir())) == 1


EXACT = """
from experiments.runs.subject import Row
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.task import Exact

def sweep(preset, pins):
  return (Cell('one', 'a', Exact({name!r})),)

def measure(subject):
  return [Row('letters', len(subject.case))]

EXPERIMENT = Experiment({name!r}, 'The title of {name}',
                        (Part('one', sweep, measure),))
"""


def test_several_experiments_run_one_after_the_other(tmp_path, capsys):
  paths = []
  for name in ('first', 'second'):
    paths.append(tmp_path / f'{name}.py')
    paths[-1].write_text(EXACT.format(name=name))
  with pytest.raises(SystemExit) as stopped:
    main.main(['run', str(paths[0]), '--workers=0', str(paths[1]),
               f'--runs={tmp_path / "runs"}'])
  assert stopped.value.code == 0
  printed = capsys.readouterr().out
  assert printed.index('The title of first') < printed.index(
    'The title of second')
  for name in ('first', 'second'):
    assert list((tmp_path / 'runs' / name).glob('*/results.csv'))


def test_no_experiment_runs_where_one_of_the_names_is_wrong(tmp_path, capsys):
  path = tmp_path / 'first.py'
  path.write_text(EXACT.format(name='first'))
  with pytest.raises(SystemExit) as stopped:
    main.main(['run', str(path), 'dpeth', f'--runs={tmp_path / "runs"}'])
  assert stopped.value.code == usage.USAGE
  assert 'did you mean depth' in capsys.readouterr().err
  assert not (tmp_path / 'runs').exists()


@pytest.mark.parametrize('name', ['new-tokens', 'new_tokens'])
def test_a_claim_is_named_with_dashes_or_underscores(name):
  assert claims.load(name).name == 'new-tokens'
  assert 'new-tokens' in claims.names()
