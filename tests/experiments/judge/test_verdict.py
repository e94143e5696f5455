"""Every verdict is reached, by planted data and for the stated reason."""

import dataclasses
import functools
import json

import numpy as np
import polars as pl
import pytest

from experiments.judge import samples, table, verdict
from experiments.judge.declaration import (
  Claim,
  Control,
  Effect,
  Property,
  Rule,
  Stratum,
)
from experiments.judge.seal import Amendment, Late, Sealed

NOISE = np.array([-0.02, 0.01, 0.02, -0.01, 0.015, -0.015, 0.005, -0.005])

GAIN = functools.partial(samples.paired_difference, metric='loss',
                         a={'n_layers': 1}, b={'n_layers': 4})
TREND = functools.partial(samples.ordered, metric='loss', order=(4, 2, 1))
SHALLOW = functools.partial(samples.average, metric='loss',
                            where={'n_layers': 1})


ABLE = Control('able', 'One layer has a loss that training gives.', SHALLOW,
               at_most=2)


def stratum(name, tier='E1'):
  return Stratum(
    name=name, title=name.capitalize(), prediction='Loss falls.',
    refutation='It does not.',
    effects=(Effect(
      'gain', 'Loss falls from n = 1 to n = 4.', 'nats', GAIN, smallest=0.1,
      positive=ABLE), Effect(
      'order', 'Loss falls with n.', 'correlation', TREND, smallest=0.5,
      analysis='trend', positive=ABLE)),
    rule=Rule(supported=(('gain', 'supported'), ('order', 'supported')),
              refuted=(('gain', 'equivalent'),),
              conditional=(('gain', 'supported'),
                           ('order', 'not supported'))), tier=tier)


CLAIM = Claim('depth', 'Depth', 'Layers give depth.', 'literal',
              (stratum('trees'), stratum('text')))


def rows(name, losses, seeds=8):
  """Runs at n = 1, 2, 4, whose losses are those given plus noise."""
  return [{
    'stratum': name, 'arm': 'plain', 'run': f'{n}-{s}', 'n_layers': n,
    'd_model': 8, 'parameters': 1, 'train_flops': 1.0, 'seed': s,
    'instance': s, 'learning_rate': 1e-3, 'status': 'done', 'metric': 'loss',
    'value': loss + float(NOISE[(3 * s + n) % 8]) + 0.1 * s,
  } for n, loss in zip((1, 2, 4), losses) for s in range(seeds)]


FALLS = (1.0, 0.7, 0.5)
FLAT = (1.0, 1.0, 1.0)
RISES = (1.0, 1.3, 1.5)
DIPS = (1.0, 0.2, 0.5)  # lower at n = 4 than at 1, but not in order


def judge(trees, text, **options):
  planted = pl.DataFrame(
    [*trees, *text], schema={**table.RUN, **table.OUTCOME}, orient='row')
  planned = {'trees': len(trees), 'text': len(text)}
  claim = options.pop('claim', CLAIM)
  return verdict.judge(claim, planted, **{
    'planned': planned, 'commit': 'abc', 'smoke': False,
    'sealed': Sealed('9f' * 32), **options})


def test_supported():
  result = judge(rows('trees', FALLS), rows('text', FALLS))
  assert result.verdict == 'supported'
  assert result.reason == 'Supported on trees and text.'
  assert result.evidence == 'verdict'
  gain = result.strata[0].effects[0]
  assert gain.estimate == pytest.approx(0.5, abs=0.02)
  assert gain.low > 0.1
  assert (gain.seeds, gain.instances, len(gain.values)) == (1, 8, 8)
  assert 'beyond the smallest effect of interest 0.1' in (
    result.strata[0].reason)
  assert result.headline == 'supported'


def test_refuted_by_what_was_declared_to_refute():
  result = judge(rows('trees', FLAT), rows('text', FLAT))
  assert result.verdict == 'refuted'
  assert result.reason == 'Refuted on trees and text.'
  assert 'shown to lie between −0.1 and 0.1, ' in result.strata[0].reason


