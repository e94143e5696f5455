"""What each stratum shows, in words for a person who knows no statistics.

A clause for each effect that decides, by its state: it says what was tested,
and the size that was found. An effect that is called or declared otherwise has
no clause; a stratum without any speaks through its declaration
(`experiments.report.sentence`).
"""

import math
import re
from collections.abc import Callable, Mapping

from experiments.judge.numbers import brief, listed
from experiments.judge.record import EffectResult, StratumResult

# From an effect, in the state of that name, to what is said.
Clauses = Mapping[str, Callable[[EffectResult], str]]
# The name of an effect, and words that its statement must have.
Key = tuple[str, str]

# What the report explains beside its own terms.
TERMS = {
  'interchange': 'the value of one thing inside a layer is swapped for that of '
                 'another input; the answer has to change as if the input had',
  'decodability': 'how well a simple probe reads something from a layer: 0 as '
                  'from the untrained network, 1 as exact inference would',
  'probe': 'a small classifier, trained to read something from a layer',
  'selectivity': 'by how much a probe reads real things better than arbitrary '
                 'ones: a probe that learns anything proves nothing',
  'Bayes': 'exact inference: the best that anyone could know from what is read',
  'excess': 'how far above the best possible loss',
  'grammar': 'the rules by which sentences grow, drawn anew for each instance',
  'filtered grammar': 'a grammar without the levels in between, so without a '
                      'hierarchy to find',
  'emergence': 'the first layer at which a level can nearly be read as well as '
               'anywhere',
  'chain of thought': 'the model writes its steps down before the answer',
  'looped': 'one layer with one set of parameters, applied several times',
  'logit lens': 'what would be predicted, were the model to end at that layer',
  'KL': 'how many bits it costs to take one set of probabilities for another',
}


def _hundred(effect: EffectResult) -> int:
  """A difference of accuracies as questions in a hundred."""
  return round(100 * abs(effect.estimate))


def _hundredths(effect: EffectResult) -> str:
  """A share and its interval, in parts of a hundred."""
  low, middle, high = (round(100 * value) for value in (
    effect.low, effect.estimate, effect.high))
  return f'{middle} ({low} to {high})'


def _layers(effect: EffectResult) -> tuple[str, str]:
  """How many layers the statement compares, the more first."""
  more, fewer = re.findall(r'\d+', effect.statement)[:2]
  return more, fewer


def _between(effect: EffectResult) -> str:
  """A ratio and its interval."""
  low, middle, high = map(brief, (effect.low, effect.estimate, effect.high))
  return f'{middle} ({low} to {high})'


def _least(effect: EffectResult) -> str:
  """The least ratio that the interval allows, rounded down."""
  low = effect.low if math.isfinite(effect.low) else effect.smallest or 1.0
  return brief(math.floor(10 * low) / 10)


