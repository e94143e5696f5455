"""The exact claims: what each property says, and that each can fail."""

import functools

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
  counterexample,
  feed_forward,
  layer,
  operations,
  order,
  round_trip,
  softmax,
  streaming,
)
from experiments.judge.samples import MissingMeasurement
from experiments.report import figures
from experiments.runs.store import PARAMS, Store
from experiments.sweeps import plan


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
  'sum_error_over_bound': 0.1, 'sum_error': 1e-7, 'least_probability': 0.0,
  'changed_by_a_shift': 0.0, 'changed_by_a_second_softmax': 0.5,
  'spread_of_log_probability_less_logit': 1e-7, 'largest_logit_over_scale': 1.0,
  'sum_of_logits': -7.0,
  'away_from_one_matrix': 1e-7, 'second_difference': 1.0,
  'away_from_formula': 1e-7, 'away_from_formula_of_scores': 1.0,
  'output_moved_by_other_values': 1.0, 'scores_moved_by_other_values': 0.0,
  'strings_lost': 0.0, 'ids_of_no_byte': 0.0, 'strings': 10_000.0,
  'ids_without_embedding': 0.0,
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
      'largest_size': 1.0 if arm in feed_forward.BOUNDED else 1000.0,
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
    if arm == operations.BY_HEADS:
      new += [{**run, 'metric': 'path', 'heads': heads, 'value': 10.0}
              for heads in operations.HEADS]
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
    'order': 'conditional', 'feed_forward': 'conditional',
    'round_trip': 'supported', 'streaming': 'conditional'}
  assert {stratum.tier for stratum in strata.values()} == {'E0'}
  assert {own.name for stratum in strata.values() for own in stratum.properties
          if own.state == 'fails' and not own.name.startswith('literal')
          } == set()


@pytest.mark.parametrize(('stratum', 'changes', 'verdict'), [
  ('softmax', {('softmax', 'sum_of_logits'): 1.0}, 'supported'),
  ('softmax', {('softmax', 'sum_of_logits'): 1.0,
               ('float16', 'sum_error'): 1.0}, 'refuted'),
  ('softmax', {('float32', 'sum_error_over_bound'): 4.1}, 'refuted'),
  ('operations', {('attention', 'path'): lambda T: T,
                  ('gru', 'path'): lambda T: 10}, 'refuted'),
  ('order', {('causal, n = 2', 'change'): 1e-6}, 'supported'),
  ('order', {('bidirectional, n = 1', 'change'): 0.1}, 'refuted'),
  ('feed_forward', {('gelu', 'second_difference'): 0.0}, 'refuted'),
  ('round_trip', {('bpe', 'strings_lost'): 1.0}, 'refuted'),
  ('streaming', {('gru', 'bits_that_differ'): 1.0}, 'refuted'),
  ('streaming', {('streaming', 'share_of_the_model_in_memory'): 1.1},
   'supported')])
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
  assert check(softmax.PART, 'sum in every precision', rows) == (
    'float16, V = 152000, logits = equal: sum error 1')
  assert not check(softmax.PART, 'sum in every precision',
                   rows.filter(arm='float32'))


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
    position=position, mask='bidirectional', max_length=order.LENGTH))
    for arm, position in zip(order.BLIND, ('none', 'learned'))})
  assert not check(order.PART, f'blind: {order.BLIND[0]}', rows)
  told = check(order.PART, f'blind: {order.BLIND[1]}', rows)
  assert told.startswith(f'{order.BLIND[1]}, weights = ')


def test_a_causal_layer_sees_no_order_and_two_do():
  one, two = (max(row.value for row in order.permuted(
    layer.config(n_layers=n, max_length=order.LENGTH))) for n in (1, 2))
  assert one < 1e-5 < 1e-3 < two


def test_an_activation_that_is_called_the_identity_is_refused():
  rows = table('feed_forward', {
    name: feed_forward.collapse(name) for name in ('identity', 'gelu')})
  assert not check(feed_forward.PART, 'identity is one matrix', rows)
  called = rows.with_columns(
    arm=pl.col('arm').replace({'gelu': 'identity'}))
  assert check(feed_forward.PART, 'identity is one matrix',
               called).startswith('identity, weights = ')


def test_the_feed_forward_reads_values_and_no_scores():
  rows = table('feed_forward', {'block': feed_forward.block('gelu')})
  for name in ('it is W2 act(W1 x + b1) + b2', 'the values matter',
               'the scores are the same'):
    assert not check(feed_forward.PART, name, rows)
  assert check(feed_forward.PART, 'literal: it processes the scores', rows)


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
  assert check(round_trip.PART, 'enough strings', rows) == 'bytes: strings 4'


def test_pieces_spell_what_they_never_saw_in_bytes():
  rows = table('round_trip', {'bpe': round_trip.lost(
    round_trip.opened('bpe'), round_trip.strings(200))})
  assert not check(round_trip.PART, 'round trip', rows)
  assert not check(round_trip.PART, 'no unknown', rows)
  shared = rows.filter(metric='share_of_single_bytes')['value'].item()
  assert 0.5 < shared < 1


def test_streaming_is_exact_and_loading_all_is_seen(tmp_path):
  config = layer.config(n_layers=8, d_model=128, vocab_size=2048)
  store = Store(tmp_path)
  store.keep_params('model', jax.device_get(layer.draw(config, 0)))
  path = store.run('model') / PARAMS

  def rounded(*given):
    return streaming.stream(*given).astype(np.float16).astype(np.float32)

  rows = {name: table('streaming', {'attention': streaming.compared(
    config, path, run)}) for name, run in (
      ('streamed', streaming.stream), ('loaded', streaming.whole),
      ('rounded', rounded))}
  ask = functools.partial(check, streaming.PART)
  for name in ('the same bits', 'one layer at a time',
               'every layer is needed'):
    assert not ask(name, rows['streamed'])
  assert ask('literal: all at once', rows['streamed'])
  assert ask('one layer at a time', rows['loaded']).startswith('attention: ')
  assert not ask('literal: all at once', rows['loaded'])
  assert ask('the same bits', rows['rounded']).startswith('attention: bits')


def test_no_number_is_no_property():
  rows = table('softmax', {'float32': softmax.probabilities('float32')})
  with pytest.raises(MissingMeasurement, match='sum_of_logits was not taken'):
    check(softmax.PART, 'literal: the softmax results in logits', rows)
  with pytest.raises(MissingMeasurement, match='at one V alone'):
    counterexample.curve(rows.filter(V=2), 'changed_by_a_shift', {}, 'V')


def test_what_is_no_number_is_beyond_any_bound():
  rows = table('softmax', {'float32': [
    softmax.Row('sum_error', value) for value in (0.0, np.nan)]})
  assert counterexample.beyond(rows, 'sum_error', at_most=1.0) == (
    'float32: sum error –')
