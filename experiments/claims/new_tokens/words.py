"""What each stratum about new tokens shows, for one who knows no statistics.

What is beside the verdict is told where it may be told alone.
"""

from experiments.claims.new_tokens.methods import DENSE
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
ALIKE = {
  'supported': 'even where new tokens are used just as old ones are, '
               'fine-tuning costs something',
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
OWN = {
  'supported': 'text that the model wrote itself serves less well than the old '
               'text',
  'equivalent': 'text that the model wrote itself serves about as well as the '
                'old text',
  'opposite': 'text that the model wrote itself serves better than the old '
              'text'}
AGAIN = {
  'supported': f'{UNLIKE}, training again from scratch costs less than mixing '
               'in old text',
  'equivalent': f'{UNLIKE}, training again from scratch gains nothing that '
                'counts over mixing in old text',
  'opposite': f'{UNLIKE}, training again from scratch costs more than mixing '
              'in old text',
  'inconclusive': f'{UNLIKE}, it is open whether training again from scratch '
                  'costs less than mixing in old text'}


def fine_tuning(stratum: StratumResult) -> str:
  """Whether it matters how unlike new tokens are."""
  price = sentence.grouped(stratum, PRICE, {
    'price of being unlike': 'if new text rehearses old rules',
    f'price of being unlike, share {DENSE:g}':
    'if new text hardly rehearses old rules'})
  alike = _beside(stratum, ALIKE, 'cost where alike')
  return price and f'{price} {alike}'.strip()


def mixing(stratum: StratumResult) -> str:
  """Whether replay mends it, and is as good as training again."""
  gain = sentence.grouped(stratum, REPLAY, {'gain of replay': ''})
  against = sentence.grouped(stratum, AGAINST, {
    'replay against retraining': ''})
  own = _beside(stratum, OWN, 'own text against old text')
  return gain and ' '.join(filter(None, (gain, against, own)))


def retraining(stratum: StratumResult) -> str:
  """Whether training again gains anything."""
  return sentence.grouped(stratum, AGAIN, {'gain of retraining': ''})


def _beside(stratum: StratumResult, said: dict[str, str], name: str) -> str:
  return sentence.grouped(stratum, said, {name: ''}, alone=True)
