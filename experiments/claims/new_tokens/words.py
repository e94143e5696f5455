"""What each stratum about new tokens shows, for one who knows no statistics.

What is beside the verdict is told where it may be told alone.
"""

import math
from collections.abc import Mapping

from experiments.claims.new_tokens.methods import DENSE, OWN_TEXTS, SHARE
from experiments.judge.numbers import brief, number
from experiments.judge.record import StratumResult
from experiments.report import sentence

TERMS = {
  'cost': 'what is forgotten of old text plus what is missing on new text, in '
          'nats a token',
  'regret': 'how much worse on new text than a model trained again on all',
  'forgetting': 'how much worse on old text than before new tokens came',
  'fine-tuning': 'training a trained model further, on new text alone',
  'retraining': 'training again from random parameters, on old and new text',
  'replay': 'old text mixed into the new, so that it is not forgotten',
  'own text': 'text that the model wrote itself before new tokens came, '
              'replayed in place of the old text',
  'parent': 'the model before new tokens came, trained on old text alone',
  'similarity': 'the share of what stands before and after a new token that '
                'it takes over from an old one: 0 none, 1 all',
  'share': 'how often an old token is followed by a new one in new text; the '
           'more, the less of the old rules is rehearsed there',
  'new rows': 'training nothing but the vectors of new tokens',
  'low rank': 'training only a small correction to each matrix, and the '
              'vectors of new tokens',
  'nat': 'a unit of surprise, as a bit is: 1.44 bits',
  'excess': 'loss above the least that is possible',
  'entropy': 'the surprise that is left to one who knows the rules exactly',
}
UNLIKE = 'where new tokens are unlike old ones'
PRICE = {
  'supported': f'fine-tuning on new text alone costs more {UNLIKE}',
  'equivalent': f'fine-tuning on new text alone costs no more {UNLIKE}, by any '
                'amount that counts',
  'opposite': f'fine-tuning on new text alone costs less {UNLIKE}',
  'inconclusive': 'it is open whether fine-tuning on new text alone costs more '
                  f'{UNLIKE}'}
# What it costs to expect new tokens in old text as often as in new text.
EXPECTED = -math.log(1 - SHARE)
ALIKE = {
  'supported': 'even where new tokens are used just as old ones are, '
               'fine-tuning costs {size} nats a token; expecting them in old '
               'text, where there are none, costs '
               f'{number(EXPECTED, 2)} by itself',
  'equivalent': 'where new tokens are used just as old ones are, '
                'fine-tuning costs nothing that counts',
  'opposite': 'where new tokens are used just as old ones are, fine-tuning '
              'even gains something'}
REPLAY = {
  'supported': f'{UNLIKE}, mixing in old text costs less than fine-tuning on '
               'new text alone',
  'equivalent': f'{UNLIKE}, mixing in old text costs about as much as '
                'fine-tuning on new text alone',
  'opposite': f'{UNLIKE}, mixing in old text costs more than fine-tuning on '
              'new text alone',
  'inconclusive': f'{UNLIKE}, it is open whether mixing in old text costs less '
                  'than fine-tuning on new text alone'}
AGAINST = {
  'supported': 'mixing costs more than training again on all text',
  'equivalent': 'mixing costs about as much as training again on all text',
  'opposite': 'mixing costs less than training again on all text',
  'inconclusive': 'it is open whether mixing costs more than training again on '
                  'all text'}
AMONG_OLD = {
  'supported': 'among old tokens too it gains {size} nats a token',
  'equivalent': 'but what it mends is that new tokens are expected in old '
                'text: among old tokens it gains {size} nats a token, and '
                '{smallest} would count',
  'opposite': 'but among old tokens alone it costs more'}
OWN = {
  'supported': f'{OWN_TEXTS} texts that the model wrote itself serve less well '
               'than old text',
  'equivalent': f'{OWN_TEXTS} texts that the model wrote itself serve about as '
                'well as old text',
  'opposite': f'{OWN_TEXTS} texts that the model wrote itself serve better '
              'than old text'}
AGAIN = {
  'supported': f'{UNLIKE}, training again from scratch costs less than mixing '
               'in old text',
  'equivalent': f'{UNLIKE}, training again from scratch gains nothing that '
                'counts over mixing in old text ({size} nats a token; '
                '{smallest} would count)',
  'opposite': f'{UNLIKE}, training again from scratch costs more than mixing '
              'in old text',
  'inconclusive': f'{UNLIKE}, it is open whether training again from scratch '
                  'costs less than mixing in old text'}


def fine_tuning(stratum: StratumResult) -> str:
  """Whether it matters how unlike new tokens are, and what it costs anyhow."""
  dense = f'price of being unlike, share {DENSE:g}'
  places = {'price of being unlike': 'if new text rehearses old rules'}
  if any(e.name == dense and e.alone for e in stratum.effects):
    places[dense] = 'if new text hardly rehearses old rules'
  price = sentence.grouped(stratum, PRICE, places)
  alike = _beside(stratum, ALIKE, 'cost where alike')
  return price and f'{price} {alike}'.strip()


def mixing(stratum: StratumResult) -> str:
  """Whether replay mends it, what it mends, and if it is as good as anew."""
  gain = sentence.grouped(stratum, REPLAY, {'gain of replay': ''})
  gains = any(e.name == 'gain of replay' and e.state == 'supported'
              for e in stratum.effects)
  among = (_beside(stratum, AMONG_OLD, 'gain of replay among old tokens')
           if gains else '')
  against = sentence.grouped(stratum, AGAINST, {
    'replay against retraining': ''})
  own = _beside(stratum, OWN, 'own text against old text')
  if against and own:
    against = f'{against[:-1]};'
  return gain and ' '.join(filter(None, (gain, among, against, own)))


def retraining(stratum: StratumResult) -> str:
  """Whether training again gains anything."""
  return _sized(stratum, AGAIN, 'gain of retraining')


def _beside(stratum: StratumResult, said: Mapping[str, str], name: str) -> str:
  return _sized(stratum, said, name, alone=True)


def _sized(stratum: StratumResult, said: Mapping[str, str], name: str,
           alone: bool = False) -> str:
  """What an effect shows, with its size beside the one that would count."""
  for effect in stratum.effects:
    if effect.name == name:
      sizes = {'size': number(effect.estimate, 2),
               'smallest': brief(effect.smallest)}
      said = {state: text.format(**sizes) for state, text in said.items()}
  return sentence.grouped(stratum, said, {name: ''}, alone=alone)
