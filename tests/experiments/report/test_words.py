"""What a report says in words: sentences, terms, and who explains them."""

import dataclasses
import html.parser
import re

import pytest

from experiments import report
from experiments.claims.depth import EXPERIMENT, words
from experiments.judge.record import PropertyResult, StratumResult
from experiments.report import inputs, sentence
from experiments.report.terms import TERMS, Glossary

STATES = ('supported', 'equivalent', 'opposite', 'inconclusive')


def stratum(effect, name='mine', statement='More is better.', states=STATES[:1],
            **fields):
  """A stratum with an effect in each state."""
  effects = tuple(dataclasses.replace(
    effect, name=name, statement=statement, state=state, smallest=2.0,
    low=-1.5 if state == 'equivalent' else 2.34, high=3.21, estimate=0.43,
    unit='bits') for state in states)
  return StratumResult(**{
    'name': 'links', 'title': 'Links: of facts', 'prediction': 'It rises.',
    'refutation': 'It falls.', 'verdict': 'supported', 'reason': 'It rose.',
    'effects': effects, 'controls': (), 'cells': 8, 'missing': 0, 'tier': 'E1',
    **fields})


@pytest.fixture(scope='module')
def effect(claim):
  return claim.strata[0].effects[0]


@pytest.mark.parametrize(('state', 'verdict', 'said'), [
  ('supported', 'supported', 'More is better.'),
  ('equivalent', 'refuted', 'Less than 2 bits either way, which counts as none:'
   ' “More is better”.'),
  ('opposite', 'refuted', 'The opposite was found of “More is better”.'),
  ('inconclusive', 'inconclusive',
   'These runs do not decide whether “More is better”.')])
def test_without_words_of_its_own_a_stratum_says_what_its_state_allows(
    state, verdict, said, effect):
  found = stratum(effect, states=(state,), verdict=verdict)
  assert sentence.by_default(found) == said


def test_what_is_there_and_small_is_not_called_nothing(effect):
  found = stratum(effect, states=('equivalent',)).effects[0]
  there = dataclasses.replace(found, low=0.5, high=1.5)
  assert (found.word, there.word) == ('equivalent', 'smaller')
  assert sentence.of_effect(there) == (
    'There is an effect, of less than 2 bits: “More is better”.')


def test_what_lies_outside_its_band_is_not_called_the_opposite(effect):
  own = dataclasses.replace(effect, statement='It doubles.', smallest=None,
                            band=(1.5, 2.5), state='opposite')
  assert own.word == 'outside'
  assert sentence.of_effect(own) == (
    'What was found lies outside the range that makes it true: “It doubles”.')
  assert dataclasses.replace(own, band=None, smallest=2.0).word == 'opposite'


def test_the_effect_that_tells_is_one_that_agrees_with_the_verdict(effect):
  found = stratum(effect, states=('supported', 'equivalent'), verdict='refuted')
  assert sentence.by_default(found).startswith('Less than 2 bits')


def test_exact_statements_are_counted_and_what_fails_is_named(effect):
  properties = (PropertyResult('sum', 'It sums to 1.', 'holds', ''),
                PropertyResult('sign', 'It is above 0.', 'fails', 'at 3: -1'))
  found = stratum(effect, states=(), properties=properties)
  assert sentence.by_default(found) == (
    '1 of 2 exact statements holds. Not so: “It is above 0.”')
  held = dataclasses.replace(found, properties=properties[:1])
  assert sentence.by_default(held) == 'It rises.'


@pytest.mark.parametrize(('verdict', 'said'), [
  ('invalid', 'Links: a check of the experiment failed, so it shows nothing.'),
  ('incomplete', 'Links: not finished yet.')])
def test_what_is_not_judged_claims_nothing(verdict, said, effect):
  part = dataclasses.replace(EXPERIMENT.parts[0], sentence=lambda _: 'All true')
  assert sentence.of_stratum(part, stratum(effect, verdict=verdict)) == said


def test_a_smoke_test_says_one_thing(claim):
  smoke = dataclasses.replace(claim, evidence='smoke')
  assert list(sentence.of_claim(EXPERIMENT, smoke).values()) == [
    'A test of the machinery: no evidence.']


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize(('say', 'name', 'statement'), [
  (words.composition, 'two links, price', 'Two links: FLOPs until one layer of '
   'equal parameters solves them, over those of two layers.'),
  (words.composition, 'two links, late', 'Two links, after 840 billion '
   'FLOPs: accuracy of two layers over one layer of equal parameters.'),
  (words.composition, 'four links, price', 'Four links: FLOPs until two layers '
   'solve them, over those of three layers.'),
  (words.hierarchy, 'order of levels', 'A level emerges half a layer or more '
   'after the level below it.'),
  (words.hierarchy, 'last step', '3 layers come closer to Bayes than 2 (the '
   'last step alone).'),
  (words.hierarchy, 'interchange', 'Where a level emerges, its value is used.'),
  (words.text, 'gain: fixed width', '4 layers need fewer bits per byte than 1, '
   'at the same width.')])
