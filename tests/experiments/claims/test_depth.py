"""The depth claim's plan is what its cards say, and it is declared whole."""

import collections

import planting
import pytest

from experiments.claims.depth import EXPERIMENT
from experiments.sweeps.identity import run_id

COLUMNS = ('stratum,arm,run,n_layers,d_model,parameters,train_flops,seed,'
           'instance,learning_rate,train.steps,train.warmup_fraction,'
           'train.evaluate_every,status,metric,layer,level,hops,step,value')


def expanded(preset, tmp_path):
  runs = collections.defaultdict(set)
  for cell in planting.depth(tmp_path, preset).cells:
    key = (cell.stratum, cell.arm, cell.config.model.n_layers)
    runs[key].add(run_id(cell.task))
  return {key: len(ids) for key, ids in runs.items()}


def test_cpu_plan(tmp_path):
  assert expanded('cpu', tmp_path) == {
    ('composition', 'plain', 2): 8, ('composition', 'plain', 3): 8,
    ('composition', 'equal_parameters', 1): 8,
    ('composition', 'chain_of_thought', 1): 8,
    **dict.fromkeys((('hierarchy', 'l = 3', n) for n in (1, 2, 3)), 8),
    ('hierarchy', 'l = 3, filtered', 3): 8,
    ('hierarchy', 'l = 3, equal FLOPs', 2): 8,
    **dict.fromkeys((('text', arm, n) for n in (1, 4) for arm in (
      'fixed width', 'equal cost')), 8),
  }


def test_accelerator_plan_is_the_published_one(tmp_path):
  planned = expanded('accelerator', tmp_path)
  for heads in (4, 8):
    runs = {k[2]: n for k, n in planned.items() if k[1] == f'{heads} heads'}
    assert runs == dict.fromkeys(range(1, 9), 8)
  published = {k[1:]: runs for k, runs in planned.items()
               if 'published' in k[1]}
  assert {arm for arm, _ in published} == {
    'published root', 'published masked', *(
      f'published root, P = {2**i}' for i in range(9, 17))}
  assert set(published.values()) == {8}
  assert max(k[2] for k in planned if k[0] == 'text') == 32


def test_what_is_predicted_is_supported(tmp_path):
  plan = planting.depth(tmp_path)
  result = planting.judged(plan, planting.plant(plan))
  assert result.reason == 'Supported on composition, hierarchy and text.'
  assert result.evidence == 'verdict'


@pytest.mark.parametrize(('metric', 'value', 'verdicts'), [
  ('solved', lambda run, hops: 0.0, ['invalid', 'supported', 'supported']),
  ('excess_bits', lambda run: 0.01, ['supported', 'conditional', 'supported']),
  ('bits_per_byte', lambda run: 2.5, ['supported', 'supported', 'refuted']),
  ('selectivity', lambda run: 0.0, ['supported', 'invalid', 'supported'])])
def test_what_it_decides_on_decides(metric, value, verdicts, tmp_path):
  plan = planting.depth(tmp_path)
  rows = planting.plant(plan, {metric: value})
  assert [s.verdict for s in planting.judged(plan, rows).strata] == verdicts


@pytest.mark.parametrize('preset', EXPERIMENT.presets)
def test_every_preset_reads_runs_that_it_plans(preset, tmp_path):
  plan = planting.depth(tmp_path, preset)
  result = planting.judged(plan, planting.plant(plan))
  assert all(stratum.effects for stratum in result.strata)


def test_its_table_has_a_column_for_what_varies(tmp_path):
  rows = planting.plant(planting.depth(tmp_path))
  assert rows.columns == COLUMNS.split(',')
