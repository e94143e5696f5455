"""Planted effects go through the rule that judges, and it keeps its level."""

import functools

import pytest
import scipy.stats

from experiments.judge import power, samples
from experiments.judge.analyses.analysis import Design
from experiments.judge.declaration import (
  Claim,
  Control,
  Effect,
  Property,
  Rule,
  Stratum,
)

DRAWS = 150


def able(table):
  return samples.average(table, 'loss')


def in_order(table):
  return '' if table.height else 'nothing'


MEASURE = functools.partial(samples.values, metric='loss', where={})
ABLE = Control('able', 'It learns.', able, at_least=0)


def effect(name, **options):
  return Effect(name, 'It falls.', 'nats', MEASURE, positive=ABLE, **options)


GAIN = effect('gain', smallest=0.3)
SAME = effect('same', smallest=0.3, sigma=0.15)
KINDS = (GAIN, effect('order', smallest=0.4, analysis='trend'),
         effect('price', smallest=2.0, analysis='time to solve'),
         effect('law', band=(0.7, 1.3), sigma=0.2),
         effect('both', smallest=0.3, sided='two-sided'))


def stratum(name, effects, **rule):
  return Stratum(
    name=name, title=name, prediction='It falls.', refutation='It does not.',
    effects=effects, properties=(Property('exact', 'In order.', in_order),),
    rule=Rule(**rule))


def simulated(*strata, draws=DRAWS, replicates=8):
  claim = Claim('depth', 'Depth', 'Layers.', 'literal', strata)
  return power.simulate(claim, {
    s.name: {e.name: replicates and Design(replicates, 4) for e in s.effects}
    for s in strata}, draws)


@pytest.fixture(scope='module')
def kinds():
  """Each kind of effect in a stratum of its own."""
  strata, _ = simulated(*(stratum(e.name, (e,), supported=((
    e.name, 'supported'),)) for e in KINDS))
  return {one.name: one for one in strata}


@pytest.mark.parametrize('name', [e.name for e in KINDS])
def test_false_positives_are_at_most_alpha(name, kinds):
  states = kinds[name].effects[0].states
  most = scipy.stats.binom.ppf(0.999, DRAWS, 0.05) / DRAWS
  for times, share in states.items():
    assert sum(share.values()) == pytest.approx(1)
    if times <= 1:
      assert share.get('supported', 0) <= most
    if times >= (-1 if name != 'law' else 1):
      assert share.get('opposite', 0) <= most
    if abs(times) == 1:
      assert share.get('equivalent', 0) <= most
  assert states[2]['supported'] > states[1.5].get('supported', 0)
  assert states[2]['supported'] > 0.5


def test_the_power_of_eight_seeds_is_what_is_known_of_it():
  # One-sided, sigma = smallest, true effect twice it: .76 to .80; equivalence
  # of a true zero at sigma = .6 smallest: .99, and .59 to .65 at sigma = it.
  strata, _ = simulated(stratum('one', (GAIN,), supported=((
    'gain', 'supported'),)), draws=500)
  states = strata[0].effects[0].states
  assert states[2]['supported'] == pytest.approx(0.79, abs=0.06)
  assert states[0]['equivalent'] == pytest.approx(0.62, abs=0.08)
  assert strata[0].predicted[2]['supported'] == states[2]['supported']


def test_effects_and_strata_multiply_and_rules_ask_for_equivalence():
  first = stratum('first', (GAIN, SAME), supported=(
    ('gain', 'supported'), ('same', 'equivalent'), ('exact', 'holds')),
    refuted=(('gain', 'equivalent'),))
  second = stratum('second', (GAIN,), supported=(('gain', 'supported'),))
  strata, claim = simulated(first, second)
  gain, same = (e.states for e in strata[0].effects)
  both = gain[2]['supported'] * same[0]['equivalent']
  assert same[0]['equivalent'] > 0.9
  assert strata[0].predicted[2]['supported'] == pytest.approx(both, abs=0.06)
  assert claim.predicted[2]['supported'] == pytest.approx(
    both * strata[1].predicted[2]['supported'], abs=0.1)
  assert strata[0].predicted[1].get('supported', 0) < 0.1
  assert strata[0].refuted['refuted'] == pytest.approx(
    gain[0]['equivalent'], abs=0.01)
  assert strata[1].refuted == {}


def test_exact_properties_have_no_power_and_unknown_items_none_yet():
  exact = stratum('exact one', (), supported=(('exact', 'holds'),))
  items = stratum('items', (effect(
    'near', smallest=0.3, analysis='rank correlation'),),
    supported=(('near', 'supported'),))
  strata, claim = simulated(exact, draws=10)
  assert strata[0].predicted == claim.predicted == {}
  assert strata[0].effects == ()
  both = stratum('one', (GAIN,), supported=(('gain', 'supported'),))
  strata, claim = simulated(exact, both, draws=40)
  assert claim.predicted == strata[1].predicted != {}
  strata, claim = simulated(exact, items, replicates=None, draws=10)
  assert strata[1].effects[0].states == {}
  assert strata[1].predicted == claim.predicted == {}
