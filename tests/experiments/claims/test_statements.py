"""The 34 statements: all there, judged by what is there, and how they stand."""

import json
import re

import pytest

from experiments import claims
from experiments.claims.statements import STATEMENTS, experiments
from experiments.commands import claims as command
from experiments.judge import ledger
from experiments.machine.usage import UsageError
from experiments.report import overview

IDS = {*(f'A{i}' for i in range(1, 14)), *(f'B{i}' for i in range(1, 22))}


def record(runs, stratum='composition', verdict='supported', tier='E1',
           preset='cpu', cells=40, folder='', experiment='depth', **changes):
  """Writes a verdict record of depth with one stratum."""
  path = runs / experiment / preset / folder / ledger.RECORD
  path.parent.mkdir(parents=True)
  path.write_text(json.dumps({
    'evidence': 'verdict', 'words': {stratum: f'{stratum} is {verdict}.'},
    'cost': {stratum: {'flops': 3e12, 'worker_seconds': 150}},
    'strata': [{
      'name': stratum, 'title': stratum, 'verdict': verdict, 'reason': '',
      'tier': tier, 'cells': cells, 'effects': [{'replicates': 8}]}],
    **changes}))


def entries(runs):
  return {entry.id: entry for entry in command.entries(runs)}


def test_all_statements_are_there_once():
  assert len(STATEMENTS) == 34
  assert {statement.id for statement in STATEMENTS} == IDS


@pytest.mark.parametrize('name', experiments())
def test_every_stratum_that_judges_a_statement_exists(name):
  strata = {part.name for part in claims.load(name).parts}
  asked = {stratum for statement in STATEMENTS
           for experiment, stratum in (*statement.judged_by, *statement.also)
           if experiment == name}
  assert asked == strata


def test_nothing_judged_is_not_yet(tmp_path):
  found = entries(tmp_path)
  assert {entry.verdict for entry in found.values()} == {'not yet'}
  assert overview.summary(list(found.values())) == (
    'None of 34 statements has been judged yet.')


def test_a_record_speaks_for_its_statements_and_says_how_far(tmp_path):
  record(tmp_path)
  found = entries(tmp_path)
  assert (found['A8'].verdict, found['A8'].limits) == (
    'supported', 'only what it costs to link facts in the context')
  assert found['A8'].evidence == 'E1, 8 replicates'
  assert found['A8'].cost == '3.0e+12 FLOPs, 2 min'
  # A price of layers is a condition on "facts at hand are enough".
  assert found['A7'].verdict == 'conditional'
  assert found['B10'].limits == 'without depth/hierarchy and depth/text'
  assert found['B11'].verdict == 'not yet'


def test_two_kinds_of_evidence_are_strong_and_a_part_is_not(tmp_path):
  record(tmp_path)
  record(tmp_path, tier='E0', preset='accelerator')
  found = entries(tmp_path)
  assert found['A8'].verdict == 'supported (strong)'
  assert found['B10'].verdict == 'supported'


def test_that_layers_are_used_is_not_what_they_are_said_to_do(tmp_path):
  record(tmp_path, 'use', 'supported', 'E3', experiment='real-depth')
  assert entries(tmp_path)['B10'].verdict == 'not yet'


@pytest.mark.parametrize(('verdict', 'stands'), [
  ('inconclusive', 'supported'), ('invalid', 'supported'),
  ('refuted', 'conditional'), ('supported', 'supported')])
def test_what_is_told_beside_can_speak_against_and_supports_nothing(
    verdict, stands, tmp_path):
  for stratum in ('composition', 'hierarchy', 'text'):
    record(tmp_path, stratum, folder=f'only-{stratum}')
  before = entries(tmp_path)['B10']
  assert (before.verdict, before.limits) == ('supported', '')
  record(tmp_path, 'use', verdict, 'E3', experiment='real-depth')
  found = entries(tmp_path)['B10']
  assert (found.verdict, found.limits) == (stands, '')
  assert [one.stratum for one in found.findings][-1] == 'use'


def test_of_one_stratum_the_verdict_on_the_most_runs_counts(tmp_path):
  record(tmp_path)
  record(tmp_path, verdict='refuted', cells=60, folder='only-composition')
  assert entries(tmp_path)['A8'].verdict == 'refuted'
  assert entries(tmp_path)['A7'].verdict == 'supported'


def test_smoke_tests_do_not_count(tmp_path):
  record(tmp_path, evidence='smoke')
  record(tmp_path, preset='smoke')
  assert entries(tmp_path)['A8'].verdict == 'not yet'


def test_a_record_of_another_version_is_named(tmp_path):
  record(tmp_path, cost={})
  with pytest.raises(UsageError, match=r'fathom report depth --preset=cpu'):
    entries(tmp_path)


def test_the_page_tells_right_from_wrong_and_links_to_the_reports(
    tmp_path, capsys):
  record(tmp_path)
  record(tmp_path, 'text', 'refuted', folder='only-text')
  assert command.write_report(tmp_path) == 0
  told = capsys.readouterr().out
  assert 'Of 34 statements 3 have been judged' in told
  page = tmp_path / 'claims' / 'report.html'
  text = page.read_text(encoding='utf-8')
  links = re.findall(r'href="(\.\./[^"#]*)#composition"', text)
  assert set(links) == {'../depth/cpu/report.html'}
  headings = re.findall(r'<h2 id="[^"]*">([^<]*)', text)
  assert headings == ['Right', 'It depends', 'Not yet judged',
                      'What the words mean']
  assert text.count('a sanity check') + text.count('A sanity check') == 2
  assert 'http' not in text


def test_the_command_lists_them(tmp_path, capsys):
  record(tmp_path)
  assert command.act(type('Options', (), {'runs': tmp_path})) == 0
  lines = capsys.readouterr().out.splitlines()
  assert re.search(r'^A8 .*supported: .*E1, 8 .*3\.0e\+12', '\n'.join(lines),
                   re.MULTILINE)
  assert {line.split()[0] for line in lines} >= IDS


def test_words_stay_whole_on_eighty_columns(tmp_path, monkeypatch, capsys):
  for name, value in {'FORCE_COLOR': '1', 'NO_COLOR': '1', 'COLUMNS': '80',
                      'TERM': 'dumb'}.items():
    monkeypatch.setenv(name, value)
  record(tmp_path, verdict='inconclusive')
  command.print_entries(command.entries(tmp_path))
  lines = re.sub(r'\x1b\[\d*m', '', capsys.readouterr().out).splitlines()
  assert max(map(len, lines)) <= 80
  first, second = lines[next(
    i for i, line in enumerate(lines) if line.startswith('A8')):][:2]
  assert re.search(r'inconclusive: +E1, +3\.0e\+12 FLOPs, *$', first)
  assert re.search(r' 8 replicates +2 min *$', second)
