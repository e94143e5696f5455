"""From planted results to a verdict, a comparison, and their files."""

import json

import planting
import polars as pl
import pytest

from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.claims.depth import EXPERIMENT as DEPTH
from experiments.commands import conclusion
from experiments.judge import comparison
from experiments.machine.usage import UsageError
from experiments.sweeps import algebra, plan
from experiments.sweeps.experiment import Experiment, Part
from model import AttentionConfig, ModelConfig, NoPosition
from train.config import Config, TrainConfig

TINY = Config(
  ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2),
              position=NoPosition(), mask='bidirectional'),
  DataConfig(PointerChasingConfig(symbols=5, hops=(1, 2)), batch_size=4),
  TrainConfig(steps=12))


def own(runs, seeds=3, depths=(1, 2, 4)):
  """A sweep of one's own: layers and norms, three seeds."""
  part = Part('mine', lambda preset, pins: algebra.cells(
    'mine', 'plain', algebra.product(TINY, {
      'model.n_layers': depths, 'model.norm': ('rms', 'layer'),
      'train.seed': range(seeds)}, pins)))
  return plan.make(Experiment('own', 'Layers and norms', (part,)), 'cpu', (),
                   {}, runs)


def loss(cell):
  """Halves with n; the norm costs 0.25; seeds differ by much more."""
  value = (1 / cell.config.model.n_layers + 10 * cell.config.train.seed
           + 0.25 * (cell.config.model.norm == 'layer'))
  return [{'metric': 'loss', 'value': value, 'where': {}},
          {'metric': 'accuracy', 'value': 0.5, 'where': {'group': 'k = 1'}}]


CURVE = [{'step': 4, 'loss': 2.0}, {'step': 8, 'loss': 1.0}]


def compared(of):
  rows = conclusion.tabulate(of)
  return comparison.compare(of, rows, 'abc').strata[0]


def test_a_sweep_of_ones_own_is_compared_and_not_judged(tmp_path):
  of = own(tmp_path)
  conclusion.seal(of)
  planting.publish(of, loss, curves=CURVE)
  told = conclusion.conclude(of)
  assert (told.verdict, told.headline) == ('', 'no verdict')
  record = json.loads((of.output / 'comparison.json').read_text())
  assert 'fathom init' in record['reason']
  assert not list(tmp_path.rglob('seal.json'))
  page, markdown = (told.page.with_suffix(end).read_text(encoding='utf-8')
                    for end in ('.html', '.md'))
  for words in ('no verdict', 'Nothing was declared', 'every combination',
                'paired by seed', 'n layers (1, 2, 4)', 'model.norm'):
    assert words in page
  assert 'rms' in markdown
  figures = {p.stem for p in (of.output / 'figures').iterdir()}
  assert figures == {
    'mine-loss-n-layers', 'mine-loss-model-norm', 'mine-accuracy-n-layers',
    'mine-accuracy-model-norm', 'mine-learning'}


def test_pairs_by_seed_see_what_means_do_not(tmp_path):
  of = own(tmp_path)
  planting.publish(of, loss)
  stratum = compared(of)
  assert stratum.axes == {'n_layers': (1, 2, 4), 'model.norm': ('rms', 'layer')}
  measured = stratum.measured[0]
  assert [e.setting for e in measured.combinations][:2] == [
    {'n_layers': 1, 'model.norm': 'rms'}, {'n_layers': 1, 'model.norm': 'layer'}
  ]
  assert measured.combinations[1].estimate == pytest.approx(11.25)
  assert measured.combinations[1].high > 15
  halved, quartered, norm = measured.differences
  assert (halved.setting, halved.against) == ({'n_layers': 2}, 1)
  assert [halved.estimate, halved.low, halved.high] == pytest.approx([-0.5] * 3)
  assert quartered.estimate == pytest.approx(-0.75)
  assert (norm.setting, norm.estimate) == (
    {'model.norm': 'layer'}, pytest.approx(0.25))
  assert [e.estimate for e in measured.averages] == pytest.approx(
    [11.125, 10.625, 10.375, 10 + 1.75 / 3, 10.25 + 1.75 / 3])
  assert stratum.measured[1].name == 'accuracy, group = k = 1'


def test_a_seed_that_lacks_a_run_is_left_out_of_its_averages(tmp_path):
  of = own(tmp_path)
  gap = of.cells[-1]  # seed 2 of n = 4, layer norm
  planting.publish(of, lambda cell: None if cell == gap else loss(cell))
  measured = compared(of).measured[0]
  assert [(e.units, e.left_out) for e in measured.combinations][-1] == (2, 1)
  assert [(e.units, e.left_out) for e in measured.averages] == [
    (3, 0), (3, 0), (2, 1), (3, 0), (2, 1)]
  assert measured.differences[1].estimate == pytest.approx(-0.75)