def test_the_opposite_is_a_state_and_refutes_where_a_rule_asks_for_it():
  result = judge(rows('trees', RISES), rows('text', RISES))
  assert [e.state for e in result.strata[0].effects] == ['opposite'] * 2
  assert result.verdict == 'inconclusive'
  assert 'opposite and beyond −0.1' in result.strata[0].reason


def test_conditional_when_strata_disagree():
  result = judge(rows('trees', FALLS), rows('text', FLAT))
  assert result.verdict == 'conditional'
  assert result.reason == 'Supported on trees; refuted on text.'


def test_conditional_by_the_rule_of_a_stratum():
  result = judge(rows('trees', FALLS), rows('text', DIPS))
  assert [s.verdict for s in result.strata] == ['supported', 'conditional']
  assert result.verdict == 'conditional'


def test_inconclusive_names_the_interval_and_the_bound():
  noisy = rows('text', (1.0, 0.9, 0.85))
  for i, row in enumerate(noisy):
    row['value'] += 0.3 * (-1)**i * (row['n_layers'] == 4)
  result = judge(rows('trees', FALLS), noisy)
  assert result.verdict == 'inconclusive'
  assert result.reason == 'Supported on trees; undecided on text.'
  assert ('leaves open whether it exceeds the smallest effect of interest 0.1'
          in result.strata[1].reason)


def test_where_no_arm_is_able_nothing_is_refuted():
  untrained = tuple(loss + 5 for loss in FALLS)
  result = judge(rows('trees', FALLS), rows('text', untrained))
  assert result.verdict == 'invalid'
  assert [s.verdict for s in result.strata] == ['supported', 'invalid']
  assert 'control "able" gave 6.' in result.reason
  assert 'at most 2 is required' in result.reason


def test_incomplete_when_a_run_is_missing():
  text = rows('text', FALLS)
  text[3] |= {'status': 'missing', 'metric': None, 'value': None}
  result = judge(rows('trees', FALLS), text)
  assert result.verdict == 'incomplete'
  assert result.reason == (
    'Incomplete on text: 1 of 24 runs is missing or not measured.')
  trees, text = result.strata
  assert (trees.verdict, trees.missing) == ('supported', 0)
  assert (text.cells, text.missing, text.effects) == (24, 1, ())


def test_incomplete_when_the_table_holds_less_than_was_planned():
  trees, text = rows('trees', FALLS), rows('text', FALLS)
  planned = {'trees': 24, 'text': 30}
  result = judge(trees, text, planned=planned)
  assert result.verdict == 'incomplete'
  assert result.strata[1].missing == 6
  assert judge(trees, []).strata[1].reason == 'No run was planned for it.'


def test_incomplete_when_a_number_was_not_measured():
  text = [r | {'metric': 'other'} if r['n_layers'] == 4 else r
          for r in rows('text', FALLS)]
  result = judge(rows('trees', FALLS), text)
  assert result.verdict == 'incomplete'
  assert 'has no loss with n_layers=4' in result.reason


def test_incomplete_goes_before_invalid():
  untrained = rows('trees', tuple(loss + 5 for loss in FALLS))
  assert judge(untrained, []).verdict == 'incomplete'


def test_a_diverged_run_is_an_outcome_and_is_told():
  text = rows('text', FALLS)
  text[3] |= {'status': 'diverged', 'metric': None, 'value': None}
  result = judge(rows('trees', FALLS), text)
  assert result.verdict == 'supported'
  assert result.strata[1].effects[0].excluded == 1
  assert result.strata[1].reason.endswith(
    '1 unit was left out because a run diverged.')


def test_few_seeds_and_smoke_presets_are_no_evidence():
  trees, text = rows('trees', FALLS), rows('text', FALLS)
  assert judge(trees, text, smoke=True).evidence == 'smoke'
  few = judge(rows('trees', FALLS, seeds=3), text)
  assert few.evidence == 'smoke'
  assert few.strata[0].verdict == 'inconclusive'
  assert ('3 independent values of gain are too few to show anything'
          in few.strata[0].reason)


