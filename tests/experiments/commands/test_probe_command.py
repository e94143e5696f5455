"""`fathom probe` on one model, as it is typed."""

import planted_run
import polars as pl
import pytest

from data.config import DataConfig
from data.sources.text import TextConfig
from experiments.commands import main, probe
from experiments.instruments import examination
from experiments.instruments.catalogue import INSTRUMENTS
from experiments.instruments.instrument import Given, Instrument
from experiments.machine.usage import UsageError
from experiments.runs.subject import Row
from model import AttentionConfig, ModelConfig
from train import Config

WORDS = 'Depth is what is asked about. ' * 4


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  return planted_run.plant(tmp_path_factory.mktemp('runs'), Config(
    ModelConfig(n_layers=2, d_model=8, mixer=AttentionConfig(n_heads=2)),
    DataConfig(TextConfig(length=64))))


@pytest.fixture
def text(tmp_path):
  file = tmp_path / 'a.txt'
  file.write_text(WORDS)
  return file


def run(capsys, *arguments):
  with pytest.raises(SystemExit) as stop:
    main.main(['probe', *map(str, arguments)])
  said = capsys.readouterr()
  return stop.value.code, said.out, said.err


def test_a_page_and_a_table_are_written(place, text, tmp_path, capsys):
  code, said, _ = run(
    capsys, place, f'--text={text}', '--instruments=anisotropy,dimension',
    f'--runs={tmp_path}', '--tokens=50', '--window=16')
  assert code == 0
  assert '50 tokens in 4 windows' in said
  assert said.index('FLOPs') < said.index('…')  # the cost comes before
  assert 'Peak memory: ' in said
  page = said.splitlines()[-1].removeprefix('Page: ')
  table = pl.read_parquet(page.replace('report.html', 'table.parquet'))
  assert table.columns[:5] == list(examination.COLUMNS)
  assert set(table['network']) == {'model', 'random'}
  # Fifty bytes have too few different vectors for a dimension.
  assert set(table['instrument']) == {'anisotropy'}
  assert 'dimension: left out: no number of it could be trusted' in said
  assert page.startswith(str(tmp_path / 'probes' / place.name))


def test_a_plan_takes_nothing(place, text, tmp_path, capsys):
  code, said, _ = run(capsys, place, f'--text={text}', '--plan',
                      f'--runs={tmp_path}')
  assert code == 0
  assert 'in all' in said
  assert not (tmp_path / 'probes').exists()


def test_the_instruments_are_listed(capsys):
  code, said, _ = run(capsys, '--list')
  assert code == 0
  assert len(said.splitlines()) == len(INSTRUMENTS)


@pytest.mark.parametrize(('flags', 'told'), [
  (['--text={text}', '--instruments=anisotropie'], 'did you mean anisotropy?'),
  (['--text={text}', '--mesh=fsdb=2'], 'did you mean fsdp?'),
  (['--text={text}', '--mesh=fsdp=many'], 'use a whole number from 1 on'),
  (['--text={text}', '--mesh=fsdp'], 'fsdp: give each axis once, and its'),
  (['--text={text}', '--mesh=fsdp=1,fsdp=2'], 'fsdp=2: give each axis once'),
  (['--tokens=9'], '--tokens goes with --text'),
  (['--window=9'], '--window goes with --text'),
  (['--calibration={text}'], '--calibration goes with --text'),
  (['--text={text}', '--out={text}'], 'cannot be written to (File exists)'),
  (['--text={text}', '--out=/proc/none'], '--out=/proc/none cannot be written'),
  (['--text={text}', '--tokens=1'], 'use a whole number from 2 on'),
  (['--text={folder}'], 'is no file'),
  (['--text={folder}/none.txt'], 'cannot be read (No such file'),
  (['--text={folder}/bytes'], 'not UTF-8'),
  (['--text={folder}/empty'], 'has fewer than two tokens'),
  (['--text={text}', '--calibration={folder}/bytes'], '--calibration='),
], ids=str)
def test_a_mistake_is_told_before_anything_is_taken(
    place, text, tmp_path, capsys, flags, told):
  (tmp_path / 'bytes').write_bytes(b'\xff\xfe\x00')
  (tmp_path / 'empty').write_text('')
  code, _, error = run(capsys, place, f'--runs={tmp_path}', *(
    flag.format(text=text, folder=tmp_path) for flag in flags))
  assert code == 2
  assert told in error
  assert len(error.splitlines()) == 1
  assert not (tmp_path / 'probes').exists()


@pytest.mark.parametrize('flags', [[], ['--text={text}']], ids=str)
def test_what_is_not_there_is_told_with_the_nearest_experiment(
    text, tmp_path, capsys, flags):
  code, _, error = run(capsys, 'deptth', f'--runs={tmp_path}', *(
    flag.format(text=text) for flag in flags))
  assert code == 2
  assert 'deptth: nothing is there; ' in error
  assert 'did you mean depth?' in error


def test_without_anything_to_take_no_page_is_written(
    tmp_path, text, capsys):
  alone = planted_run.plant(tmp_path, Config(
    ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2)),
    DataConfig(TextConfig(length=64))))
  code, said, error = run(capsys, alone, f'--text={text}', f'--runs={tmp_path}',
                          '--instruments=swapping')
  assert code == 2
  assert 'swapping             cannot be taken: it has one layer' in said
  assert 'none of these instruments can be taken' in error
  assert not (tmp_path / 'probes').exists()


def test_where_nothing_could_be_taken_no_page_is_written(
    place, text, tmp_path, capsys):
  code, said, error = run(
    capsys, place, f'--text={text}', f'--runs={tmp_path}', '--tokens=50',
    '--instruments=dimension')
  assert code == 2
  assert 'dimension: left out: no number of it could be trusted' in said
  assert 'no page is written' in error
  assert not list(tmp_path.rglob('report.html'))


def test_no_model_is_named(capsys):
  code, _, error = run(capsys)
  assert code == 2
  assert 'fathom probe MODEL --text=FILE' in error


def named(name, measure, default=False):
  return Instrument(name, name, 'It says.', 'Nobody, 2026', measure,
                    lambda *_: 1.0, {'m': 'm'}, default=default)


def test_one_that_fails_costs_no_other():
  def breaks(given):
    raise RuntimeError('RESOURCE_EXHAUSTED: 4 GB')

  def declines(given):
    raise UsageError('words: nothing is there')

  found = examination.examine(Given(None, None), [
    named('a', breaks), named('b', lambda _: [Row('m', 1.0, {'layer': 1})]),
    named('c', declines)])
  assert list(found.rows) == ['b']
  assert found.failed == {'a'}
  assert 'RESOURCE_EXHAUSTED' in found.refused['a']
  assert found.refused['c'] == 'words: nothing is there'


def test_what_is_asked_for_is_taken():
  one, two = named('one', None, default=True), named('two', None)
  assert probe.choose((), [one, two]) == [one]
  assert probe.choose(('two',), [one, two]) == [two]
  assert probe.choose(('all',), [one, two]) == [one, two]
