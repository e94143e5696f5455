"""From a planted results table to samples."""

import itertools

import numpy as np
import polars as pl
import pytest

from experiments.judge import samples
from experiments.judge.samples import MissingMeasurement


def rows(metric, value, depths=(1, 2, 4), seeds=range(3), **places):
  """One row per depth and seed; `value` is a function of both."""
  return [{
    'stratum': 'planted', 'arm': 'plain', 'run': f'{n}-{s}', 'n_layers': n,
    'd_model': 8, 'parameters': 1, 'train_flops': 1.0, 'seed': s,
    'instance': 0, 'learning_rate': 1e-3, 'model.norm': 'rms',
    'status': 'done', 'metric': metric, 'value': float(value(n, s)), **places,
  } for n, s in itertools.product(depths, seeds)]


def frame(*groups):
  listed = [r for g in groups for r in g]
  return pl.DataFrame(listed, infer_schema_length=None)


def test_differences_are_paired_by_unit_in_any_row_order():
  # The seeds differ by far more than the depths do: only pairing shows 0.5.
  planted = rows('loss', lambda n, s: 100 * s - 0.5 * np.log2(n))
  planted = frame(planted[::-1])
  sample = samples.paired_difference(
    planted, 'loss', {'n_layers': 1}, {'n_layers': 2})
  assert sample.values == pytest.approx([0.5] * 3)
  assert sample.seeds == (0, 1, 2)


def test_a_combination_adds_metrics_within_each_unit():
  planted = frame(rows('old', lambda n, s: n + 10 * s),
                  rows('new', lambda n, s: n * n - 10 * s, level=2))
  terms = ((1.0, 'old', {'n_layers': 4}), (-1.0, 'old', {'n_layers': 1}),
           (2.0, 'new', {'n_layers': 2, 'level': 2}))
  sample = samples.combination(planted, terms)
  assert sample.values == pytest.approx([3 + 2 * (4 - 10 * s)
                                         for s in range(3)])
  fewer = planted.filter(~((pl.col('n_layers') == 2) & (pl.col('seed') == 1)))
  with pytest.raises(MissingMeasurement, match=r'seed 1 .* no run .*level=2'):
    samples.combination(fewer, terms)


def test_places_that_are_not_named_are_empty():
  planted = frame(rows('excess_bits', lambda n, s: 1 / n),
                  rows('excess_bits', lambda n, s: 7 / n, level=2))
  total = samples.average(planted, 'excess_bits', {'n_layers': 2})
  root = samples.average(planted, 'excess_bits', {'n_layers': 2, 'level': 2})
  assert (total, root) == (0.5, 3.5)


def test_a_diverged_unit_is_left_out():
  planted = rows('accuracy', lambda n, s: 0.95 if n == 4 else 0.1)
  for row in planted:
    if (row['n_layers'], row['seed']) == (4, 1):
      row |= {'status': 'diverged', 'metric': None, 'value': None}
  deep, shallow = {'n_layers': 4}, {'n_layers': 1}
  mean = samples.paired_difference(frame(planted), 'accuracy', deep, shallow)
  assert (mean.seeds, mean.excluded) == ((0, 2), 1)


def test_what_is_not_there_is_missing_not_left_out():
  planted = rows('loss', lambda n, s: n)
  with pytest.raises(MissingMeasurement, match='n_layers=3'):
    samples.average(frame(planted), 'loss', {'n_layers': 3})
  with pytest.raises(MissingMeasurement, match='no accuracy'):
    samples.average(frame(planted), 'accuracy', {'n_layers': 1})
  with pytest.raises(MissingMeasurement, match='seed 2 of instance 0'):
    samples.paired_difference(frame(planted[:-1]), 'loss',
                               {'n_layers': 1}, {'n_layers': 4})
  planted[0]['value'] = float('nan')
  with pytest.raises(MissingMeasurement, match='seed 0'):
    samples.average(frame(planted), 'loss', {'n_layers': 1})


def test_an_ambiguous_condition_is_an_error():
  planted = frame(rows('loss', lambda n, s: n))
  with pytest.raises(MissingMeasurement, match='3 numbers with any'):
    samples.average(planted, 'loss')
  with pytest.raises(MissingMeasurement, match='no loss with depth=2'):
    samples.average(planted, 'loss', {'depth': 2})
  with pytest.raises(MissingMeasurement, match=r'model\.mask is no column'):
    samples.average(planted, 'loss', {'model.mask': 'causal'})


def test_any_swept_field_and_any_place_can_be_named():
  planted = rows('loss', lambda n, s: n, depths=(1,))
  other = [row | {'model.norm': 'layer', 'value': 5.0} for row in planted]
  nearby = [row | {'method': 'probe', 'value': 7.0} for row in planted]
  for where, value in (({'model.norm': 'rms'}, 1), ({'model.norm': 'layer'}, 5),
                       ({'model.norm': 'rms', 'method': 'probe'}, 7)):
    assert samples.average(frame(planted, other, nearby), 'loss', where) == (
      value)


def test_where_every_run_diverged_no_place_is_missed():
  planted = [row | {'status': 'diverged', 'metric': None, 'value': None}
             for row in rows('loss', lambda n, s: n)]
  sample = samples.values(frame(planted), 'loss', {'n_layers': 1, 'k': 2})
  assert (len(sample.values), sample.excluded) == (0, 3)