def test_depth_has_a_sentence_for_each_state(say, name, statement, state,
                                             effect):
  said = say(stratum(effect, name, statement, (state,)))
  assert 'cannot' not in said
  assert re.fullmatch(r'[A-Z].*\.', said)
  # What is open is called open, and nothing else is.
  assert ('open' in said) == (state == 'inconclusive')
  # Under another name, or declared otherwise, nothing is claimed.
  assert say(stratum(effect, 'other', statement, (state,))) == ''
  assert say(stratum(effect, name, 'Something else.', (state,))) == ''


def test_numbers_in_sentences_claim_no_more_than_was_shown(effect):
  price = stratum(effect, 'four links, price', 'FLOPs until two layers solve.')
  assert 'at least 2.3 times' in words.composition(price)
  late = stratum(effect, 'two links, late',
                 'Two layers over one layer of equal parameters.')
  assert 'about 43 more of 100 cases' in words.composition(late)


def test_equal_states_of_text_are_told_together(effect):
  both = [stratum(effect, f'gain: {name}', '4 layers need fewer bits per byte '
                  'than 1, at the same width.').effects[0]
          for name in ('fixed width', 'equal cost')]
  found = stratum(effect)
  told = words.text(dataclasses.replace(found, effects=tuple(both)))
  assert told == ('On the prose that was used, 4 layers predict better than '
                  'one layer of the same width and a wider model of equal '
                  'cost.')
  both[1] = dataclasses.replace(both[1], state='opposite')
  assert words.text(dataclasses.replace(found, effects=tuple(both))) == (
    'On the prose that was used, 4 layers predict better than one layer of '
    'the same width; 4 layers predict worse than a wider model of equal cost.')


class Terms(html.parser.HTMLParser):
  """The terms that a page marks: {what is shown: explanation}."""

  def __init__(self, text):
    super().__init__()
    self.found, self.last = {}, None
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    if tag == 'dfn':
      given = dict(attributes)
      assert given['tabindex'] == '0'  # so that keys and taps reach it
      self.last = given['aria-description']

  def handle_data(self, text):
    if self.last:
      self.found[text], self.last = self.last, None


def test_terms_are_marked_once_and_what_is_around_them_is_escaped():
  words_of = Glossary({'interchange': 'a <swap>'})
  marked = words_of.explain('Held-out <b>seeds</b>, a seed, seedling, '
                            'interchange.')
  assert list(Terms(marked).found) == ['Held-out', 'seeds', 'interchange']
  assert '&lt;b&gt;' in marked
  assert 'a &lt;swap&gt;' in marked


def test_the_page_explains_its_words_and_prints_its_glossary(
    plan, claim, table, tmp_path):
  own = dataclasses.replace(EXPERIMENT, terms={'chance': 'by luck alone'})
  of = dataclasses.replace(plan, folder=tmp_path, experiment=own)
  first, *others = claim.strata
  beside = dataclasses.replace(first.effects[0], band=(0.0, 1e-3),
                               smallest=None, state='opposite')
  claim = dataclasses.replace(claim, strata=(dataclasses.replace(
    first, effects=(beside, *first.effects[1:])), *others))
  page = report.write(of, claim, table, {})
  text = page.read_text(encoding='utf-8')
  found = Terms(text).found
  for word in ('Supported', 'interval', 'smallest effect', 'stratum', 'p',
               'Holm', 'E1'):
    assert found.get(word) or found.get(word.lower()), word
  for term in (*TERMS, 'chance'):
    assert f'<dt>{term}</dt>' in text
    assert f'**{term}**' in page.with_name('report.md').read_text('utf-8')
  assert '</span> outside</span>' in text
  assert '✗ outside |' in page.with_name('report.md').read_text('utf-8')
  printed = text[text.index('@media print'):text.index('</style>')]
  assert not re.search(r'\.glossary[^{]*{[^}]*display: none', printed)


def test_the_text_is_named(plan):
  line, = inputs.of_plan(plan)['text']
  assert re.match(r'embedded prose: \d+ documents of text, [\d,]+ bytes', line)
