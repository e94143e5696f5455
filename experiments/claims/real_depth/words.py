"""What each stratum comes to, for one who knows no statistics."""

from experiments.claims.exact.words import readings
from experiments.judge.record import StratumResult

WHO = 'SmolLM2 (135 million parameters, instruct, 4-bit)'
TERMS = {
  'surrogate': 'one linear map in the place of several layers, fitted on other '
               'texts',
  'break': 'where a curve changes its slope at once, as a broken stick does',
  'broken stick': 'two straight lines that meet in a bend',
  'cluster': 'all that was measured on one text; texts are the repetitions '
             'here, as there is one model',
  'quantised': 'stored with few bits a number (here 4), so that the model is '
               'not quite the one that was trained',
  'instruct': 'trained further to follow instructions',
  'stream': 'the numbers that stand for each word between two layers; each '
            'layer adds to them',
  'likelihood': 'how probable the model holds the words that do come next',
  'generation': 'writing on, the likeliest word each time',
  'later half': 'layers 16 to 29 of 30, against 2 to 15; the first and the '
                'last are left out',
}
USED = {
  'supported': 'it rests on the later half of the layers at least a third as '
               'much as on the earlier half',
  'equivalent': 'the later half of the layers does less than a third of what '
                'the earlier half does',
  'opposite': 'leaving out a later layer makes it better',
  'inconclusive': 'it is open whether the later half of the layers does a '
                  'third of what the earlier half does'}
BROKEN = {
  'supported': 'breaks at about ten layers',
  'opposite': 'has no break near ten layers',
  'inconclusive': 'may or may not break near ten layers'}
# A break that is not there again may be the doing of one block.
AGAIN = {
  'supported': '',
  'opposite': ', but not where they begin in the middle of the model',
  'inconclusive': ', and it is open whether it does where they begin in the '
                  'middle of the model'}
KEPT = {
  'supported': 'with every layer more, one linear map does worse',
  'equivalent': 'one linear map does as well for many layers as for one'}


def surrogates(stratum: StratumResult) -> str:
  """Where a linear map stops doing what layers do."""
  added, said, again, compound = (e.state for e in stratum.effects)
  there = AGAIN[again] if said == 'supported' else ''
  more = f'; {KEPT[compound]}' if compound in KEPT else ''
  return (f'In {WHO} one linear map stands in for more and more layers. How '
          f'much it explains of what they add {BROKEN[added]}; how often the '
          f'model still says the same {BROKEN[said]}{there}{more}. One small '
          'model, on the documentation of Python.')


def use(stratum: StratumResult) -> str:
  """For what the later half is used."""
  likely, wrote, _ = stratum.effects
  return (f'In {WHO}, for how likely the next word is, '
          f'{USED[likely.state]}; for what it writes on its own, '
          f'{USED[wrote.state]}. One small model, on the documentation of '
          'Python; what the layers are used for is not seen.')


def streaming(stratum: StratumResult) -> str:
  """As of random weights; see `exact`."""
  return (f'{readings(stratum)} Counted in numbers of 32 bits, to which those '
          'of 4 bits are widened: the file itself is smaller than what is held '
          'of them, and the system may keep its pages in memory.')
