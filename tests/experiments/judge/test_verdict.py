"""Every verdict is reached, by planted data and for the stated reason."""

import dataclasses
import functools
import json

import numpy as np
import polars as pl
import pytest

from experiments.judge import samples, table, verdict
from experiments.judge.declaration import Claim, Control, Effect, Rule, Stratum
from experiments.judge.seal import Amendment, Sealed
from experiments.judge.statistics import Sample

NOISE = np.array([-0.02, 0.01, 0.02, -0.01, 0.015, -0.015, 0.005, -0.005])

GAIN = functools.partial(samples.paired_difference, metric='loss',
                         a={'n_layers': 1}, b={'n_layers': 4})
TREND = functools.partial(samples.ordered, metric='loss', order=(4, 2, 1))
SHALLOW = functools.partial(samples.average, metric='loss',
                            where={'n_layers': 1})


def effect(measure=GAIN, smallest=0.1, **options):
  return Effect('gain', 'Loss falls from n = 1 to n = 4.', 'nats', measure,
                smallest, **options)


def stratum(name):
  return Stratum(
    name, name.capitalize(), 'Loss falls.', 'It does not.',
    effects=(effect(), Effect('order', 'Loss falls with n.', 'correlation',
                              TREND, 0.5, test='trend', clears=0)),
    controls=(Control('plausible loss', 'The loss of one layer is that of a '
                      'trained model', SHALLOW, at_most=2),),
    rule=Rule(supported=(('gain', 'supported'), ('order', 'supported')),
              refuted=(('gain', 'refuted'),),
              conditional=(('gain', 'supported'),
                           ('order', 'not supported'))))


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
  return verdict.judge(CLAIM, planted, **{
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
  assert 'reaching the smallest effect of interest 0.1' in (
    result.strata[0].reason)


@pytest.mark.parametrize('losses', [RISES, FLAT])
def test_refuted_by_the_opposite_sign_and_by_equivalence(losses):
  result = judge(rows('trees', losses), rows('text', losses))
  assert result.verdict == 'refuted'
  assert result.reason == 'Refuted on trees and text.'
  why = 'opposite sign' if losses is RISES else 'shown to be smaller than 0.1'
  assert why in result.strata[0].reason


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
  assert result.reason.startswith(
    'Supported on trees; undecided on text: the interval [')
  assert 'reaches below the smallest effect of interest 0.1' in result.reason


def test_invalid_when_a_control_fails():
  untrained = tuple(loss + 5 for loss in FALLS)
  result = judge(rows('trees', FALLS), rows('text', untrained))
  assert result.verdict == 'invalid'
  assert [s.verdict for s in result.strata] == ['supported', 'invalid']
  assert 'control "plausible loss" gave 6.' in result.reason
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
  assert ('exact test of 3 independent values does not confirm it'
          in few.strata[0].reason)


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
  assert result.reason.startswith('True only under conditions on trees: ')
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


def test_the_record_is_json_and_the_same_every_time():
  trees, text = rows('trees', FALLS), rows('text', DIPS)
  records = [json.dumps(dataclasses.asdict(judge(trees, text)))
             for _ in range(2)]
  assert records[0] == records[1]


def decide(values, **options):
  n = len(values)
  sample = Sample(np.asarray(values, float), tuple(range(n)), (0,) * n)
  return verdict.decide(effect(**options), sample)


def test_not_significant_is_no_refutation():
  result = decide([0.4, -0.3, 0.5, -0.4, 0.2, -0.2])
  assert result.p_value > 0.5
  assert result.state == 'inconclusive'


def test_small_but_not_negligible_is_no_refutation():
  # Below the smallest effect of interest for sure, yet it may be as far
  # below zero as it is of no interest above.
  result = decide([0.04, -0.3, -0.2, 0.05, -0.1, 0.03, 0.06, -0.25])
  assert result.high < result.smallest
  assert result.low < -result.smallest
  assert result.state == 'inconclusive'


def test_a_sure_but_uninteresting_effect_is_refuted():
  result = decide([0.02, 0.03, 0.025, 0.02, 0.03, 0.035])
  assert result.p_value < 0.05
  assert result.state == 'refuted'


def test_the_interval_must_clear_what_is_declared():
  values = [0.05, 0.3, 0.2, 0.15, 0.4, 0.12]
  assert decide(values).state == 'inconclusive'
  assert decide(values, clears=0).state == 'supported'


def test_five_successes_against_none_need_a_one_sided_declaration():
  def state(n, wins=0, **options):
    values = np.array([[1, i < wins] for i in range(n)])
    return decide(values, test='success', smallest=0.5, clears=0,
                  **options).state
  assert state(6) == 'supported'
  assert state(5) == 'inconclusive'
  assert state(5, sided='greater') == 'supported'
  assert state(6, wins=3) == 'inconclusive'


def test_holm_counts_all_effects_of_the_claim():
  result = judge(rows('trees', FALLS), rows('text', DIPS))
  effects = [e for s in result.strata for e in s.effects]
  smallest = min(effects, key=lambda e: e.p_value)
  assert smallest.p_holm == pytest.approx(4 * smallest.p_value)
  assert all(e.p_holm >= e.p_value for e in effects)