TWO_LINKS: Clauses = {
  'supported': lambda e: (
    'to learn to join two facts, one layer takes more than '
    f'{brief(e.smallest)} times the computing that two layers of about the '
    'same size take'),
  'equivalent': lambda e: (
    'to learn to join two facts, one layer and two of about the same size take '
    'about the same computing (less than '
    f'{brief(e.smallest)} times either way)'),
  'opposite': lambda e: (
    'to learn to join two facts, two layers take more computing than one of '
    'the same size'),
  'inconclusive': lambda e: (
    'whether two layers learn to join two facts with less computing than one '
    'of the same size is open'),
}
LATE: Clauses = {
  'supported': lambda e: (
    'at the end of training two layers are still right in about '
    f'{_hundred(e)} more of 100 cases'),
  'equivalent': lambda e: (
    'at the end of training they are about equally often right'),
  'opposite': lambda e: (
    'at the end of training two layers are right in about '
    f'{_hundred(e)} fewer of 100 cases'),
  'inconclusive': lambda e: (
    'which is right more often at the end of training is open'),
}
FOUR_LINKS: Clauses = {
  'supported': lambda e: (
    f'to learn to join four, two layers take at least {_least(e)} times '
    'the computing that three take'),
  'equivalent': lambda e: (
    'to learn to join four, two layers and three take about the same '
    f'computing (less than {brief(e.smallest)} times either way)'),
  'opposite': lambda e: (
    'to learn to join four, three layers take more computing than two'),
  'inconclusive': lambda e: (
    'to answer nine in ten questions about four facts right, two layers take '
    f'about {_between(e)} times the computing of three; whether as much as '
    f'{brief(e.smallest)} times is open'),
}
ORDER: Clauses = {
  'supported': lambda e: (
    'in sentences that grow like trees, each level can be read from about '
    f'{brief(round(e.estimate, 1))} layers later than the level below it'),
  'equivalent': lambda e: (
    'in sentences that grow like trees, higher levels show up at no later '
    'layers'),
  'opposite': lambda e: (
    'in sentences that grow like trees, higher levels show up at earlier '
    'layers'),
  'inconclusive': lambda e: (
    'in sentences that grow like trees, it is open whether later layers hold '
    'higher levels'),
}
LAST_STEP: Clauses = {
  'supported': lambda e: (
    'after equally many training steps, and so with more computing, '
    f'{_layers(e)[0]} layers answer better than {_layers(e)[1]}'),
  'equivalent': lambda e: (
    f'even after equally many training steps, {_layers(e)[0]} layers answer '
    f'no better than {_layers(e)[1]}, by any amount that counts'),
  'opposite': lambda e: (
    f'after equally many training steps, {_layers(e)[0]} layers answer worse '
    f'than {_layers(e)[1]}'),
  'inconclusive': lambda e: (
    f'whether {_layers(e)[0]} layers answer better than {_layers(e)[1]} after '
    'equally many training steps is open'),
}
EQUAL_FLOPS: Clauses = {
  'supported': lambda e: 'with equal computing they do, too',
  'equivalent': lambda e: (
    'with equal computing there is no difference that counts'),
  'opposite': lambda e: (
    f'with equal computing {_layers(e)[1]} layers are better'),
  'inconclusive': lambda e: (
    f'with equal computing {_layers(e)[1]} come within '
    f'{brief(round(abs(e.estimate), 2))} bits of them, and whether a gap is '
    'left that counts is open'),
}
INTERCHANGE: Clauses = {
  'supported': lambda e: (
    'and what a layer holds below the top, the model uses'),
  'equivalent': lambda e: (
    'but swapping what a layer holds below the top changes the answer as it '
    f'should in {_hundredths(e)} of 100 cases in which a change of the '
    f'sentence itself would; {round(100 * (e.smallest or 1))} were predicted'),
  'opposite': lambda e: (
    'but swapping what a layer holds moves the answers the wrong way'),
  'inconclusive': lambda e: (
    'whether the model uses what its layers hold is open'),
}
SAME = 'gain: fixed width'
EQUAL = {f'gain: equal {what}': f'a wider model of equal {what}'
         for what in ('cost', 'parameters', 'FLOPs')}


def composition(stratum: StratumResult) -> str:
  """The price of a layer less, where facts are joined."""
  return _sentence(stratum, {
    ('two links, price', 'FLOPs until one layer of equal'): TWO_LINKS,
    ('two links, late', 'one layer of equal parameters'): LATE,
    ('four links, price', 'FLOPs until two layers'): FOUR_LINKS})


def hierarchy(stratum: StratumResult) -> str:
  """Which layer holds, and uses, which level."""
  return _sentence(stratum, {
    ('order of levels', 'the level below'): ORDER,
    ('last step', 'the last step alone'): LAST_STEP,
    ('last step at equal FLOPs', 'times the steps'): EQUAL_FLOPS,
    ('interchange', 'is used'): INTERCHANGE})


def text(stratum: StratumResult) -> str:
  """Whether more layers predict prose better, and against which rivals."""
  found = {e.name: e for e in stratum.effects if e.name in (SAME, *EQUAL)}
  depths = re.match(r'(\d+) layers .* than (\d+), at the same width',
                    found[SAME].statement) if SAME in found else None
  if not depths:
    return ''
  more, fewer = (f'{n} layers' if n != '1' else 'one layer'
                 for n in depths.groups())
  rivals = {SAME: f'{fewer} of the same width', **EQUAL}
  said = {
    'supported': f'{more} predict better than ',
    'equivalent': f'{more} predict neither better nor worse, by any amount '
                  'that counts, than ',
    'opposite': f'{more} predict worse than ',
    'inconclusive': f'it is open whether {more} predict better than '}
  parts = []
  for state, words in said.items():
    own = [rivals[name] for name, e in found.items() if e.state == state]
    if own:
      parts.append(words + listed(own))
  return f'On the prose that was used, {"; ".join(parts)}.'


def _sentence(stratum: StratumResult, clauses: Mapping[Key, Clauses]) -> str:
  """The clauses of the effects that have one, as a sentence; '' for none."""
  said = [own[effect.state](effect)
          for (name, phrase), own in clauses.items()
          for effect in stratum.effects if effect.name == name
          and phrase in effect.statement and effect.state in own]
  text = '; '.join(said)
  return f'{text[:1].upper()}{text[1:]}.' if said else ''
