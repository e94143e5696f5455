"""Similarity: are similar tokens near each other? (card G1, statement B3)

Two tokens are similar if the same tokens follow them: the cosine of their rows
of positive pointwise mutual information, exact. Are their vectors at a small
angle?

Prediction. Over all pairs of tokens, the cosine of two input vectors is
rank-correlated with the planted similarity by 0.3 more than before training.
Refuted if that is shown to be less than 0.3.

With one table a vector says what follows its token and what it follows, which
here are different things; if only the network with two tables has the
correlation, the verdict is conditional.

This is planted similarity, synthetic only: of what people call similar it says
nothing.
"""

import functools

import numpy as np

from experiments.claims.geometry import chain, figures
from experiments.claims.geometry.chain import INPUT, Planted
from experiments.instruments import geometry
from experiments.judge import samples
from experiments.judge.declaration import Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

SMALLEST = 0.3
FORMS = {
  'as it is': lambda table_VD: table_VD,
  'centred': geometry.centred,
  'all but top': functools.partial(geometry.all_but_top, top=1),
  'whitened': geometry.whitened,
}
SIDES = ('followers', 'predecessors')


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
  information_VV = geometry.positive_information(
    known.transition_VV, known.frequency_V)
  similar = [geometry.cosine(information_VV),
             geometry.cosine(information_VV.T)]
  return [
    Row('similarity_correlation', geometry.pair_correlation(
      geometry.cosine(form(table_VD)), similar_VV),
      {'form': name, 'side': side})
    for name, form in FORMS.items() for side, similar_VV in zip(SIDES, similar)]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def gain(arm: str, name: str, sigma: float) -> Effect:
    where = {'arm': arm, 'table': INPUT, 'form': 'as it is',
             'side': SIDES[0]}
    return Effect(
      name=name, statement=f'With {arm}, cosines of input vectors follow '
      'planted similarity, more than before training.',
      unit='rank correlation', measure=functools.partial(
        samples.paired_difference, metric='similarity_correlation',
        a={**where, 'network': 'trained'},
        b={**where, 'network': 'untrained'}),
      smallest=SMALLEST, positive=chain.learned(arm), sigma=sigma)

  two, one = chain.ARMS
  effects = (gain(two, 'nearness of similar tokens', 0.05),
             gain(one, 'nearness in one table', 0.08))
  return Stratum(
    name='similarity', title='Similar tokens are near (synthetic)',
    prediction='The cosine of two vectors follows how alike their tokens are.',
    refutation='With two tables the rank correlation is shown to be less than '
    f'{SMALLEST} above that of untrained vectors.',
    effects=effects,
    rule=Rule(supported=tuple((e.name, 'supported') for e in effects),
              refuted=((effects[0].name, 'equivalent'),),
              conditional=((effects[0].name, 'supported'),
                           (effects[1].name, 'not supported'))))


PART = Part('similarity', functools.partial(chain.sweep, 'similarity'),
            measure, declare, figures.similarity)
