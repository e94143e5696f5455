"""What was declared before the first run cannot be changed unseen."""

import functools
import importlib
import json
import linecache
import sys

import planting
import pytest

from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.commands import conclusion
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.judge.seal import keep_seal
from experiments.machine.usage import UsageError
from experiments.runs.subject import Row
from experiments.sweeps import algebra, overrides, plan
from experiments.sweeps.experiment import Experiment, Part
from model import AttentionConfig, ModelConfig, NoPosition
from train.config import Config, TrainConfig

TINY = Config(
  ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2),
              position=NoPosition(), mask='bidirectional'),
  DataConfig(PointerChasingConfig(symbols=5, hops=(1, 2)), batch_size=4),
  TrainConfig(steps=12))


def measure(subject):
  return [Row('loss', float(subject.scores['loss'][0]))]


def other_measure(subject):
  return [Row('loss', float(subject.scores['loss'][1]))]


def stratum(name, smallest=0.1, at_least=0.0, title='A stratum', sigma=None):
  gain = functools.partial(samples.paired_difference, metric='loss',
                           a={'n_layers': 1}, b={'n_layers': 2})
  able = Control('loss', 'There is a loss.', functools.partial(
    samples.average, metric='loss', where={'n_layers': 1}), at_least=at_least)
  return Stratum(
    name=name, title=title, prediction='It falls.', refutation='It does not.',
    effects=(Effect('gain', 'Loss falls.', 'nats', gain, smallest=smallest,
                    positive=able, sigma=sigma),),
    rule=Rule((('gain', 'supported'),)), controls=(able,))


def part(name='first', measure=measure, optional=False, seeds=2, fields=(),
         **declared):
  def sweep(preset, pins):
    return algebra.cells(name, 'plain', algebra.product(
      overrides.replace(TINY, dict(fields)),
      {'model.n_layers': (1, 2), 'train.seed': range(seeds)}, pins))
  return Part(name, sweep, measure, lambda preset: stratum(name, **declared),
              optional=optional)


def make(runs, *parts, preset='cpu', strata=(), texts=None, **experiment):
  return plan.make(Experiment('tiny', 'Tiny', parts, 'It gains.', **experiment),
                   preset, strata, texts or {}, runs)


def kept(of):
  return keep_seal(of, conclusion.declared(of))


def test_the_same_declaration_keeps_its_seal(tmp_path):
  first = kept(make(tmp_path, part()))
  content = (tmp_path / 'tiny/cpu/seal.json').read_bytes()
  assert kept(make(tmp_path, part())) == first
  assert first.changes == first.amendments == ()
  assert (tmp_path / 'tiny/cpu/seal.json').read_bytes() == content


@pytest.mark.parametrize(('changed', 'words'), [
  (part(fields={'train.learning_rate': 0.02}), 'first: its cells'),
  (part(fields={'data.batch_size': 8}), 'first: its cells'),
  (part(fields={'model.d_model': 16}), 'first: its cells'),
  (part(fields={'train.steps': 13}), 'first: its cells'),
  (part(fields={'data.seed': 3}), 'first: its cells'),
  (part(seeds=3), 'first: its cells'),
  (part(smallest=0.05), 'first: its effects'),
  (part(at_least=-1.0), 'first: its effects and controls'),
  (part(title='Another'), 'first: its wording')])
def test_a_change_of_what_decides_voids(changed, words, tmp_path):
  sealed = kept(make(tmp_path, part())).hash
  broken = kept(make(tmp_path, changed))
  assert (broken.changes, broken.hash) == ((words,), sealed)
  assert kept(make(tmp_path, part())).changes == ()


def test_a_changed_claim_voids(tmp_path):
  kept(make(tmp_path, part()))
  changed = kept(make(tmp_path, part(), reading='charitably'))
  assert changed.changes == ('the claim: its statement',)
  dropped = kept(make(tmp_path, part(), part('second')))
  assert dropped.changes == ('the claim: its required strata',)


def test_what_only_makes_it_faster_changes_nothing(tmp_path):
  kept(make(tmp_path, part()))
  faster = part(fields={'train.chunk_steps': 7, 'mesh.pack': 1})
  assert kept(make(tmp_path, faster)).changes == ()


def test_what_only_plans_changes_nothing(tmp_path):
  kept(make(tmp_path, part()))
  assert kept(make(tmp_path, part(sigma=0.3))).changes == ()


