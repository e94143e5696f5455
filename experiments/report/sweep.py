"""The figures of a sweep of one's own: each metric along each axis."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from experiments.judge.comparison import CURVE, PartComparison
from experiments.judge.record import StratumResult
from experiments.report import figures
from experiments.report.figures import INTERVAL, Plot
from experiments.report.wording import label
from experiments.sweeps.experiment import Part

FACETS = 10  # more places than this make no picture


def of_part(table: pl.DataFrame, part: Part,
            compared: PartComparison) -> list[Plot]:
  """Draws what a part compares, and its learning curves.

  Args:
    table: the results table.
    part: brings figures of its own, if it does.
    compared: its estimates.
  """
  done = table.filter(stratum=pl.lit(part.name), status=pl.lit('done'))
  plots = []
  for axis in compared.axes:
    others = [name for name in compared.axes if name != axis]
    rows = done.with_columns(line=_line(others))
    metrics = dict.fromkeys(m.metric for m in compared.measured)
    plots += [_along(rows, compared, metric, axis) for metric in metrics]
  curves = done.filter(metric=pl.lit(CURVE)).with_columns(
    line=_line(list(compared.axes)))
  if curves.height:
    plot = figures.describe(
      part.name, 'learning', 'Held-out loss while it trains', CURVE,
      'Nats per scored position by training step; means over seeds with 95 % '
      't-intervals.', 'step is not null')
    plots.append(figures.curve_plot(
      plot, [('', 'loss (nats)', curves)], 'step', 'line', 'step'))
  nothing = StratumResult(part.name, part.name, '', '', 'not run', '', (), (),
                          0, 0, '')
  own = figures.of_part(table, part, nothing) if part.figures else []
  return [*own, *(plot for plot in plots if plot.svg)]


def _along(rows: pl.DataFrame, compared: PartComparison, metric: str,
           axis: str) -> Plot:
  measured = [m for m in compared.measured if m.metric == metric]
  rows = figures.of_metric(rows, metric).filter(pl.col('value').is_finite())
  plot = figures.describe(
    compared.name, f'{metric}-{axis}'.replace('.', '-').replace('_', '-'),
    f'{label(metric)} against {_name(axis)}', metric, INTERVAL)
  facets: list[tuple[str, pl.DataFrame]] = []
  for one in measured:
    part = rows.filter(*(pl.col(name).eq_missing(pl.lit(one.where.get(name)))
                         for name in {n for m in measured for n in m.where}))
    title = ', '.join(f'{k} = {v}' for k, v in one.where.items())
    facets.append((title, part))
  if len(facets) > FACETS or not any(part.height for _, part in facets):
    return plot
  return figures.line_plot(plot, facets, label(metric), _name(axis),
                           along=axis)


def _line(columns: Sequence[str]) -> Any:
  """What a line is called: the values of the other axes."""
  if not columns:
    return pl.lit('all runs')
  names = [f'{_name(column)} {{}}' if column != 'arm' else '{}'
           for column in columns]
  return pl.format(', '.join(names), *(
    pl.col(c).cast(pl.String).fill_null('–') for c in columns))


def _name(column: str) -> str:
  return label(column.split('.')[-1])
