"""Dimension: do vectors use many directions? (card G1, statement B2)

Prediction. At width 32 the participation ratio of the input vectors, how many
principal directions share their variance, is above a quarter of the width.
Refuted if it is shown to be below with both kinds of tables; conditional if
with one table alone. Random vectors pass that threshold: before training the
share is 0.8, so training can only keep it or lose it, and what is judged is
that a network that has learned the chain still has it. One that has not makes
the stratum invalid, by the control of learning. The share before training is a
control, and stands beside the verdict. TwoNN, the dimension that nearest
neighbours see, is shown too and decides nothing.

The verdict is of this width. What there is to say of 128 tokens in 8 clusters
does not grow with it: pilots found a share of 0.52 at width 32, 0.34 at 64.
"""

import functools

import numpy as np

from experiments.claims.geometry import chain, figures, words
from experiments.claims.geometry.chain import INPUT, Planted
from experiments.instruments import geometry
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part

SMALLEST = 0.25  # of the width
RANDOM = 0.7  # what random vectors have at least


def measure(run: Subject) -> list[Row]:
  """Participation ratio and TwoNN of every table."""
  return chain.of_tables(table_rows, run)


def table_rows(run: Subject, known: Planted,
               table_VD: np.ndarray) -> list[Row]:
  """Those of one table."""
  del run, known
  return [
    Row('participation', geometry.participation_ratio(table_VD)
        / table_VD.shape[1]),
    Row('neighbour_dimension', geometry.two_nearest_dimension(
      geometry.distance(table_VD)))]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  effects = tuple(Effect(
    name=f'directions with {arm}',
    statement=f'With {arm}, the variance of the input vectors of a network '
    'that has learned is still shared by more than a quarter of 32 directions.',
    unit='share of the width', measure=functools.partial(
      samples.values, metric='participation', where=chain.trained(arm, INPUT)),
    band=(SMALLEST, 1.01), positive=chain.learned(arm), sigma=0.05)
    for arm in chain.ARMS)
  return Stratum(
    name='dimension', title='At width 32, vectors still use many directions '
    'after training',
    prediction='The participation ratio stays above a quarter of the width; '
    'before training it is 0.8 of it.',
    refutation='With two tables and with one, it is shown to be below.',
    effects=effects,
    rule=Rule(supported=tuple((e.name, 'supported') for e in effects),
              refuted=tuple((e.name, 'opposite') for e in effects),
              conditional=((effects[0].name, 'supported'),
                           (effects[1].name, 'opposite'))),
    controls=tuple(Control(
      f'share before training with {arm}', f'With {arm}, vectors use most '
      'directions before training, as random ones do: training can lose them.',
      functools.partial(samples.average, metric='participation', where={
        'arm': arm, 'network': 'untrained', 'table': INPUT}),
      at_least=RANDOM) for arm in chain.ARMS))


PART = Part('dimension', functools.partial(chain.sweep, 'dimension'), measure,
            declare, figures.dimension,
            sentence=words.dimension)