def test_what_was_finished_before_it_was_declared_is_kept(tmp_path):
  of = make(tmp_path, part(), part('second'), strata=('first',))
  assert kept(of).late == ()
  planting.publish(of, lambda cell: None)
  both = kept(make(tmp_path, part(), part('second', seeds=3)))
  assert [late.words for late in both.late] == [
    'second declared after 4 of its 6 runs were finished']
  assert kept(make(tmp_path, part(), part('second', seeds=3))) == both


def test_an_optional_stratum_can_be_added_and_not_taken_away(tmp_path):
  kept(make(tmp_path, part()))
  extra = part('extra', optional=True)
  added = kept(make(tmp_path, part(), extra, strata=('first', 'extra')))
  assert added.changes == ()
  voided = part('extra', optional=True, smallest=0.3)
  changed = kept(make(tmp_path, part(), voided, strata=('extra',)))
  assert changed.changes == ('extra: its effects',)
  assert kept(make(tmp_path, part())).changes == ('extra: it was removed',)


def test_strata_share_a_seal_and_presets_and_overrides_do_not(tmp_path):
  both = part(), part('second')
  kept(make(tmp_path, *both, strata=('first',)))
  kept(make(tmp_path, *both, strata=('second',)))
  kept(make(tmp_path, *both, preset='smoke'))
  kept(make(tmp_path, *both, texts={'model.d_model': '16'}))
  seals = sorted(p.parent.name for p in tmp_path.rglob('seal.json'))
  assert seals[0] == 'cpu'
  assert seals[1].startswith('cpu-')
  assert seals[2:] == ['smoke']
  content = json.loads((tmp_path / 'tiny/cpu/seal.json').read_text())
  assert set(content['strata']) == {'first', 'second'}


def test_a_changed_measurement_amends_and_is_never_forgotten(tmp_path):
  kept(make(tmp_path, part(), part('second')))
  changed = part(measure=other_measure), part('second')
  for _ in range(2):
    sealed = kept(make(tmp_path, *changed))
    assert sealed.changes == ()
    assert [a.stratum for a in sealed.amendments] == ['first']
  back = kept(make(tmp_path, part(), part('second')))
  assert [(a.old, a.new) for a in back.amendments] == [
    (sealed.amendments[0].old, sealed.amendments[0].new),
    (sealed.amendments[0].new, sealed.amendments[0].old)]


def test_a_helper_two_modules_away_amends(tmp_path, monkeypatch):
  folder = tmp_path / 'mine'
  folder.mkdir()
  monkeypatch.syspath_prepend(folder)
  (folder / 'sealed_measure.py').write_text(
    'import sealed_middle\ndef measure(subject):\n'
    '  return sealed_middle.rows(subject)\n')
  (folder / 'sealed_middle.py').write_text(
    'from sealed_helper import scale\ndef rows(subject):\n'
    '  return [scale(subject)]\n')

  def loaded(factor):
    (folder / 'sealed_helper.py').write_text(
      f'def scale(subject):\n  return {factor} * subject\n')
    for name in ('sealed_measure', 'sealed_middle', 'sealed_helper'):
      sys.modules.pop(name, None)
    linecache.clearcache()
    importlib.invalidate_caches()
    return importlib.import_module('sealed_measure').measure

  kept(make(tmp_path, part(measure=loaded(1))))
  assert kept(make(tmp_path, part(measure=loaded(1)))).amendments == ()
  sealed = kept(make(tmp_path, part(measure=loaded(1000))))
  assert sealed.changes == ()
  assert [a.stratum for a in sealed.amendments] == ['first']


@pytest.mark.parametrize('name', [
  'manifest.json', 'results.csv', 'verdict.json', 'report.html',
  'workers/0.log', 'only-first/verdict.json'])
def test_a_seal_that_was_deleted_is_not_made_anew(name, tmp_path):
  of = make(tmp_path, part())
  kept(of)
  (of.folder / name).parent.mkdir(exist_ok=True)
  (of.folder / name).write_text('{}')
  (of.folder / 'seal.json').unlink()
  with pytest.raises(UsageError, match=r'seal\.json is missing beside'):
    kept(of)
  assert not (of.folder / 'seal.json').exists()


@pytest.mark.parametrize('damage', [
  lambda text: text[:-20], lambda text: '', lambda text: '[]',
  lambda text: text.replace('"history": []', '"history": [1]'),
  lambda text: text.replace('"first"', '"last"')])
def test_a_seal_that_was_edited_is_refused(damage, tmp_path):
  of = make(tmp_path, part())
  kept(of)
  path = of.folder / 'seal.json'
  path.write_text(damage(path.read_text()))
  with pytest.raises(UsageError, match='cannot be read or was edited'):
    kept(of)