def test_conditions_come_in_the_order_asked_for():
  planted = frame(rows('loss', lambda n, s: s + (1.0 if n == 1 else 0.0),
                       depths=(1, 2, 3, 4), seeds=range(7)))
  falling = samples.ordered(planted, 'loss', (4, 2, 1))
  assert falling.values[0].tolist() == [0, 0, 1]
  one = samples.values(planted, 'loss', {'n_layers': 1})
  assert one.values.tolist() == [1, 2, 3, 4, 5, 6, 7]
  best = samples.best(planted, 'loss', [{'n_layers': n} for n in (1, 2)])
  assert best == samples.average(planted, 'loss', {'n_layers': 1}) == 4


def curve(accuracies, n, seed, **others):
  """One run's accuracies at steps 10, 20, …, of 1 FLOP a step."""
  return [row | {'step': 10 * (i + 1), 'train_flops': 10.0 * len(accuracies),
                 **others}
          for i, accuracy in enumerate(accuracies)
          for row in rows('accuracy', lambda *_, a=accuracy: a, (n,), (seed,))]


def test_solved_is_the_first_of_two_evaluations_that_are_high():
  planted = frame(
    curve([0.1, 0.95, 0.5, 0.9, 0.9], 1, 0), curve([0.95] * 5, 2, 0),
    curve([0.1] * 4 + [0.95], 1, 1),
    curve([0.1, 0.95, 0.92, 0.1, 0.1], 2, 1))
  sample = samples.time_to_solve(planted, 'accuracy', {'n_layers': 1},
                                 {'n_layers': 2})
  assert sample.values.tolist() == [[40, 10], [np.inf, 20]]
  assert sample.budgets == (50, 50)
  lost = frame(curve([0.95] * 5, 2, 0), curve(
    [0.0], 1, 0, status='diverged', train_flops=50.0))
  assert samples.time_to_solve(
    lost, 'accuracy', {'n_layers': 1}, {'n_layers': 2}
  ).values.tolist() == [[np.inf, 10]]


def test_times_to_solve_need_evaluations_pairs_and_one_budget():
  arms = {'n_layers': 1}, {'n_layers': 2}

  def times(*curves):
    return samples.time_to_solve(frame(*curves), 'accuracy', *arms)

  both = curve([0.95] * 5, 1, 0), curve([0.95] * 5, 2, 0)
  with pytest.raises(MissingMeasurement, match='different seeds'):
    times(*both, curve([0.95] * 5, 2, 1))
  with pytest.raises(MissingMeasurement, match='different FLOPs'):
    times(*both, curve([0.95] * 9, 2, 1))
  with pytest.raises(MissingMeasurement, match='at two steps'):
    times(both[0], curve([0.95], 2, 0))
  with pytest.raises(MissingMeasurement, match='no run has n_layers=2'):
    times(both[0])


def test_items_are_averaged_over_runs_and_keep_their_clusters():
  planted = [
    row for item in range(3) for metric, scale in (('near', 1), ('far', -1))
    for row in rows(metric, lambda n, s, i=item, k=scale: k * i + s,
                    depths=(1,), seeds=(0, 2), item=f'w{item}',
                    cluster=item // 2)]
  sample = samples.items(frame(planted), ('near', 'far'), cluster='cluster')
  assert sample.values.tolist() == [[1, 1], [2, 0], [3, -1]]
  assert sample.clusters == (1, 1, 2)
  assert sample.seeds == (0, 2)
  own = samples.items(frame(planted), ('near', 'far'),
                      {'n_layers': 1, 'cluster': 0})
  assert (len(own.values), own.clusters) == (2, (1, 2))
  with pytest.raises(MissingMeasurement, match='some item has none'):
    samples.items(frame(planted[:-2]), ('near', 'far'), cluster='cluster')
  with pytest.raises(MissingMeasurement, match='some pair has none'):
    samples.items(frame(planted), ('near', 'far'), item='pair')


def paired_items(worlds=4):
  """Three items in each world, two numbers each."""
  return [row for world in range(worlds) for item in range(3)
          for metric in ('near', 'far')
          for row in rows(metric, lambda n, s, i=item: i, depths=(1,),
                          seeds=(world,), item=10 * world + item)]


@pytest.mark.parametrize('value', [np.nan, np.inf, None])
def test_an_item_without_a_finite_number_is_missing(value):
  planted = paired_items()
  planted[3]['value'] = value
  with pytest.raises(MissingMeasurement, match='seed 0 of instance 0 has no '
                     'far'):
    samples.items(frame(planted), ('near', 'far'))


def test_units_that_diverged_are_counted_where_items_are_what_counts():
  planted = paired_items()
  lost = [row | {'status': 'diverged', 'metric': None, 'value': None,
                 'item': None} for row in planted[6:18:6]]
  sample = samples.items(frame(planted[:6] + lost + planted[18:]),
                         ('near', 'far'))
  assert (sample.excluded, sample.seeds) == (2, (0, 3))
  assert len(sample.values) == 6
  # What was measured of one before it diverged is left out.
  after = [row | {'status': 'diverged'} for row in planted[:6]]
  assert samples.items(frame(after + planted[6:]), ('near', 'far')
                       ).seeds == (1, 2, 3)
  none = samples.items(frame(lost), ('near', 'far'))
  assert (none.excluded, none.values.shape) == (2, (0, 2))


def test_a_unit_without_items_is_missing():
  bare = rows('loss', lambda n, s: 1, depths=(1,), seeds=(7,))
  with pytest.raises(MissingMeasurement, match='seed 7 of instance 0 has no '
                     'item'):
    samples.items(frame(paired_items(), bare), ('near', 'far'))
