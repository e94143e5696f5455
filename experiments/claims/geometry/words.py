"""What each statement about geometry comes to, for one who knows no statistics.

Effects in the same state are told together, each with the place that it is
about. What is beside the verdict is told where it may be told alone.
"""

from collections.abc import Mapping

from experiments.claims.geometry.chain import ARMS
from experiments.judge.record import StratumResult
from experiments.report import sentence

TERMS = {
  'vector': 'the list of numbers that a model has for a token',
  'cosine': 'how far two vectors point the same way: 1 the same, 0 at right '
            'angles, −1 opposite',
  'centred': 'after the mean of all vectors is taken away',
  'planted': 'put into the data by us, so that the truth is known',
  'synthetic': 'of a world that we made up, not of real language',
  'cluster': 'tokens that nearly the same tokens follow',
  'link': 'a token has one token of a far cluster that follows it half of the '
          'time',
  'two tables': 'one table of vectors to read tokens by, another to score them '
                'by',
  'one table': 'the same vectors serve to read tokens and to score them',
  'rank correlation': 'whether two things rise together: 1 always, 0 '
                      'unrelated, −1 one falls as the other rises',
  'partial rank correlation': 'the same, with what frequency alone explains '
                              'taken away',
  'AUC': 'how often a linked pair comes out above an unlinked one: about 0.5 '
         'by chance, 1 always',
  'participation ratio': 'how many directions share the spread of the vectors',
  'TwoNN': 'how many dimensions the cloud of vectors seems to have, judged by '
           'the two nearest neighbours of each',
  'sparse': 'far from its nearest neighbours',
  'degree': 'how many tokens are linked to one',
  'transition': 'one token following another',
  'R²': 'how exactly one quantity gives another: 1 exactly, 0 no better than '
        'its mean',
  'nat': 'a unit of surprise, as a bit is: 1.44 bits',
  'entropy rate': 'the surprise at each token that is left to one who knows '
                  'the world exactly',
  'untrained': 'the same network before training',
  'quantised': 'stored with a few bits a number, to be small',
  'instruct': 'trained further to follow instructions',
  'encoder': 'a model that reads a whole text and writes none',
}
# The second never stands without the first.
TABLES = dict(zip(ARMS, ('with two tables of vectors', 'with one')))
SIMILAR = {
  'supported': 'training brings the vectors of similar tokens nearer to each '
               'other',
  'equivalent': 'training brings the vectors of similar tokens no nearer to '
                'each other, by any amount that counts',
  'opposite': 'training drives the vectors of similar tokens apart',
  'inconclusive': 'it is open whether training brings the vectors of similar '
                  'tokens nearer to each other'}
FEW = ('after training, vectors of this width spread over less than a quarter '
       'of the directions that they have room for')
DIRECTIONS = {
  'supported': FEW.replace('less', 'more'),
  'equivalent': FEW, 'opposite': FEW,
  'inconclusive': 'it is open whether, after training, vectors of this width '
                  'spread over more than a quarter of the directions that they '
                  'have room for'}
SPARSE = {
  'supported': 'the more tokens are linked to one, the farther it tends to lie '
               'from its neighbours',
  'equivalent': 'how many tokens are linked to one says little of how far it '
                'lies from its neighbours',
  'opposite': 'the more tokens are linked to one, the nearer it tends to lie '
              'to its neighbours',
  'inconclusive': 'it is open whether tokens that many are linked to lie '
                  'farther from their neighbours'}
CROWDED = {
  'supported': 'tokens whose links share an end crowd together',
  'equivalent': 'tokens whose links share an end do not crowd together, by any '
                'amount that counts',
  'opposite': 'tokens whose links share an end keep apart'}
INEXACT = ("the model's probabilities of what comes next match the planted "
           'ones less closely than was asked (R² 0.9)')
EXACT = {
  'supported': "the model's probabilities of what comes next match the planted "
               'ones closely',
  'equivalent': INEXACT, 'opposite': INEXACT,
  'inconclusive': "it is open whether the model's probabilities of what comes "
                  'next match the planted ones closely'}
TOLD = ('how near tokens of far clusters lie tells to some degree which of '
        'them are linked')
