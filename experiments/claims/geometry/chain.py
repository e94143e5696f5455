"""The runs of every statement about geometry, and what is planted in them.

All strata measure the same sixteen runs: eight worlds (a chain of tokens each,
see `data/sources/markov.py`), each learned with two tables of vectors, one to
read tokens by and one to score them by, and with one table for both.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from data.config import DataConfig
from data.sources.markov import Markov, MarkovConfig
from experiments.instruments import token_means
from experiments.judge import samples
from experiments.judge.declaration import Control
from experiments.runs.subject import Row, Subject
from experiments.sweeps import overrides
from experiments.sweeps.algebra import Cell, Pins, cells, zipped
from model import AttentionConfig, ModelConfig
from train.config import Config, TrainConfig

WORLDS = {'smoke': range(2), 'cpu': range(8, 16)}
ARMS = {'two tables': 'separate', 'one table': 'tied'}
CLUSTERS = 8
EXAMPLES = 2048  # held-out sequences: the rarest token occurs some 30 times
NETWORKS = ('untrained', 'trained')
# Where a token has a vector.
INPUT, OUTPUT = 'input', 'output'

BASE = Config(
  model=ModelConfig(n_layers=2, d_model=32, mixer=AttentionConfig(n_heads=2),
                    base_width=32),
  data=DataConfig(MarkovConfig(length=16, symbols=128, clusters=CLUSTERS,
                               link=0.5), batch_size=64),
  train=TrainConfig(steps=2500, learning_rate=8e-3))


class Planted(NamedTuple):
  """What is known of a world, float64.

  Attributes:
    transition_VV: P(next | last).
    frequency_V: how often each token occurs.
    cluster_V: where it lies on the ring.
    link_VV: bool, whether a token (first axis) is linked to another.
    far_VV: bool, whether it could be: the clusters of the two are far apart.
    degree_V: how many tokens are linked to each.
    sharing_V: how many tokens are linked to where each is linked to.
  """

  transition_VV: np.ndarray
  frequency_V: np.ndarray
  cluster_V: np.ndarray
  link_VV: np.ndarray
  far_VV: np.ndarray
  degree_V: np.ndarray
  sharing_V: np.ndarray


def sweep(stratum: str, preset: str, pins: Pins) -> tuple[Cell, ...]:
  """The runs: each world with two tables and with one."""
  base = BASE
  if preset == 'smoke':
    base = overrides.replace(base, {
      'model.unroll': 1, 'train.steps': 10, 'train.evaluation_batches': 2})
  worlds = WORLDS[preset]
  return tuple(cell for arm, unembedding in ARMS.items() for cell in cells(
    stratum, arm, zipped(
      overrides.replace(base, {'model.unembedding': unembedding}),
      {'data.seed': worlds, 'train.seed': worlds}, pins)))


def planted(run: Subject) -> Planted:
  """What is known of a run's world."""
  source, world = run.source, run.instance
  assert isinstance(source, Markov)
  link_V, cluster_V = world['link_V'], world['cluster_V']
  transition_VV = world['transition_VV'].astype(float)
  degree_V = np.bincount(link_V, minlength=len(link_V))
  return Planted(
    transition_VV / transition_VV.sum(axis=1, keepdims=True),
    world['frequency_V'].astype(float), cluster_V,
    link_V[:, None] == np.arange(len(link_V)), source.far(cluster_V), degree_V,
    degree_V[link_V])


def networks(run: Subject) -> Iterator[tuple[str, Any]]:
  """The network before training, behind everything measured, and after."""
  yield from zip(NETWORKS, (run.initial, run.params))


def tables(run: Subject, params: Any) -> dict[str, np.ndarray]:
  """The vectors of tokens, (V, D) by table; both roles share one if tied."""
  found = {INPUT: params['token_embedding']['embedding_VD']}
  if run.config.model.unembedding == 'separate':
    found[OUTPUT] = params['unembedding']['w_DV'].T
  return {name: np.asarray(table, float) for name, table in found.items()}


def means(run: Subject, params: Any) -> token_means.TokenMeans:
  """What the network makes of each token, over held-out sequences."""
  return token_means.read(run.config.model, params, run.held_out(EXAMPLES))


def excess(run: Subject) -> Row:
  """How far the trained network is from the chain itself, nats a token.

  The Kullback-Leibler divergence of its predictions from the true law of the
  next token, over held-out positions: its loss above the entropy rate, without
  the noise of what was drawn.
  """
  known, seen = planted(run), means(run, run.params)
  divergence_V = (known.transition_VV * (
    np.log(known.transition_VV) - seen.log_probability_VV)).sum(axis=1)
  return Row('excess', float(divergence_V @ seen.count_V / seen.count_V.sum()))


def learned(arm: str) -> Control:
  """The positive control: a network that has not learned shows nothing."""
  return Control(
    f'learned with {arm}', f'With {arm}, predictions come within 0.1 nats of '
    'the chain itself (its entropy rate is 2.6), in the world that is learned '
    'least.', functools.partial(largest, metric='excess', where={'arm': arm}),
    at_most=0.1)


def largest(table: pl.DataFrame, metric: str,
            where: Mapping[str, str]) -> float:
  """The largest value of `metric` in any run; NaN where there is none."""
  return float(max(samples.values(table, metric, where).values,
                   default=np.nan))


def trained(arm: str, table: str, **places: str) -> dict[str, str]:
  """The condition for a number of a trained network's table."""
  return {'arm': arm, 'network': 'trained', 'table': table, **places}


def of_tables(measure: Callable[[Subject, Planted, np.ndarray], list[Row]],
              run: Subject) -> list[Row]:
  """Rows of every table of both networks, and how much was learned."""
  known = planted(run)
  rows = [excess(run)]
  for network, params in networks(run):
    for name, table_VD in tables(run, params).items():
      where = {'network': network, 'table': name}
      rows += [Row(row.metric, row.value, {**where, **row.where})
               for row in measure(run, known, table_VD)]
  return rows
