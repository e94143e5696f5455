"""What the planned replicates cannot show is refused, with what would do."""

import dataclasses
import functools

import pytest

from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.claims.depth import EXPERIMENT as DEPTH
from experiments.commands import conclusion
from experiments.judge import attainability, samples
from experiments.judge.analyses.analysis import Design
from experiments.judge.declaration import Control, Effect, Rule, Stratum
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


def own_measure(table):
  return samples.values(table, 'loss', {'n_layers': 1})


def effect(name='gain', measure=None, **options):
  return Effect(
    name, 'Loss falls.', 'nats',
    measure or functools.partial(
      samples.paired_difference, metric='loss',
      a={'n_layers': 1, 'level': 2}, b={'n_layers': 2}),
    positive=Control('able', 'It learns.', functools.partial(
      samples.average, metric='loss', where={'n_layers': 1}), at_least=0),
    **({'smallest': 0.1} | options))


def make(runs, *effects, preset='cpu', few=4, many=8, instances=False):
  """One layer with many seeds, two with few."""
  def sweep(preset, pins):
    axis = 'data.seed' if instances else 'train.seed'
    return tuple(
      cell for n, count in ((1, many), (2, few), (3, few)) for cell in
      algebra.cells('first', 'plain', algebra.product(
        TINY, {'model.n_layers': (n,), axis: range(count)}, pins)))

  declared = Stratum(
    name='first', title='First', prediction='It falls.',
    refutation='It does not.', effects=effects,
    rule=Rule(supported=tuple((e.name, 'supported') for e in effects)))
  part = Part('first', sweep, None, lambda preset: declared)
  return plan.make(Experiment('tiny', 'Tiny', (part,)), preset, (), {}, runs)


def test_units_are_those_that_meet_every_condition(tmp_path):
  with pytest.raises(UsageError, match=(
      r'tiny \(cpu\), first, gain: 4 seeds cannot show it, .* is 0\.062, and '
      r'it needs 0\.05; 5 seeds would do')):
    conclusion.check(make(tmp_path, effect()))
  conclusion.check(make(tmp_path, effect(), few=5))
  conclusion.check(make(tmp_path, effect(measure=own_measure)))


def test_each_effect_must_be_told_on_its_own(tmp_path):
  both = effect(), effect('more')
  with pytest.raises(UsageError, match=(
      r'it needs 0\.025, as the first of 2 effects; 6 seeds would do')):
    conclusion.check(make(tmp_path, *both, few=5))
  conclusion.check(make(tmp_path, *both, few=6))


def test_two_sides_need_a_seed_more_and_instances_are_named(tmp_path):
  with pytest.raises(UsageError, match=r'5 instances .* 6 instances would do'):
    conclusion.check(make(tmp_path, effect(sided='two-sided'), few=5,
                          instances=True))
  conclusion.check(make(tmp_path, effect(sided='two-sided'), few=6,
                        instances=True))


def test_what_no_order_of_so_few_conditions_shows_is_refused(tmp_path):
  def trend(smallest):
    return effect(measure=functools.partial(
      samples.ordered, metric='loss', order=(3, 2, 1)), smallest=smallest,
      analysis='trend')

  conclusion.check(make(tmp_path, trend(0.5), few=8))
  with pytest.raises(UsageError, match=r'8 seeds cannot show it.*seeds would'):
    conclusion.check(make(tmp_path, trend(0.9), few=8))


def test_no_run_at_all_is_refused(tmp_path):
  absent = effect(measure=functools.partial(
    samples.values, metric='loss', where={'n_layers': 7}))
  with pytest.raises(UsageError, match='0 seeds cannot show it'):
    conclusion.check(make(tmp_path, absent))


def test_smoke_is_exempt_and_sealing_checks(tmp_path):
  few = make(tmp_path, effect())
  with pytest.raises(UsageError, match='would do'):
    conclusion.seal(few)
  assert not list(tmp_path.rglob('seal.json'))
  conclusion.check(dataclasses.replace(few, preset='smoke'))


def test_items_are_known_once_they_are_declared():
  def correlation(clusters):
    return effect(measure=functools.partial(
      samples.items, metrics=('near', 'far'), clusters=clusters),
      analysis='rank correlation')

  assert attainability.design(correlation(None), None) is None
  assert attainability.design(correlation(30), None) == Design(30)
  assert attainability.best_p(correlation(30), Design(30)) < 0.005
  assert attainability.best_p(correlation(3), Design(3)) > 0.02


@pytest.mark.parametrize('preset', DEPTH.presets)
def test_what_the_depth_claim_plans_can_be_shown(preset, tmp_path):
  conclusion.check(plan.make(DEPTH, preset, (), {}, tmp_path))