NEAR = {
  'supported': 'how near tokens of far clusters lie hardly tells which of them '
               'are linked',
  'equivalent': TOLD, 'opposite': TOLD,
  'inconclusive': 'it is open whether how near tokens of far clusters lie '
                  'tells which of them are linked'}
MODELS = {'SmolLM2': 'in SmolLM2, quantised, instruct, 135 M',
          'MiniLM': 'in MiniLM, an encoder'}
LIKE = {
  'supported': 'the more similar people find two words, the closer they tend '
               'to lie',
  'equivalent': 'how close words lie says little of how similar people find '
                'them',
  'opposite': 'the less similar people find two words, the closer they tend to '
              'lie',
  'inconclusive': 'it is open whether words lie closer, the more similar '
                  'people find them'}
RELATED = {
  'supported': 'the more related people find two words, as coffee and cup, the '
               'closer they tend to lie'}
SPELLED = {'equivalent': 'that is hardly more than their spelling tells'}
UNKNOWN = ('the model itself tells linked pairs from unlinked ones in fewer '
           'than 95 of 100 comparisons')
KNOWN = {
  'supported': 'the model itself tells linked pairs from unlinked ones in 95 '
               'of 100 comparisons or more',
  'equivalent': UNKNOWN, 'opposite': UNKNOWN,
  'inconclusive': 'it is open whether the model itself tells linked pairs from '
                  'unlinked ones in 95 of 100 comparisons or more'}


def similarity(stratum: StratumResult) -> str:
  """Whether similar tokens are near."""
  found = sentence.grouped(stratum, SIMILAR, {
    'nearness of similar tokens': TABLES['two tables'],
    'nearness in one table': TABLES['one table']})
  return found and (f'{found} Similar means here that the same tokens stand '
                    'beside them; what people call similar was not asked.')


def dimension(stratum: StratumResult) -> str:
  """How many directions are used."""
  return sentence.grouped(
    stratum, DIRECTIONS,
    {f'directions with {arm}': place for arm, place in TABLES.items()},
    lambda share: f'about {100 * share:.0f} of 100')


def density(stratum: StratumResult) -> str:
  """Who lies sparse, and whether shared ends crowd."""
  found = sentence.grouped(stratum, SPARSE, {
    'sparseness in one table': 'in one table for both roles',
    'sparseness of scoring vectors': 'in the table that tokens are scored by'})
  reading = 'in the table that tokens are read by'
  beside = [sentence.grouped(stratum, said, {name: reading}, alone=True)
            for said, name in ((SPARSE, 'sparseness of reading vectors'),
                               (CROWDED, 'crowding of shared ends'))]
  return found and ' '.join(filter(None, (found, *beside)))


def transitions(stratum: StratumResult) -> str:
  """How exactly the model has what follows."""
  found = sentence.grouped(stratum, EXACT, {
    'transitions that occur': 'over what occurs, as often as it occurs',
    'all transitions': 'over all pairs of tokens, rare ones counted like '
                       'common ones'}, lambda r: f'R² {r:.2f}')
  return found and (f'{found} A sanity check: a model that predicts well must '
                    'hold them somewhere.')


def distance(stratum: StratumResult) -> str:
  """Whether nearness tells links, and whether the model knows them."""
  near = sentence.grouped(
    stratum, NEAR,
    {f'distances of links with {arm}': place for arm, place in TABLES.items()},
    lambda above: f'AUC {above:+.2f} from chance'.replace('-', '−'))
  known = sentence.grouped(stratum, KNOWN, {
    f'prediction of links with {arm}': place for arm, place in TABLES.items()})
  return near and f'{near} {known}'.strip()


def real_words(stratum: StratumResult) -> str:
  """Whether real models put words close that people find similar."""

  def told(effect: str, said: Mapping[str, str], alone: bool = False) -> str:
    return sentence.grouped(
      stratum, said, {f'{effect} in {model}': place
                      for model, place in MODELS.items()},
      lambda r: f'rank correlation {r:.2f}'.replace('-', '−'), alone)

  found = told('closeness', LIKE)
  return found and ' '.join(filter(None, (
    found, told('beyond spelling', SPELLED),
    told('relatedness', RELATED, alone=True))))
