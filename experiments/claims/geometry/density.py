"""Density: do tokens that are linked to lie sparser? (card G1, A2)

A token's degree is how many tokens are linked to it. Its neighbourhood is
sparse when its five nearest vectors are far, by the cosine of centred vectors:
Euclidean distance mixes in how long vectors are. Frequency goes with both (a
token that is linked to is more frequent), so what its ranks tell is removed
from the ranks of both. What is left is a correlation, and no cause is shown.

Prediction. The partial rank correlation is 0.3 or more in size. Pilots showed
its sign, and the effects are declared that way round: the more tokens are
linked to one, the sparser it lies. It is judged over worlds, in one table for
both roles and in the table that tokens are scored by. Refuted if it is shown
to be less in both; conditional if in the latter alone. The table that tokens
are read by meets what a token is linked *to*, never what is linked to it, so it
cannot know, and decides nothing. What shows there is shown beside it: tokens
whose links share an end crowd together.

What is to be learned has this correlation already, with nothing learned: the
columns of log P less log frequency (what comes before a token) have 0.78 in
pilots, where trained tables have 0.7. It is thus no doing of training, beyond
learning the chain. Much of it parts tokens that nothing is linked to from the
others: among those that are linked to, pilots found 0.3 to 0.4. With the length
of centred vectors removed as well it is smaller, too. All three stand in the
table and in the figures, and decide nothing.
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
DISTANCE = 'centred cosine'
GIVEN = ('frequency', 'frequency and length')
TOKENS = ('all', 'linked to')
WORLD = 1000  # tokens of world w are the items 1000 w, 1000 w + 1, …


def measure(run: Subject) -> list[Row]:
  """Sparseness against degree of every table, and of what is to be learned."""
  known = chain.planted(run)
  columns_VV = np.log(known.transition_VV / known.frequency_V).T
  return chain.of_tables(table_rows, run) + [
    Row(row.metric, row.value, {
      'network': 'planted', 'table': 'log P, columns', **row.where})
    for row in correlations(known, columns_VV)]


def table_rows(run: Subject, known: Planted,
               table_VD: np.ndarray) -> list[Row]:
  """Correlations, and token by token the residuals that one is of."""
  residuals = {
    'sparseness_residual': geometry.rank_residuals(
      sparseness(table_VD)[DISTANCE], known.frequency_V),
    'degree_residual': geometry.rank_residuals(
      known.degree_V, known.frequency_V)}
  world = run.config.data.seed
  return correlations(known, table_VD) + [
    Row(metric, float(value), {'item': WORLD * world + token, 'world': world})
    for metric, residual_V in residuals.items()
    for token, value in enumerate(residual_V)]


def sparseness(table_VD: np.ndarray) -> dict[str, np.ndarray]:
  """How far each token's nearest are, (V,), by each distance."""
  return {name: geometry.neighbour_distance(distance_VV)
          for name, distance_VV in {
            'euclidean': geometry.distance(table_VD),
            'cosine': 1 - geometry.cosine(table_VD),
            DISTANCE: 1 - geometry.cosine(geometry.centred(table_VD))}.items()}


def correlations(known: Planted, table_VD: np.ndarray) -> list[Row]:
  """Partial rank correlations of sparseness with degree, and with sharing."""
  frequency_V = known.frequency_V
  length_V = np.linalg.norm(geometry.centred(table_VD), axis=1)
  linked_V = known.degree_V > 0
  rows = []
  for name, sparse_V in sparseness(table_VD).items():
    found = {
      (GIVEN[0], TOKENS[0]): geometry.partial_correlation(
        sparse_V, known.degree_V, frequency_V),
      (GIVEN[1], TOKENS[0]): geometry.partial_correlation(
        sparse_V, known.degree_V, frequency_V, length_V),
      (GIVEN[0], TOKENS[1]): geometry.partial_correlation(
        sparse_V[linked_V], known.degree_V[linked_V], frequency_V[linked_V])}
    rows += [Row('sparseness_correlation', value, {
      'distance': name, 'given': given, 'tokens': tokens})
      for (given, tokens), value in found.items()]
    rows.append(Row('crowding_correlation', geometry.partial_correlation(
      -sparse_V, known.sharing_V, frequency_V), {'distance': name}))
  return rows


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  two, one = chain.ARMS
  whole = {'distance': DISTANCE, 'given': GIVEN[0], 'tokens': TOKENS[0]}

  def correlation(name: str, words: str, arm: str, table: str) -> Effect:
    return Effect(
      name=name, statement=f'In the table that {words}, the more tokens are '
      'linked to one, the sparser it lies.', unit='partial rank correlation',
      measure=functools.partial(
        samples.values, metric='sparseness_correlation',
        where=chain.trained(arm, table, **whole)),
      smallest=SMALLEST, positive=chain.learned(arm), sigma=0.08)

  both = correlation('sparseness in one table', 'serves both roles', one, INPUT)
  scoring = correlation('sparseness of scoring vectors',
                        'tokens are scored by', two, OUTPUT)
  reading = correlation('sparseness of reading vectors', 'tokens are read by',
                        two, INPUT)
  pooled = Effect(
    name='sparseness over all worlds', statement='In one table, over the '
    'tokens of all worlds at once, the more tokens are linked to one, the '
    'sparser it lies.', unit='partial rank correlation',
    measure=functools.partial(
      samples.items, metrics=('sparseness_residual', 'degree_residual'),
      where=chain.trained(one, INPUT), cluster='world',
      clusters=len(chain.WORLDS[preset])),
    analysis='rank correlation', smallest=SMALLEST,
    positive=chain.learned(one), sigma=0.08)
  crowding = Effect(
    name='crowding of shared ends', statement='In the table that tokens are '
    'read by, tokens whose links share an end crowd together.',
    unit='partial rank correlation', measure=functools.partial(
      samples.values, metric='crowding_correlation',
      where=chain.trained(two, INPUT, distance=DISTANCE)),
    smallest=SMALLEST, positive=chain.learned(two), sigma=0.08)
  return Stratum(
    name='density', title='Linked-to tokens lie sparser (a partial '
    'correlation)',
    prediction='How many tokens are linked to one goes with how sparse its '
    'neighbourhood is, whatever its frequency.',
    refutation='In one table, and in the table that tokens are scored by, the '
    f'partial rank correlation is shown to be less than {SMALLEST}.',
    effects=(both, scoring, reading, pooled, crowding),
    rule=Rule(supported=((both.name, 'supported'), (scoring.name, 'supported')),
              refuted=((both.name, 'equivalent or opposite'),
                       (scoring.name, 'equivalent or opposite')),
              conditional=((both.name, 'supported'),
                           (scoring.name, 'equivalent or opposite'))),
    controls=tuple(Control(
      f'untrained with {arm}', f'With {arm}, nothing of it is there before '
      'training.', functools.partial(
        samples.average, metric='sparseness_correlation',
        where={'arm': arm, 'network': 'untrained', 'table': table, **whole}),
      at_least=-0.15, at_most=0.15)
      for arm, table in ((one, INPUT), (two, OUTPUT))))


PART = Part('density', functools.partial(chain.sweep, 'density'), measure,
            declare, figures.density,
            sentence=words.density)
