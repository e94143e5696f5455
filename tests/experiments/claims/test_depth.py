"""The depth claim's plan is what its cards say, and it is declared whole."""

import collections

import pytest

from experiments.claims import depth
from experiments.judge.declaration import declaration_hash
from experiments.sweeps import plan
from experiments.sweeps.identity import run_id
from model import count


def expanded(preset, tmp_path):
  made = plan.make('depth', preset, [], {}, tmp_path)
  runs = collections.defaultdict(set)
  for cell in made.cells:
    key = (cell.stratum, cell.arm, cell.config.model.n_layers)
    runs[key].add(run_id(cell.config))
  return {key: len(ids) for key, ids in runs.items()}


def test_cpu_plan(tmp_path):
  assert expanded('cpu', tmp_path) == {
    ('composition', 'plain', 1): 5, ('composition', 'plain', 2): 5,
    ('composition', 'plain', 3): 5, ('composition', 'wide', 1): 5,
    ('composition', 'looped', 3): 3,
    ('composition', 'chain_of_thought', 1): 3,
    **dict.fromkeys((('hierarchy', 'l = 3', n) for n in (1, 2, 3, 4)), 5),
    **dict.fromkeys((('text', arm, n) for n in (1, 4, 12) for arm in (
      'fixed width', 'matched parameters')), 5),
  }


def test_accelerator_plan_is_the_published_one(tmp_path):
  found = expanded('accelerator', tmp_path)
  for heads in (4, 8):
    runs = {k[2]: n for k, n in found.items() if k[1] == f'{heads} heads'}
    assert runs == dict.fromkeys(range(1, 9), 3)
  assert {k[1] for k in found if k[0] == 'hierarchy'} == {'l = 4', 'l = 5'}
  assert max(k[2] for k in found if k[0] == 'text') == 32


def test_arms_are_matched_as_they_say(tmp_path):
  made = plan.make('depth', 'cpu', [], {}, tmp_path)

  def stack(stratum, arm, n):
    config = next(c.config for c in made.cells if (
      c.stratum, c.arm, c.config.model.n_layers) == (stratum, arm, n))
    return count.parameters(config.model).stack

  base = stack('text', 'fixed width', 4)
  for n in (1, 4, 12):
    matched = stack('text', 'matched parameters', n)
    assert matched == pytest.approx(base, rel=0.05)
  assert stack('composition', 'looped', 3) == stack('composition', 'plain', 1)
  assert stack('composition', 'wide', 1) >= 0.95 * stack(
    'composition', 'plain', 3)


@pytest.mark.parametrize('preset', depth.PRESETS)
def test_every_preset_is_declared(preset):
  claim = depth.claim(preset)
  assert [s.name for s in claim.strata] == list(depth.STRATA)
  assert len(declaration_hash(claim)) == 64
