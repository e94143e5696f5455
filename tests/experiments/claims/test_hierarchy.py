"""The hierarchy is judged as its card says."""

import planting
import pytest


def ordered(full, filtered):
  return lambda run: filtered if 'filtered' in run['arm'] else full


def flat(run):
  return 0.2


@pytest.mark.parametrize(('values', 'verdict'), [
  ({}, 'supported'),
  # Not the levels but something that the filtered grammar has, too.
  ({'order_counted': ordered(1.0, 0.8)}, 'inconclusive'),
  ({'order_counted': ordered(0.2, 0.0), 'excess_bits': flat}, 'refuted'),
  ({'order_counted': ordered(0.2, 0.0)}, 'inconclusive'),
  ({'excess_bits': flat}, 'conditional'),
  # Only the first step counts.
  ({'excess_bits': lambda run: 0.5 if run['n_layers'] == 1 else 0.1},
   'conditional'),
  ({'interchange_normalised': lambda run: 0.5}, 'conditional'),
  ({'interchange_normalised': lambda run: 0.5 + run['seed'] % 2 / 5},
   'inconclusive'),
  ({'interchange_ceiling': lambda run: 0.7}, 'invalid'),
  ({'learned_share': lambda run: 0.3}, 'invalid'),
  ({'learned_share': ordered(0.9, 0.1)}, 'invalid'),
  ({'highest_decodability': lambda run: 0.3}, 'invalid')])
def test_what_decides(values, verdict, tmp_path):
  plan = planting.depth(tmp_path, strata=('hierarchy',))
  stratum, = [s for s in planting.judged(
    plan, planting.plant(plan, values)).strata if s.name == 'hierarchy']
  assert stratum.verdict == verdict
