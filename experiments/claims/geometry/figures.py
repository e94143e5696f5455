"""The figures of each stratum: trained and untrained, table by table."""

from typing import Any

import polars as pl

from experiments.judge.record import StratumResult
from experiments.report import figures, marks
from experiments.report.canvas import MARKERS, PALETTE
from experiments.report.figures import INTERVAL, Plot, describe, of_metric

_TABLES = ('Input: the vectors that tokens are read by; output: those they are '
           'scored by; with one table both are the same. ')


def similarity(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Rank correlation of cosines with planted similarity, as it is judged."""
  side = pl.when(arm='two tables').then(pl.lit('followers')).otherwise(
    pl.lit('both'))
  return [_panels(
    done, stratum, 'similarity_correlation', 'Do cosines follow similarity?',
    'rank correlation', 'Over all pairs of tokens; with two tables similar are '
    'tokens that the same tokens follow, with one also those that follow the '
    f'same. {_TABLES}Layers: the mean stream of a token. ',
    pl.col('form') == 'as it is', pl.col('side') == side, reference=0.0,
    reference_name='unrelated')]


def dimension(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Participation ratio over the width."""
  return [
    _panels(done, stratum, 'participation', 'How many directions are used?',
            'share of the width', 'Participation ratio over width. '
            f'{_TABLES}', reference=0.25, reference_name='a quarter'),
    _panels(done, stratum, 'neighbour_dimension', 'The dimension that '
            'neighbours see', 'TwoNN', 'It decides nothing. '
            f'{_TABLES}')]


def density(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Partial correlations of sparseness with degree."""
  return [_panels(
    done, stratum, 'sparseness_correlation', 'Is who is linked to by many '
    'sparse?', 'partial rank correlation', 'Of the mean distance to the five '
    'nearest with the number of tokens linked to one, frequency removed. '
    f'{_TABLES}', pl.col('distance') == 'euclidean', reference=0.0,
    reference_name='unrelated')]


def transitions(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """R^2 of log-probabilities."""
  return [_panels(
    done, stratum, 'determination', 'How exactly are transitions known?', 'R²',
    'Of log-probabilities as they stand. Frequency: what a model that knows '
    'frequencies alone would have. ', along='pairs', reference=0.9,
    reference_name='what is asked for')]


def distance(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """AUC of distance, attention and prediction for links."""
  return [_panels(
    done, stratum, 'link_area', 'What tells who is linked?', 'AUC',
    'Over pairs of far clusters. Input and output: nearness, by '
    'the cosine of centred vectors. ',
    pl.col('distance').fill_null('centred cosine') == 'centred cosine',
    pl.col('pairs').fill_null('far') == 'far', reference=0.5,
    reference_name='chance')]


def _panels(done: pl.DataFrame, stratum: StratumResult, metric: str,
            title: str, xlabel: str, caption: str, *only: pl.Expr,
            along: str = 'table', reference: float | None = None,
            reference_name: str = '') -> Plot:
  """A panel for each arm, and in it a line of dots for each place `along`."""
  plot = describe(stratum.name, metric.replace('_', '-'), title, metric,
                  caption + INTERVAL)
  if done.is_empty():  # it may lack the columns of what is measured
    return plot
  rows = of_metric(done, metric).filter(pl.col('network').is_not_null(), *only)
  arms, places, networks = (
    rows[column].unique(maintain_order=True).to_list()
    for column in ('arm', along, 'network'))

  def paint(figure: Any) -> None:
    grid = figure.subplots(1, len(arms), squeeze=False, sharex=True,
                           sharey=True)[0]
    for axes, arm in zip(grid, arms):
      if reference is not None:
        axes.axvline(reference, color=PALETTE[5], linestyle='--', linewidth=1.1)
      for index, network in enumerate(networks):
        _dots(axes, rows.filter(arm=arm, network=network), along, places, index)
      axes.set(title=arm, xlabel=xlabel)
    grid[0].set_yticks(range(len(places)), places)
    grid[0].set_ylim(len(places) - 0.5, -0.5)
    marks.legend(figure, [] if reference is None else [
      (axes.lines[0], reference_name)])

  return figures.drawn(plot, rows, (7.6, 1.3 + 0.34 * len(places)), paint)


def _dots(axes: Any, rows: pl.DataFrame, along: str, places: list[str],
          index: int) -> None:
  """Means with intervals, and single runs, of one network."""
  beside, colour = 0.18 * (index - 0.5), PALETTE[index]

  def heights(cells: pl.DataFrame) -> list[float]:
    return [places.index(place) + beside for place in cells[along]]

  axes.plot(rows['value'], heights(rows), 'o', color=colour, alpha=0.35,
            markersize=3, markeredgewidth=0)
  cells = marks.summary(rows, along)
  axes.errorbar(cells['mean'], heights(cells), xerr=cells['half'].fill_null(0),
                color=colour, marker=MARKERS[index], markersize=5, capsize=2.5,
                elinewidth=1.2, linestyle='', label=rows['network'].first())