def test_one_value_is_told_in_the_singular():
  one = judge(rows('trees', FALLS, seeds=1), rows('text', FALLS))
  assert ('1 independent value of gain is too few to show anything'
          in one.strata[0].reason)


@pytest.mark.parametrize(('tier', 'worlds', 'evidence'), [
  ('E1', 1, 'smoke'), ('E1', 5, 'verdict'), ('E3', 1, 'verdict')])
def test_items_are_replicates_only_where_nothing_was_trained(
    tier, worlds, evidence):
  effect = Effect(
    'near', 'Near rises with far.', 'correlation', functools.partial(
      samples.items, metrics=('near', 'far')),
    smallest=0.3, analysis='rank correlation', positive=ABLE)
  words = Stratum(
    name='words', title='Words', prediction='It rises.',
    refutation='It does not.', effects=(effect,),
    rule=Rule(supported=(('near', 'supported'),)), tier=tier)
  one = rows('words', (1.0, 1.0, 1.0), seeds=1)[0]
  table = pl.DataFrame([
    one | {'run': str(world), 'seed': world, 'instance': world,
           'metric': metric, 'value': value, 'item': 100 * world + item}
    for world in range(worlds) for item in range(30)
    for metric, value in (('near', item), ('far', item + item % 3),
                          ('loss', 1.0))])
  table = table.filter(
    (pl.col('metric') != 'loss') | (pl.col('item') % 100 == 0)
  ).with_columns(item=pl.when(pl.col('metric') != 'loss').then('item'))
  result = verdict.judge(
    Claim('words', 'Words', 'They rise.', 'literal', (words,)), table,
    {'words': worlds}, 'abc', smoke=False, sealed=Sealed('9f'))
  assert result.verdict == 'supported'
  assert result.strata[0].effects[0].replicates == 30 * worlds
  assert result.evidence == evidence


def test_no_verdict_when_the_declaration_changed():
  result = judge(rows('trees', FALLS), rows('text', FALLS), sealed=Sealed(
    '9f', ('trees: its cells and effects',)))
  assert result.verdict == 'invalid'
  assert ('declaration changed after the first run (trees: its cells and '
          'effects)') in result.reason
  assert all(not s.effects for s in result.strata)


def test_a_verdict_on_a_part_says_so():
  result = judge(rows('trees', FALLS), [], planned={'trees': 24})
  assert (result.verdict, result.partial) == ('supported', True)
  assert result.left_out == ('text',)
  assert result.reason == 'Supported on trees only; text was not run.'
  assert result.headline == 'supported on trees only'
  assert [s.verdict for s in result.strata] == ['supported', 'not run']


def test_an_undecided_part_says_what_else_was_not_run():
  result = judge(rows('trees', DIPS), [], planned={'trees': 24})
  assert result.reason.startswith('True only under conditions on trees ')
  assert result.reason.endswith('; text was not run.')


def test_what_is_optional_and_not_asked_for_is_not_missed():
  result = judge(rows('trees', FALLS), [], planned={'trees': 24},
                 optional=('text',))
  assert (result.partial, result.left_out) == (False, ())
  assert result.reason == 'Supported on trees.'
  assert result.strata[1].verdict == 'not run'


def test_an_amended_measurement_is_told_where_it_was_judged():
  amended = Sealed('9f', (), (Amendment('2026-01-02T03', 'trees', 'a', 'b'),))
  trees, text = rows('trees', FALLS), rows('text', FALLS)
  result = judge(trees, text, sealed=amended)
  assert result.headline == 'supported, amended after the first run'
  assert 'amended after the first run: a measurement was changed, that of ' in (
    result.reason)
  elsewhere = judge([], text, sealed=amended, planned={'text': 24})
  assert elsewhere.amendments == ()


def test_a_late_declaration_is_told_where_it_was_judged():
  late = Sealed('9f', late=(Late('text', 3, 24),))
  trees, text = rows('trees', FALLS), rows('text', FALLS)
  result = judge(trees, text, sealed=late)
  words = 'text declared after 3 of its 24 runs were finished'
  assert result.headline == f'supported, {words}'
  assert words in result.reason
  assert judge(trees, [], sealed=late, planned={'trees': 24}).late == ()


