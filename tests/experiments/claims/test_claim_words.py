"""What claims say in words of their own: true in every state, and no more."""

import re

import pytest

from experiments.claims import geometry, new_tokens
from experiments.judge.record import EffectResult, StratumResult
from experiments.report.terms import TERMS

CLAIMS = (geometry.EXPERIMENT, new_tokens.EXPERIMENT)
PARTS = [part for claim in CLAIMS for part in claim.parts]
STATES = ('supported', 'equivalent', 'opposite', 'inconclusive')
# What is said of the state, where it is not the predicted one.
SAID = {
  'similarity': ('no nearer', 'drives the vectors of similar tokens apart'),
  'dimension': ('less than a quarter', 'less than a quarter'),
  'density': ('says little', 'the nearer it tends to lie'),
  'transitions': ('less closely than', 'less closely than'),
  'distance': ('to some degree', 'to some degree'),
  'real-words': ('says little', 'the less similar'),
  'fine-tuning': ('costs no more where', 'costs less where'),
  'mixing': ('costs about as much as', 'costs more than fine-tuning'),
  'retraining': ('gains nothing that counts', 'costs more than mixing')}


def found(part, states, names=None, p_holm=0.01, estimate=0.4):
  """A stratum with its declared effects in given states."""
  declared = part.declare('cpu')
  effects = [e for e in declared.effects if names is None or e.name in names]
  return StratumResult(
    part.name, declared.title, declared.prediction, declared.refutation,
    'inconclusive', '', tuple(EffectResult(
      e.name, e.statement, e.unit, estimate, 0.3, 0.5, e.smallest, 'sign-flip',
      0.004, 0.1, 1, 8, 8, 'instance', (estimate,) * 8, state, p_holm=p_holm)
      for e, state in zip(effects, states)), (), 8, 0, 'E1')


@pytest.mark.parametrize('part', PARTS, ids=lambda part: part.name)
def test_each_state_has_words_of_its_own(part):
  said = {state: part.sentence(found(part, [state] * 6)) for state in STATES}
  for state, text in said.items():
    assert re.fullmatch(r'[A-Z].*\.', text)
    # What is open is called open, and nothing else is.
    assert ('open' in text) == (state == 'inconclusive'), text
    assert len(text.split('. ')) <= 3
    assert len(text) < 420, text
  for state, words in zip(('equivalent', 'opposite'), SAID[part.name]):
    assert words in said[state]
    assert words not in said['supported']
  assert part.sentence(found(part, ['supported'], ['another'])) == ''


@pytest.mark.parametrize(('part', 'words'), [
  (geometry.density.PART, 'crowd together'),
  (new_tokens.fine_tuning.PART, 'by itself'),
  (new_tokens.mixing.PART, 'less well')])
def test_what_may_not_be_told_alone_is_not_told(part, words):
  assert words in part.sentence(found(part, ['supported'] * 6))
  assert words not in part.sentence(found(part, ['supported'] * 6, p_holm=0.2))
  assert words not in part.sentence(found(part, ['inconclusive'] * 6))


def test_where_tables_differ_they_are_told_apart():
  text = geometry.distance.PART.sentence(found(
    geometry.distance.PART, ['supported', 'opposite', 'supported',
                             'supported'], estimate=0.12))
  assert text.startswith(
    'With two tables of vectors (AUC +0.12 from chance), how near tokens of '
    'far clusters lie hardly tells which of them are linked; with one '
    '(AUC +0.12 from chance), how near tokens of far clusters lie tells to '
    'some degree which')
  assert 'With two tables of vectors and with one, the model itself' in text


def test_a_price_names_the_text_that_it_was_found_in():
  text = new_tokens.fine_tuning.PART.sentence(found(
    new_tokens.fine_tuning.PART, ['equivalent', 'supported']))
  assert text == (
    'If new text rehearses old rules, fine-tuning on new text alone costs no '
    'more where new tokens are unlike old ones, by any amount that counts; '
    'if new text hardly rehearses old rules, fine-tuning on new text alone '
    'costs more where new tokens are unlike old ones.')


def test_fine_tuning_is_not_called_harmless_where_new_tokens_are_alike():
  text = new_tokens.fine_tuning.PART.sentence(found(
    new_tokens.fine_tuning.PART, ['supported'] * 6, estimate=0.687))
  assert text.endswith(
    'Even where new tokens are used just as old ones are, fine-tuning costs '
    '0.69 nats a token; expecting them in old text, where there are none, '
    'costs 0.69 by itself.')


def test_what_mixing_mends_is_told_with_its_size():
  mixing = new_tokens.mixing.PART
  names = [effect.name for effect in mixing.declare('cpu').effects]
  states = ['equivalent' if 'among old' in name else 'supported'
            for name in names]
  assert ('among old tokens it gains 0.012 nats a token, and 0.1 would count.'
          in mixing.sentence(found(mixing, states, estimate=0.0116)))
  assert 'mends' not in mixing.sentence(found(mixing, ['equivalent'] * 6))


def test_a_gain_that_does_not_count_stands_beside_one_that_would():
  text = new_tokens.retraining.PART.sentence(found(
    new_tokens.retraining.PART, ['equivalent'] * 2, estimate=0.0196))
  assert text.endswith('(0.020 nats a token; 0.03 would count).')


def test_an_estimate_that_is_none_is_not_printed():
  text = geometry.dimension.PART.sentence(found(
    geometry.dimension.PART, ['inconclusive'] * 2, estimate=float('nan')))
  assert text.startswith('With two tables of vectors and with one, it is open')


@pytest.mark.parametrize('claim', CLAIMS, ids=lambda claim: claim.name)
def test_terms_explain_words_that_no_report_has_yet(claim):
  assert not claim.terms.keys() & TERMS.keys()
  assert all(text[0].islower() and not text.endswith('.')
             for text in claim.terms.values())
