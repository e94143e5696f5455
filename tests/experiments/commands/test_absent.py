"""Strata that cannot be run here are not run, and every command says why."""

import json

import pytest

from experiments import claims
from experiments.claims import models
from experiments.commands import main
from experiments.judge import ledger

FILE = '''
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.runs.subject import Row
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.task import Exact


def measure(subject):
  return [Row('seen', 1.0)]


def check(rows):
  return ''


def absent(preset):
  return 'there is no models/none; run make models'


def part(name, **settings):
  def sweep(preset, pins):
    return (Cell(name, 'plain', Exact(name)),)

  def declare(preset):
    return Stratum(
      name=name, title=name.title() + ': it', prediction='It holds.',
      refutation='It does not.', properties=(Property('it', 'It.', check),),
      rule=Rule((('it', 'holds'),), (('it', 'fails'),)), tier='E3')

  return Part(name, sweep, measure, declare, **settings)


EXPERIMENT = Experiment('mine', 'Mine', PARTS, 'It is so.')
'''
WHY = 'there is no models/none; run make models'
SENTENCE = f'{WHY[0].upper()}{WHY[1:]}.'
RUN = ("part('here')", "part('there', needs=absent)",
       "part('asked', needs=absent, optional=True)")


@pytest.fixture
def fathom(tmp_path, capsys):
  """What a verb prints of an experiment with some parts, and its exit code."""

  def run(verb, *parts, strata=''):
    (tmp_path / 'mine.py').write_text(FILE.replace(
      'PARTS', f'({"".join(f"{part}, " for part in parts)})'))
    code = 0
    try:
      code = main.main([verb, str(tmp_path / 'mine.py'),
                        *([f'--strata={strata}'] if strata else []),
                        *(['--workers=0'] if verb == 'run' else []),
                        f'--runs={tmp_path}'])
    except SystemExit as stopped:
      code = stopped.code
    return code or 0, capsys.readouterr().out

  return run


def record(folder):
  return json.loads((folder / ledger.RECORD).read_text())


def test_where_nothing_can_be_run_one_line_says_so(fathom, tmp_path):
  code, said = fathom('run', RUN[1])
  assert code == 0
  assert said.splitlines()[0] == f'Mine: not run. {SENTENCE}'
  assert len(said.splitlines()) == 2
  folder = tmp_path / 'mine' / 'cpu' / 'not-run'
  assert record(folder)['verdict'] == 'not run'
  page = (folder / 'report.html').read_text()
  assert SENTENCE in page
  assert 'no evidence' not in page


@pytest.mark.parametrize('verb', ['plan', 'status'])
def test_a_plan_says_what_is_not_run_and_why(verb, fathom):
  for parts in (RUN[:2], RUN[1:2]):
    code, said = fathom(verb, *parts)
    assert code == 0
    assert f'there is not run: {WHY}.' in said


def test_what_can_be_run_is_judged_without_the_rest(fathom, tmp_path):
  code, said = fathom('run', *RUN)
  assert code == 0
  assert f'there is not run: {WHY}.' in said
  found = record(tmp_path / 'mine' / 'cpu' / 'only-here')
  assert (found['verdict'], found['partial']) == ('supported', True)
  assert found['reason'] == (
    f'Supported on here only; there was not run ({WHY}).')
  assert [s['verdict'] for s in found['strata']] == [
    'supported', 'not run', 'not run']
  assert found['strata'][1]['reason'] == SENTENCE
  assert found['strata'][2]['reason'] == 'It was not asked for.'


def test_an_optional_stratum_that_is_asked_for_says_why(fathom, tmp_path):
  code, said = fathom('run', *RUN, strata='here,asked')
  assert code == 0
  assert f'Asked: not run. {SENTENCE}' in said
  found = record(tmp_path / 'mine' / 'cpu' / 'only-here')
  assert found['strata'][2]['reason'] == SENTENCE
  assert found['strata'][1]['reason'] == 'It was not asked for.'


def test_not_run_stands_as_such_until_it_is_judged(fathom, tmp_path):
  fathom('run', RUN[1])
  pair = [('mine', 'there')]

  def standing(pairs):
    found = ledger.findings(tmp_path, {'mine': ['cpu']})
    return ledger.together(pairs, found, {})[0]

  assert standing(pair).verdict == 'not run'
  assert standing(pair).why == SENTENCE
  assert standing([*pair, ('mine', 'other')]).verdict == 'not yet'
  fathom('run', "part('there')")
  assert standing(pair).verdict == 'supported'
  fathom('run', RUN[1])
  assert standing(pair).verdict == 'supported'  # what was found is kept


def test_models_are_looked_for_here_and_in_the_checkout(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(models, 'ROOT', tmp_path / 'checkout')
  needs = models.needed('a', 'b')
  assert needs('cpu') == (
    'there is no models/a and no models/b; run make models')
  with pytest.raises(FileNotFoundError, match='models/a'):
    models.path('a')
  for place, name in ((tmp_path / 'checkout', 'a'), (tmp_path, 'b')):
    (place / 'models').mkdir(parents=True)
    (place / 'models' / name).touch()
  assert needs('cpu') == ''
  assert models.find('a') == tmp_path / 'checkout' / 'models' / 'a'
  (tmp_path / 'models' / 'a').touch()
  assert models.path('a') == 'models/a'


def test_what_a_claim_needs_is_asked_of_its_parts():
  for name in claims.names():
    for part in claims.load(name).parts:
      assert part.needs is None or isinstance(part.needs('cpu'), str)