def test_seeds_alone_have_an_estimate_too(tmp_path):
  part = Part('mine', lambda preset, pins: algebra.cells(
    'mine', 'plain', algebra.product(TINY, {'train.seed': range(3)}, pins)))
  of = plan.make(Experiment('own', 'Own', (part,)), 'cpu', (), {}, tmp_path)
  planting.publish(of, loss)
  stratum = compared(of)
  assert stratum.axes == {}
  assert [e.estimate for e in stratum.measured[0].combinations] == [11.25]
  assert conclusion.conclude(of).page.exists()


def test_nothing_finished_is_a_page_too(tmp_path):
  page = conclusion.conclude(own(tmp_path)).page.read_text(encoding='utf-8')
  assert '18 of 18 planned runs are missing' in page


def test_a_part_of_a_claim_is_not_the_claim(tmp_path):
  of = planting.depth(tmp_path, strata=('composition',))
  conclusion.seal(of)
  _publish_predicted(of)
  told = conclusion.conclude(of)
  assert told.verdict == 'supported'
  assert told.headline == 'supported on composition only'
  assert told.reason == ('Supported on composition only; hierarchy and text '
                         'were not run.')
  record = json.loads((of.output / 'verdict.json').read_text())
  said = record['words']['composition']
  assert told.lines == [told.title, said, f'Supported. {told.reason}',
                        f'Report: {told.page}']
  assert said in told.page.read_text(encoding='utf-8')
  assert record['cost']['composition']['worker_seconds'] > 0
  assert record['partial'] is True
  assert record['left_out'] == ['hierarchy', 'text']
  page = told.page.read_text(encoding='utf-8')
  assert '<title>Supported on composition only:' in page
  assert '<span class="aside">on composition only</span>' in page
  assert page.count('card not-run') == 2
  assert 'only-composition' in str(told.page)


def test_an_amendment_is_told_wherever_the_verdict_is(tmp_path):
  of = planting.depth(tmp_path, strata=('composition',))
  conclusion.seal(of)
  path = of.folder / 'seal.json'
  changed = plan.make(_with_other_measurement(), 'cpu', ('composition',), {},
                      tmp_path)
  _publish_predicted(changed)
  told = conclusion.conclude(changed)
  assert told.headline == (
    'supported on composition only, amended after the first run')
  record = json.loads((of.output / 'verdict.json').read_text())
  assert [a['stratum'] for a in record['amendments']] == ['composition']
  assert record['amendments'] == json.loads(path.read_text())['history']
  assert 'amended after the first run' in told.page.read_text(encoding='utf-8')


def test_results_without_their_seal_are_not_judged(tmp_path):
  of = planting.depth(tmp_path, strata=('composition',))
  conclusion.conclude(of)
  (of.folder / 'seal.json').unlink()
  for command in (conclusion.seal, conclusion.tabulate, conclusion.conclude):
    with pytest.raises(UsageError, match=r'seal.json is missing'):
      command(of)


def test_all_parts_declare_or_none(tmp_path):
  silent = Part(DEPTH.parts[1].name, DEPTH.parts[1].sweep)
  of = plan.make(Experiment('mixed', 'Mixed', (DEPTH.parts[0], silent)), 'cpu',
                 (), {}, tmp_path)
  with pytest.raises(UsageError, match='hierarchy declares nothing'):
    conclusion.declared(of)


def test_the_manifest_says_what_is_run(tmp_path):
  of = own(tmp_path)
  conclusion.seal(of)
  manifest = json.loads((of.folder / 'manifest.json').read_text())
  assert manifest['runs'] == 18
  planting.publish(of, loss)
  assert conclusion.compute(of) == {'devices': ['cpu'], 'worker_seconds': 27}


def _with_other_measurement():
  first = DEPTH.parts[0]
  other = Part(first.name, first.sweep, loss, first.declare, first.figures)
  return Experiment(DEPTH.name, DEPTH.title, (other, *DEPTH.parts[1:]),
                    DEPTH.claim, DEPTH.reading)


def _publish_predicted(of):
  """Results of which the table is what is predicted."""
  rows = planting.plant(of)
  places = ('layer', 'level', 'hops', 'step')

  def numbers(cell):
    run = planting.run_id(cell.task)
    return [{'metric': row['metric'], 'value': row['value'],
             'where': {p: row[p] for p in places if row[p] is not None}}
            for row in rows.filter(pl.col('run') == run).to_dicts()
            if row['metric']]

  planting.publish(of, numbers)