@pytest.mark.parametrize(('tiers', 'strong'), [
  (('E1', 'E1'), False), (('E1', 'E2'), False), (('E1', 'E3'), True),
  (('E0', 'E2'), True), (('E3', 'E3'), False)])
def test_two_tiers_of_different_kind_are_strong(tiers, strong):
  claim = dataclasses.replace(CLAIM, strata=tuple(
    stratum(name, tier) for name, tier in zip(('trees', 'text'), tiers)))
  falls = rows('trees', FALLS), rows('text', FALLS)
  result = judge(*falls, claim=claim)
  assert result.strong == strong
  assert result.headline == ('supported (strong)' if strong else 'supported')
  assert not judge(falls[0], rows('text', FLAT), claim=claim).strong


def no_rise(table):
  falling = table.sort('n_layers').group_by('seed', maintain_order=True).agg(
    pl.col('value').diff().max().alias('rise'))
  worst = falling.sort('rise').row(-1, named=True)
  return '' if worst['rise'] <= 0 else f'seed {worst["seed"]} rises'


def has_rows(table):
  return '' if table.height else 'no row'


def test_a_property_holds_or_fails_by_a_counterexample():
  exact = Stratum(
    name='trees', title='Trees', prediction='It never rises.',
    refutation='One rise.', tier='E0',
    properties=(Property('monotony', 'The loss never rises.', no_rise),
                Property('rows', 'There are rows.', has_rows)),
    rule=Rule(supported=(('monotony', 'holds'), ('rows', 'holds'))))
  claim = dataclasses.replace(CLAIM, strata=(exact,))
  result = judge(rows('trees', FALLS, seeds=1), [], claim=claim)
  assert (result.verdict, result.evidence) == ('supported', 'verdict')
  assert result.strata[0].reason == 'Monotony and rows hold.'
  failing = judge(rows('trees', DIPS, seeds=1), [], claim=claim)
  # What was not declared to refute leaves it open.
  assert failing.verdict == 'inconclusive'
  assert failing.strata[0].reason == 'Monotony fails: seed 0 rises.'
  assert failing.strata[0].properties[0].counterexample == 'seed 0 rises'

  def ruled(**lists):
    stratum = dataclasses.replace(exact, rule=dataclasses.replace(
      exact.rule, **lists))
    return judge(rows('trees', DIPS, seeds=1), [], claim=dataclasses.replace(
      claim, strata=(stratum,)))

  assert ruled(refuted=(('monotony', 'fails'),)).verdict == 'refuted'
  read = ruled(conditional=(('rows', 'holds'),))
  assert read.verdict == 'conditional'
  assert read.reason == 'True in the charitable reading only on trees.'
  assert read.strata[0].reason == 'Rows holds; monotony fails: seed 0 rises.'


def test_the_record_is_json_and_the_same_every_time():
  trees, text = rows('trees', FALLS), rows('text', DIPS)
  records = [json.dumps(dataclasses.asdict(judge(trees, text)))
             for _ in range(2)]
  assert records[0] == records[1]


def test_holm_counts_the_effects_of_a_stratum_alone():
  result = judge(rows('trees', FALLS), rows('text', DIPS))
  for one in result.strata:
    assert sorted(e.p_holm for e in one.effects) == pytest.approx(sorted(
      verdict.statistics.holm([e.p_value for e in one.effects])))
  gain = result.strata[0].effects[0]
  assert (gain.p_value, gain.p_holm) == (2.0**-8, 2 * 2.0**-8)
  assert gain.alone


def test_what_the_rule_needs_as_a_whole_is_not_corrected():
  # Five seeds: one-sided p = 1/32 each. Both hold at 5 %, neither alone.
  result = judge(rows('trees', FALLS, seeds=5), rows('text', FALLS, seeds=5))
  assert result.verdict == 'supported'
  gain = result.strata[0].effects[0]
  assert gain.p_value == 2.0**-5
  assert not gain.alone
