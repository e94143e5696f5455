"""Composition: arms that are matched as they say, and curves that decide."""

import functools

import jax
import numpy as np
import planting
import pytest

import model
from experiments.claims.depth import composition, links
from experiments.runs.subject import Subject
from experiments.sweeps import overrides
from experiments.sweeps.task import Train
from model import count
from train import programs


def arms(preset):
  """The first config of each condition, by arm and layer count and width."""
  found = {}
  for cell in composition.sweep(preset, {}):
    config = programs.complete(cell.config)
    found.setdefault(
      (cell.arm, config.model.n_layers, config.model.d_model), config)
  return found


@pytest.mark.parametrize('preset', ['cpu', 'cpu-long'])
def test_arms_end_at_one_budget_after_equal_warm_up(preset):
  for (arm, *_), config in arms(preset).items():
    train, length = config.train, programs.source_of(config).length
    spent = train.steps * config.data.batch_size * count.train_flops(
      config.model, length)
    ends = {'equal_parameters': 2 * links.EARLY, 'one_layer': links.EARLY,
            'chain_of_thought': links.EARLY / 6,
            'equal_parameters_longer': composition.LONGER[preset]}
    end = ends.get(arm, composition.BUDGET)
    if (arm, config.model.n_layers) == ('plain', 2):
      end = composition.LONGER[preset]
    assert spent == pytest.approx(end, rel=0.005)
    assert round(train.warmup_fraction * train.steps) == composition.WARMUP
    assert train.decay == 'constant'
    assert train.steps // train.evaluate_every >= 40


def test_arms_are_as_large_as_they_say():
  found = arms('cpu-long')

  def stack(arm, n, d=32):
    return count.parameters(found[arm, n, d].model).stack

  equal, = (d for arm, _, d in found if arm == 'equal_parameters')
  wide, = (d for arm, _, d in found if arm == 'wide')
  assert stack('equal_parameters', 1, equal) == pytest.approx(
    stack('plain', 2), rel=0.03)
  assert stack('wide', 1, wide) == pytest.approx(stack('plain', 3), rel=0.03)
  assert stack('looped', 3) == stack('one_layer', 1)
  for ladder in ('one_layer', 'one_layer_longer'):
    assert {d for arm, _, d in found if arm == ladder} == {32, 64, 128}


@pytest.mark.parametrize(('one', 'two', 'verdict'), [
  (1.5e11, 1.5e11, 'refuted'), (2.2e11, 5e10, 'conditional')])
def test_equal_prices_are_no_support(one, two, verdict, tmp_path):
  def accuracy(run, hops, step=planting.STEPS):
    needed = {1: 0, 2: one if run['n_layers'] == 1 else two, 4: 4e11}[hops]
    written = run['arm'] == 'chain_of_thought'
    spent = run['train_flops'] * step / planting.STEPS
    return 0.98 if spent >= needed or written else 0.3

  plan = planting.depth(tmp_path, strata=('composition',))
  rows = planting.plant(plan, {
    'accuracy': accuracy,
    'early_accuracy': lambda run, hops: 0.5})
  stratum, = (s for s in planting.judged(plan, rows).strata
              if s.name == 'composition')
  assert stratum.verdict == verdict


def planted(steps, curve, last):
  """A run whose accuracy of 1, 2 and 4 links was this at these steps."""
  config = programs.complete(overrides.replace(
    composition.BASE, {'model.n_layers': 1, 'train.steps': steps[-1] + 10}))
  points = [{'step': step, 'loss': [1.0] * 3, 'accuracy': accuracy}
            for step, accuracy in zip(steps, curve, strict=True)]
  scores = {'loss': np.ones(3), 'accuracy': np.array(last)}
  initial = functools.partial(model.init, config.model, jax.random.key(0))
  return Subject('planted', Train(config), scores, points=points,
                 initial=initial)


def test_solved_is_two_evaluations_in_a_row():
  run = planted([10, 20, 30, 40], [
    [0.95, 0.95, 0.1], [0.95, 0.5, 0.2], [0.95, 0.95, 0.3], [0.5, 0.5, 0.89]],
    last=[0.5, 0.95, 0.95])
  rows = links.measure(run)
  solved = {r.where['hops']: r.value for r in rows if r.metric == 'solved'}
  assert solved == {1: 1.0, 2: 0.0, 4: 0.0}
  four = {r.where.get('step'): r.value for r in rows
          if r.metric == 'accuracy' and r.where['hops'] == 4}
  assert four == {10: 0.1, 20: 0.2, 30: 0.3, 40: 0.89, 50: 0.95, None: 0.95}
  shortcut = {r.where['hops']: r.value for r in rows
              if r.metric == 'shortcut_accuracy'}
  assert shortcut[1] == 1.0
  assert shortcut[4] < 0.2
