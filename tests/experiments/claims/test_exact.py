"""The exact claims: what each property says, and that each can fail."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import planting
import polars as pl
import pytest

from data.errors import InputError
from data.text.tokenizer import ByteTokenizer
from experiments.claims.exact import (
  EXPERIMENT,
  activation,
  counterexample,
  heads,
  layer,
  operations,
  order,
  round_trip,
  scores,
  softmax,
  words,
)
from experiments.judge.samples import MissingMeasurement
from experiments.report import figures
from experiments.sweeps import plan
from model import POSITIONS


def table(stratum, measured):
  """Rows of the results table: those of each arm."""
  return pl.DataFrame(
    [{'stratum': stratum, 'arm': arm, 'metric': row.metric,
      'value': float(row.value), **row.where}
     for arm, rows in measured.items() for row in rows],
    infer_schema_length=None)


def check(part, name, rows):
  """The counterexample to a property of a stratum; '' where it holds."""
  return {own.name: own for own in part.declare('cpu').properties
          }[name].check(rows)


# What the strata read, as it is expected.
EXPECTED = {
  'sum_error_over_bound': 0.1, 'least_probability': 0.0,
  'changed_by_a_shift': 0.0, 'changed_by_a_second_softmax': 0.5,
  'spread_of_log_probability_less_logit': 1e-7, 'largest_logit_over_scale': 1.0,
  'away_from_one_matrix': 1e-7, 'second_difference': 1.0,
  'away_from_formula': 1e-7,
  'output_moved_by_other_values': 1.0, 'scores_moved_by_other_values': 0.0,
  'strings_lost': 0.0, 'ids_of_no_byte': 0.0,
  'bits_that_differ': 0.0, 'bytes_in_memory_over_allowed': 0.9,
  'share_of_the_model_in_memory': 0.2, 'change_without_it': 1.0,
}
BY_LENGTH = {
  ('attention', 'path_through_layers'): lambda T: 10,
  ('attention', 'path'): lambda T: 10, ('attention', 'layers'): lambda T: 1,
  ('attention', 'path_of_trees'): lambda T: 16 + 2 * np.log2(T),
  ('attention', 'operations'): lambda T: T**2,
  ('gru', 'path'): lambda T: 2 + 10 * T,
  ('linear_recurrence', 'path'): lambda T: 17 + 5 * np.log2(T),
  ('convolution', 'layers'): lambda T: T // 2,
  ('dilated_convolution', 'layers'): lambda T: np.ceil(np.log(T) / np.log(3)),
}


BY_HEADS = {
  'path': lambda count: 10, 'operations': lambda count: 1e6 * count,
  'path_of_trees': lambda count: 37 - np.log2(count),
}


def planted(of, changes=()):
  """A table of the numbers that are read, as expected.

  Args:
    of: the plan.
    changes: others, by (arm or stratum, metric); functions of T where it grows.
  """
  changes, new = dict(changes), []
  for run in planting.blank(of).to_dicts():
    arm = run['arm']
    blind = arm == 'causal, n = 1' or arm in order.BLIND
    values = {
      **EXPECTED, 'change': 1e-6 if blind else 1.0,
      'sum_error': 1.0 if arm == 'float16' else 1e-7,
      **{metric: value for (where, metric), value in changes.items()
         if where in (arm, run['stratum']) and not callable(value)}}
    new += [{**run, 'metric': metric, 'value': value}
            for metric, value in values.items()]
    if arm == 'ring':
      new += [{**run, 'metric': 'change_by_a_shift', 'ends': ends,
               'value': value} for ends, value in (('zeros', 1.0),
                                                   ('closed', 0.0))]
    new += [{**run, 'metric': metric, 'T': T,
             'value': float(changes.get((arm, metric), grown)(T))}
            for (mixer, metric), grown in BY_LENGTH.items() if mixer == arm
            for T in operations.LENGTHS]
    if run['stratum'] == 'activation':
      new += [{**run, 'metric': 'largest_size', 'inputs_up_to': int(furthest),
               'value': 6.0 if arm in activation.BOUNDED else furthest}
              for furthest in activation.FURTHEST]
    new += [{**run, 'metric': metric, 'heads': count,
             'value': float(changes.get(('heads', metric), grown)(count))}
            for metric, grown in BY_HEADS.items() if arm == heads.ARM
            for count in heads.HEADS]
  return pl.DataFrame(new, infer_schema_length=None)


def judged(of, changes=()):
  return {stratum.name: stratum for stratum in planting.judged(
    of, planted(of, changes)).strata}


@pytest.fixture
def exact(tmp_path):
  return plan.make(EXPERIMENT, 'cpu', (), {}, tmp_path)


def test_what_is_expected_is_judged_as_the_readings_say(exact):
  strata = judged(exact)
  assert {name: own.verdict for name, own in strata.items()} == {
    'softmax': 'conditional', 'operations': 'conditional',
    'heads': 'refuted', 'order': 'conditional', 'scores': 'refuted',
    'activation': 'conditional', 'round_trip': 'supported',
    'streaming': 'conditional'}
  assert {stratum.tier for stratum in strata.values()} == {'E0'}
  assert {own.name for stratum in strata.values() for own in stratum.properties
          if own.state == 'fails' and stratum.verdict != 'refuted'
          and not own.name.startswith('literal')
          } == {'stricter: constant, sums as trees'}


def test_each_line_of_words_has_its_own_verdict(exact):
  strata = judged(exact)
  told = [words.readings(stratum) for stratum in strata.values()]
  line = re.compile(r'[^:]+ \([AB]\d+\): (supported|refuted|conditional)')
  assert all(map(line.match, told))
  assert strata['scores'].properties[0].counterexample == (
    'same scores, output moves by 1')
  assert 'conditional, in the charitable reading only. ' in told[0]


@pytest.mark.parametrize(('stratum', 'changes', 'verdict'), [
  ('softmax', {('float16', 'sum_error'): 1e-7}, 'supported'),
  ('softmax', {('float32', 'sum_error_over_bound'): 1.1}, 'refuted'),
  ('softmax', {('float32', 'least_probability'): -1.0}, 'inconclusive'),
  ('operations', {('attention', 'path'): lambda T: T}, 'refuted'),
  ('operations', {('gru', 'path'): lambda T: 10}, 'inconclusive'),
  ('operations', {('linear_recurrence', 'path'): lambda T: T}, 'conditional'),
  ('heads', {('heads', 'path'): lambda heads: 17 - heads}, 'supported'),
  ('heads', {('heads', 'operations'): lambda heads: 17 - heads},
   'inconclusive'),
  ('order', {('causal, n = 2', 'change'): 1e-6}, 'supported'),
  ('order', {('bidirectional, n = 1', 'change'): 0.1}, 'refuted'),
  ('order', {('gru', 'change'): 1e-6}, 'inconclusive'),
  ('scores', {('scores', 'output_moved_by_other_values'): 1e-6}, 'supported'),
  ('scores', {('scores', 'scores_moved_by_other_values'): 1e-6}, 'invalid'),
  ('activation', {('gelu', 'second_difference'): 0.0}, 'refuted'),
  ('activation', {('identity', 'away_from_one_matrix'): 1.0}, 'inconclusive'),
  ('round_trip', {('bpe', 'strings_lost'): 1.0}, 'refuted'),
  ('streaming', {('gru', 'bits_that_differ'): 1.0}, 'invalid'),
  ('streaming', {('gru', 'bytes_in_memory_over_allowed'): 1.01}, 'invalid'),
  ('streaming', {('gru', 'change_without_it'): 0.0}, 'refuted')])
def test_what_it_decides_on_decides(stratum, changes, verdict, exact):
  assert judged(exact, changes)[stratum].verdict == verdict


def test_growth_is_drawn(exact):
  rows = planted(exact)
  part = EXPERIMENT.part('operations')
  drawn, = figures.of_part(rows, part, judged(exact)['operations'])
  assert drawn.rows == 2 * len(operations.LENGTHS)
  assert '1024' in drawn.svg
  assert 'mathdefault' not in drawn.svg


def test_a_naive_softmax_in_half_precision_is_caught():
  def naive(z_V):
    return jnp.exp(z_V) / jnp.exp(z_V).sum()

  rows = table('softmax', {'float16': softmax.probabilities('float16', naive)})
  assert check(softmax.PART, 'sum', rows).startswith('float16, V = 2, logits')
  assert 'V = ' in check(softmax.PART, 'shift', rows)


def test_float16_cannot_hold_the_sum_of_a_large_vocabulary():
  rows = table('softmax', {name: softmax.probabilities(name)
                           for name in ('float32', 'float16')})
  every = 'literal: the sum in every precision'
  assert check(softmax.PART, every, rows) == (
    'float16, V = 152000, logits = equal: sum error 1')
  assert not check(softmax.PART, every, rows.filter(arm='float32'))
  # Where the bound is above one percent it is not asked for.
  assert rows.filter(metric='sum_error_over_bound', arm='float16'
                     )['V'].unique().to_list() == [2]


def test_a_gru_that_is_called_constant_is_refused():
  gru = operations.mixer('gru')
  rows = table('operations', {'attention': [
    row for T in (16, 64) for row in operations.program(gru, T, {'T': T})]})
  assert check(operations.PART, 'attention is constant', rows) == (
    'attention, T = 64: path 642, and 162 at T = 16')


def test_attention_that_is_called_a_recurrence_is_refused():
  attention = operations.mixer('attention')
  rows = table('operations', {'gru': [
    row for T in (16, 64) for row in operations.program(
      attention, T, {'T': T})]})
  assert check(operations.PART, 'gated recurrence in proportion', rows) == (
    'gru: path 10 at T = 16 and 10 at T = 64, which grows as T^0')


@pytest.mark.parametrize(('kind', 'expected'), [
  ('attention', {2: 1, 27: 1, 32: 1}), ('gru', {2: 1, 27: 1, 32: 1}),
  ('convolution', {2: 1, 3: 1, 4: 2, 27: 13, 32: 16}),
  ('dilated_convolution', {2: 1, 3: 1, 4: 2, 9: 2, 10: 3, 27: 3})])
def test_layers_that_the_first_position_needs(kind, expected):
  found = operations.layers(kind, 32)
  assert {T: found[T] for T in expected} == expected


def test_positions_make_a_model_see_the_order():
  rows = table('order', {arm: order.permuted(layer.config(
    position=POSITIONS[position](), mask='bidirectional',
    max_length=order.LENGTH))
    for arm, position in zip(order.BLIND, ('none', 'learned'))})
  assert not check(order.PART, f'blind: {order.BLIND[0]}', rows)
  told = check(order.PART, f'blind: {order.BLIND[1]}', rows)
  assert told.startswith(f'{order.BLIND[1]}, weights = ')


def test_a_causal_layer_sees_no_order_and_two_do():
  one, two = (max(row.value for row in order.permuted(
    layer.config(n_layers=n, max_length=order.LENGTH))) for n in (1, 2))
  assert one < 1e-5 < 1e-3 < two


def test_an_activation_that_is_called_the_identity_is_refused():
  rows = table('activation', {
    name: activation.collapse(name) for name in ('identity', 'gelu')})
  assert not check(activation.PART, 'identity is one matrix', rows)
  called = rows.with_columns(
    arm=pl.col('arm').replace({'gelu': 'identity'}))
  assert check(activation.PART, 'identity is one matrix',
               called).startswith('identity, weights = ')


def test_a_range_is_bounded_whatever_its_size():
  rows = table('activation', {
    'tanh': activation.reach(jax.nn.relu6),
    'sigmoid': activation.reach(jax.nn.sigmoid)})
  assert rows.filter(arm='tanh')['value'].to_list() == [6.0, 6.0]
  assert not check(activation.PART, 'some clamp', rows)
  relu = table('activation', {'relu': activation.reach(jax.nn.relu)})
  assert check(activation.PART, 'literal: every activation clamps', relu) == (
    'relu, inputs up to = 10,000: largest size 10,000, and 100 at inputs up '
    'to = 100')


def test_the_feed_forward_reads_the_stream_and_no_scores():
  rows = table('scores', {'block': scores.block('gelu')})
  assert not check(scores.PART, 'it reads the stream', rows)
  told = check(scores.PART, 'it processes the scores', rows)
  assert re.fullmatch(r'same scores, output moves by \d\.\d+', told)
  same, = scores.PART.declare('cpu').controls
  assert same.measure(rows) == 0


class Lowering(ByteTokenizer):
  """Loses capitals, and refuses what has a Greek letter."""

  def encode(self, text):
    if 'λ' in text:
      raise InputError('no Greek')
    return super().encode(text.lower())


def test_a_tokenizer_that_loses_capitals_is_caught():
  rows = table('round_trip', {'bytes': round_trip.lost(
    Lowering(), ['abc', 'aBc', 'λ', ''])})
  assert check(round_trip.PART, 'round trip', rows) == (
    "bytes, first = 'aBc': strings lost 2")


def test_pieces_spell_what_they_never_saw_in_bytes():
  rows = table('round_trip', {'bpe': round_trip.lost(
    round_trip.opened('bpe'), round_trip.strings(200))})
  assert not check(round_trip.PART, 'round trip', rows)
  assert not check(round_trip.PART, 'no unknown', rows)
  shared = rows.filter(metric='share_of_single_bytes')['value'].item()
  assert 0.5 < shared < 1


def test_no_number_is_no_property():
  rows = table('softmax', {'float32': softmax.probabilities('float32')})
  with pytest.raises(MissingMeasurement, match='logit_over_scale was not'):
    check(softmax.PART, 'unbounded', rows)
  with pytest.raises(MissingMeasurement, match='at one V alone'):
    counterexample.curve(rows.filter(V=2), 'changed_by_a_shift', {}, 'V')


def test_what_is_no_number_is_beyond_any_bound():
  rows = table('softmax', {'float32': [
    softmax.Row('sum_error', value) for value in (0.0, np.nan)]})
  assert counterexample.beyond(rows, 'sum_error', at_most=1.0) == (
    'float32: sum error –')
