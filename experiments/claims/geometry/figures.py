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
            'share of the width', 'Participation ratio over width. Random '
            f'vectors pass a quarter. {_TABLES}', reference=0.25,
            reference_name='a quarter'),
    _panels(done, stratum, 'neighbour_dimension', 'The dimension that '
            'neighbours see', 'TwoNN', 'It decides nothing. '
            f'{_TABLES}')]


def density(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Partial correlations of sparseness with degree, and what is behind them."""
  caption = ('Of how far the five nearest are (cosine of centred vectors) with '
             'the number of tokens linked to one, frequency removed{}. '
             'Planted: columns of the log-probabilities, with nothing learned. '
             )

  def plot(name: str, title: str, tokens: str, given: str, more: str) -> Plot:
    return _panels(
      done, stratum, 'sparseness_correlation', title,
      'partial rank correlation', caption.format(more) + _TABLES,
      pl.col('distance') == 'centred cosine', pl.col('tokens') == tokens,
      pl.col('given') == given, reference=0.0,
      reference_name='unrelated', name=name)

  return [
    plot('sparseness', 'Do linked-to tokens lie sparser?', 'all', 'frequency',
         ''),
    plot('sparseness-of-linked', 'Do they, among those linked to?', 'linked to',
         'frequency', ', among tokens that any is linked to'),
    plot('sparseness-given-length', 'Do they, whatever their length?', 'all',
         'frequency and length', ', and the length of centred vectors')]


def transitions(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """R^2 of log-probabilities."""
  return [_panels(
    done, stratum, 'determination', 'How exactly are transitions known?', 'R²',
    'Of log-probabilities as they stand. Frequency: what a model that knows '
    'frequencies alone would have. ', along='pairs', reference=0.9,
    reference_name='what is asked for')]


def distance(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """AUC of distance, attention and prediction for links, and above chance."""
  caption = ('Over pairs of far clusters. Input and output: nearness, by the '
             'cosine of centred vectors. ')
  return [_panels(
    done, stratum, metric, title, xlabel, caption + more,
    pl.col('distance').fill_null('centred cosine') == 'centred cosine',
    pl.col('pairs').fill_null('far') == 'far', reference=reference,
    reference_name=name)
    for metric, title, xlabel, more, reference, name in (
      ('link_advantage', 'What tells who is linked, beyond chance?',
       'AUC less that of other links', 'Less the mean AUC of other ways to '
       'link the same tokens as often. ', 0.0, 'chance'),
      ('link_area', 'What tells who is linked?', 'AUC', 'Chance is not 0.5, as '
       'tokens that are linked to lie otherwise than others. ', 0.5,
       'equally near'))]


def _panels(done: pl.DataFrame, stratum: StratumResult, metric: str,
            title: str, xlabel: str, caption: str, *only: pl.Expr,
            along: str = 'table', reference: float | None = None,
            reference_name: str = '', name: str = '') -> Plot:
  """A panel for each arm, and in it a line of dots for each place `along`."""
  plot = describe(stratum.name, name or metric.replace('_', '-'), title,
                  metric, caption + INTERVAL)
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
