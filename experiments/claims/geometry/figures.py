"""The figure of each stratum: trained and untrained, table by table."""

from typing import Any

import polars as pl

from experiments.judge.record import StratumResult
from experiments.report import figures
from experiments.report.figures import INTERVAL, Plot, describe, of_metric

_TABLES = ('Input: the vectors that tokens are read by; output: those they are '
           'scored by; with one table both are the same. ')


def similarity(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Rank correlation of cosines with planted similarity."""
  return [_panels(
    done, stratum, 'similarity_correlation', 'Do cosines follow similarity?',
    'rank correlation', 'Over all pairs of tokens; similar are tokens that the '
    f'same tokens follow. {_TABLES}Layers: the mean stream of a token.',
    reference=0.0, form='as it is', side='followers')]


def dimension(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Participation ratio over the width."""
  return [
    _panels(done, stratum, 'participation', 'How many directions are used?',
            'share of the width', 'Participation ratio over width. Dashed '
            f'grey: a quarter. {_TABLES}', reference=0.25, share=True),
    _panels(done, stratum, 'neighbour_dimension', 'The dimension that '
            'neighbours see', 'TwoNN', 'It decides nothing. '
            f'{_TABLES}')]


def density(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Partial correlations of sparseness with degree."""
  return [_panels(
    done, stratum, 'sparseness_correlation', 'Is who is linked to by many '
    'sparse?', 'partial rank correlation', 'Of the mean distance to the five '
    'nearest with the number of tokens linked to one, frequency removed. '
    f'{_TABLES}', reference=0.0, distance='euclidean')]


def transitions(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """R^2 of log-probabilities."""
  return [_panels(
    done, stratum, 'determination', 'How exactly are transitions known?', 'R²',
    'Of log-probabilities as they stand. Frequency: what a model that knows '
    'frequencies alone would have. ', along='pairs', reference=0.9)]


def distance(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """AUC of distance, attention and prediction for links."""
  rows = done.filter(pl.col('distance').is_null()
                     | (pl.col('distance') == 'centred cosine'),
                     pl.col('pairs').is_null() | (pl.col('pairs') == 'far'))
  return [_panels(
    rows, stratum, 'link_area', 'What tells who is linked?', 'AUC',
    'Over pairs of far clusters; 0.5 (dashed) tells nothing. Input and output: '
    'nearness, by the cosine of centred vectors. ', reference=0.5)]


def _panels(done: pl.DataFrame, stratum: StratumResult, metric: str,
            title: str, ylabel: str, caption: str, along: str = 'table',
            reference: float | None = None, share: bool = False,
            **where: Any) -> Plot:
  """A panel for each arm, a line for each network."""
  rows = of_metric(done, metric).filter(
    pl.col('network').is_not_null(),
    *(pl.col(place) == value for place, value in where.items()))
  rows = rows.with_columns(line=pl.col('network'))
  panels = [(arm, rows.filter(arm=arm))
            for arm in rows['arm'].unique(maintain_order=True)]
  plot = describe(stratum.name, metric.replace('_', '-'), title, metric,
                  caption + INTERVAL)
  return figures.line_plot(plot, panels, ylabel, along, along=along,
                           reference=reference, share=share)
