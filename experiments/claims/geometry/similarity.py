"""Similarity: are similar tokens near each other? (card G1, statement B3)

Two tokens are similar if the same tokens stand beside them: the cosine of their
rows of positive pointwise mutual information, which is exact here. A vector
learns of the sides that its table has a part in: the input table of a network
with two of what follows a token, the one table for both roles also of what a
token follows, which in these worlds is another matter. Each is compared with
what it can know; the other sides are measured too.

Prediction. Over all pairs of tokens, the cosine of two vectors is
rank-correlated with the planted similarity by 0.3 more than before training,
with two tables and with one. Refuted if with two tables that is shown to be
less than 0.3; conditional if with one table alone. That one table is compared
with both sides was chosen on pilots, where it followed what follows a token by
0.35, and both sides by 0.48.

This is planted similarity, synthetic only: of what people call similar it says
nothing. Centred, without the top direction, and whitened, the correlation is
shown beside it: it lies in few directions.
"""

import functools

import numpy as np

from experiments.claims.geometry import chain, figures, problems, words
from experiments.claims.geometry.chain import INPUT, Planted
from experiments.instruments import geometry
from experiments.judge import samples
from experiments.judge.declaration import Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

SMALLEST = 0.3
FORMS = ('as it is', 'centred', 'all but top', 'whitened')
FOLLOWERS, PREDECESSORS, BOTH = 'followers', 'predecessors', 'both'


def measure(run: Subject) -> list[Row]:
  """Correlations of every table, and of each layer's mean stream."""
  known = chain.planted(run)
  rows = chain.of_tables(table_rows, run)
  for network, params in chain.networks(run):
    stream_NVD = chain.means(run, params).stream_NVD
    for layer, stream_VD in enumerate(stream_NVD[1:], start=1):
      rows += [Row(row.metric, row.value, {
        'network': network, 'table': f'layer {layer}', **row.where})
        for row in table_rows(run, known, stream_VD)]
  return rows


def table_rows(run: Subject, known: Planted,
               table_VD: np.ndarray) -> list[Row]:
  """Rank correlation of cosines with similarity, by form and by side."""
  del run
  after_VV = geometry.positive_information(
    known.transition_VV, known.frequency_V)
  sides = {FOLLOWERS: after_VV, PREDECESSORS: after_VV.T,
           BOTH: np.concatenate([after_VV, after_VV.T], axis=1)}
  similar = {side: geometry.cosine(x) for side, x in sides.items()}
  forms = zip(FORMS, (
    table_VD, geometry.centred(table_VD), geometry.all_but_top(table_VD, 1),
    geometry.whitened(table_VD)), strict=True)
  return [
    Row('similarity_correlation', geometry.pair_correlation(
      geometry.cosine(form_VD), similar_VV), {'form': form, 'side': side})
    for form, form_VD in forms for side, similar_VV in similar.items()]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def gain(name: str, arm: str, side: str, words: str,
           sigma: float) -> Effect:
    where = {'arm': arm, 'table': INPUT, 'form': FORMS[0], 'side': side}
    return Effect(
      name=name, statement=f'With {arm}, cosines of input vectors follow '
      f'planted similarity of {words}, more than before training.',
      unit='rank correlation', measure=functools.partial(
        samples.paired_difference, metric='similarity_correlation',
        a={**where, 'network': 'trained'},
        b={**where, 'network': 'untrained'}),
      smallest=SMALLEST, positive=chain.learned(arm), sigma=sigma)

  two, one = chain.ARMS
  effects = (gain('nearness of similar tokens', two, FOLLOWERS,
                  'what follows two tokens', 0.03),
             gain('nearness in one table', one, BOTH,
                  'both sides, what follows two tokens and what precedes them',
                  0.07))
  return Stratum(
    name='similarity', title='Similar tokens are near (synthetic)',
    prediction='The cosine of two vectors follows how alike their tokens are.',
    refutation='With two tables the rank correlation is shown to be less than '
    f'{SMALLEST} above that of untrained vectors.',
    effects=effects,
    rule=Rule(supported=tuple((e.name, 'supported') for e in effects),
              refuted=((effects[0].name, 'equivalent or opposite'),),
              conditional=((effects[0].name, 'supported'),
                           (effects[1].name, 'equivalent or opposite'))))


PART = Part('similarity', functools.partial(chain.sweep, 'similarity'),
            measure, declare, figures.similarity,
            sentence=words.similarity, problem=problems.vectors)
