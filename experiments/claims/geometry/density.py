"""Density: is a vector's neighbourhood as its links make it? (G1, A2)

A token's degree is how many tokens are linked to it. Its neighbourhood is
sparse when its five nearest vectors are far. Frequency drives both (a token
that is linked to is more frequent), so what its ranks tell is removed from the
ranks of both.

Prediction. The partial rank correlation is 0.3 or more in size. Pilots showed
its sign, and the effects are declared that way round: the more tokens are
linked to one, the sparser it lies. Refuted if, in one table for both roles and
in the table that tokens are scored by, it is shown to be less. The table that
tokens are read by meets what a token is linked *to*, never what is linked to
it: if only there it is less, the verdict is conditional. What shows there is
shown beside it: tokens whose links share an end crowd together.
"""

import functools

import numpy as np

from experiments.claims.geometry import chain, figures, words
from experiments.claims.geometry.chain import INPUT, OUTPUT, Planted
from experiments.instruments import geometry
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

SMALLEST = 0.3
WORLD = 1000  # tokens of world w are the items 1000 w, 1000 w + 1, …


def measure(run: Subject) -> list[Row]:
  """Sparseness against degree of every table, and token by token."""
  return chain.of_tables(table_rows, run)


def table_rows(run: Subject, known: Planted,
               table_VD: np.ndarray) -> list[Row]:
  """Partial correlations, and the residuals that they are of."""
  rows = []
  distances = {'euclidean': geometry.distance(table_VD),
               'cosine': 1 - geometry.cosine(table_VD),
               'centred cosine': 1 - geometry.cosine(
                 geometry.centred(table_VD))}
  sparseness = {name: geometry.neighbour_distance(distance_VV)
                for name, distance_VV in distances.items()}
  for name, sparse_V in sparseness.items():
    rows += [
      Row('sparseness_correlation', geometry.partial_correlation(
        sparse_V, known.degree_V, known.frequency_V), {'distance': name}),
      Row('crowding_correlation', geometry.partial_correlation(
        -sparse_V, known.sharing_V, known.frequency_V), {'distance': name})]
  residuals = {
    'sparseness_residual': geometry.rank_residuals(
      sparseness['euclidean'], known.frequency_V),
    'degree_residual': geometry.rank_residuals(
      known.degree_V, known.frequency_V)}
  world = run.config.data.seed
  return rows + [
    Row(metric, float(value), {
      'item': WORLD * world + token,
      'cluster': chain.CLUSTERS * world + int(known.cluster_V[token])})
    for metric, residual_V in residuals.items()
    for token, value in enumerate(residual_V)]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  two, one = chain.ARMS

  def correlation(name: str, statement: str, table: str,
                  metric: str = 'sparseness_correlation') -> Effect:
    return Effect(
      name=name, statement=statement, unit='partial rank correlation',
      measure=functools.partial(
        samples.values, metric=metric,
        where=chain.trained(two, table, distance='euclidean')),
      smallest=SMALLEST, positive=chain.learned(two), sigma=0.08)

  clusters = len(chain.WORLDS[preset]) * chain.CLUSTERS
  both = Effect(
    name='sparseness in one table', statement='In one table for both roles, '
    'the more tokens are linked to one, the sparser it lies.',
    unit='partial rank correlation', measure=functools.partial(
      samples.items, metrics=('sparseness_residual', 'degree_residual'),
      where=chain.trained(one, INPUT), cluster='cluster', clusters=clusters),
    analysis='rank correlation', smallest=SMALLEST,
    positive=chain.learned(one), sigma=0.08)
  effects = (
    both,
    correlation('sparseness of scoring vectors', 'In the table that tokens are '
                'scored by, the more tokens are linked to one, the sparser it '
                'lies.', OUTPUT),
    correlation('sparseness of reading vectors', 'In the table that tokens are '
                'read by, the more tokens are linked to one, the sparser it '
                'lies.', INPUT),
    correlation('crowding of shared ends', 'In the table that tokens are read '
                'by, tokens whose links share an end crowd together.', INPUT,
                'crowding_correlation'))
  first, second, third = (effect.name for effect in effects[:3])
  return Stratum(
    name='density', title='Links make neighbourhoods sparse or dense',
    prediction='How many tokens are linked to one tells how sparse its '
    'neighbourhood is, whatever its frequency.',
    refutation='In one table, and in the table that tokens are scored by, the '
    f'partial rank correlation is shown to be less than {SMALLEST}.',
    effects=effects,
    rule=Rule(supported=tuple((n, 'supported') for n in (first, second, third)),
              refuted=((first, 'equivalent'), (second, 'equivalent')),
              conditional=((first, 'supported'), (second, 'supported'),
                           (third, 'not supported'))),
    controls=tuple(Control(
      f'untrained with {arm}', f'With {arm}, nothing of it is there before '
      'training.', functools.partial(
        samples.average, metric='sparseness_correlation',
        where={'arm': arm, 'network': 'untrained', 'table': table,
               'distance': 'euclidean'}),
      at_least=-0.15, at_most=0.15)
      for arm, table in ((one, INPUT), (two, OUTPUT))))


PART = Part('density', functools.partial(chain.sweep, 'density'), measure,
            declare, figures.density,
            sentence=words.density)
