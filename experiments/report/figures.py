"""The kit of figures: what a claim draws its own with, and those of any."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from experiments.judge.record import EffectResult, StratumResult
from experiments.judge.table import is_place
from experiments.report import canvas, marks
from experiments.report.wording import label
from experiments.sweeps.experiment import Part

INTERVAL = ('Points: mean with 95 % t-interval over data instances, or over '
            'seeds where there is one instance; dots: single runs.')


@dataclasses.dataclass(frozen=True)
class Plot:
  """A figure and the account of what it shows.

  Attributes:
    name: file name without its ending, unique in the report.
    title: what is drawn against what.
    caption: how to read it.
    metric: name of the metric in the results table.
    rows_of: the filter that selects its rows.
    rows: how many rows of the results table went in.
    svg: the drawing, empty when there are no rows.
    width: pixels at which its text has its natural size.
  """

  name: str
  title: str
  caption: str
  metric: str
  rows_of: str
  rows: int = 0
  svg: str = ''
  width: int = 0

  @property
  def label(self) -> str:
    """What the drawing is, for those who do not see it."""
    return f'{self.title}. {self.caption}'

  @property
  def inline(self) -> str:
    """The drawing as an element of a page."""
    return canvas.inline(self.svg, self.name, self.label)

  @property
  def document(self) -> str:
    """The drawing as a file."""
    return canvas.document(self.svg, self.label)


def of_part(table: pl.DataFrame, part: Part,
            stratum: StratumResult) -> list[Plot]:
  """Draws the figures of one part of an experiment.

  Args:
    table: the results table.
    part: brings its figures; the loss where it brings none.
    stratum: its result.
  """
  done = table.filter(
    stratum=pl.lit(part.name), status=pl.lit('done')
  ).filter(pl.col('value').is_finite())
  done = marks.named_lines(done)
  return list(part.figures(done, stratum) if part.figures else
              [loss(done, stratum)])


def of_effect(effect: EffectResult, name: str) -> str:
  """Draws one effect: interval, zero, smallest effect, units; '' if none."""
  if not math.isfinite(effect.estimate):
    return ''
  svg = canvas.draw((2.5, 0.6),
                    lambda figure: marks.interval(figure.subplots(), effect))
  against = (f'smallest effect of interest {effect.smallest:.3g}'
             if effect.band is None else
             f'band {effect.band[0]:.3g} to {effect.band[1]:.3g}')
  words = (f'{effect.name}: estimate {effect.estimate:.3g}, interval '
           f'{effect.low:.3g} to {effect.high:.3g}, {against} {effect.unit}')
  return canvas.inline(svg, name, words)


def loss(done: pl.DataFrame, stratum: StratumResult,
         note: str = '') -> Plot:
  """Held-out loss against layer count.

  Args:
    done: finished rows.
    stratum: whose they are.
    note: what the mean over places stands for, where a run has no one loss.
  """
  rows = of_metric(done, 'loss')
  total = rows.filter(*(pl.col(name).is_null() for name in rows.columns
                        if is_place(name) and name != 'line'))
  if total.height:
    rows, note = total, ''
  plot = describe(
    stratum.name, 'loss', 'Held-out loss against layer count n', 'loss',
    f'Nats per scored position; lower is better. {note}{INTERVAL}')
  return line_plot(plot, [('', rows)], 'loss (nats)')


def of_metric(done: pl.DataFrame, metric: str) -> pl.DataFrame:
  """The rows of a metric, those of the learning curve apart."""
  return done.filter(pl.col('step').is_null(), metric=metric)


def describe(stratum: str, name: str, title: str, metric: str,
             caption: str, more: str = 'step is null') -> Plot:
  """A figure that is not drawn yet.

  Args:
    stratum: the name of the part it is of.
    name: of the figure, unique in the stratum.
    title, caption: what it shows, and how to read it.
    metric: whose rows it shows.
    more: of the rows' filter.
  """
  rows_of = (f"stratum = '{stratum}', status = 'done', "
             f'metric = {metric}, {more}')
  return Plot(f'{stratum}-{name}', title, caption, metric, rows_of)


def line_plot(plot: Plot, facets: Sequence[tuple[str, pl.DataFrame]],
              ylabel: str, xlabel: str = 'layers n', **options: Any) -> Plot:
  """Lines against a column, in one or several facets.

  Args:
    plot: what it is.
    facets: (title, rows) of each.
    ylabel, xlabel: of the axes.
    **options: see `marks.Lines`.
  """
  if not facets:
    return plot
  rows = pl.concat([part for _, part in facets])
  lines = -(-len(facets) // 5)
  columns = -(-len(facets) // lines)

  def paint(figure: Any) -> None:
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    lines_of = marks.Lines(rows, **options)
    for axes, (title, part) in zip(grid.flat, facets):
      lines_of.paint(axes, part)
      axes.set(title=title, xlabel=xlabel)
    for axes in grid[:, 0]:
      axes.set_ylabel(ylabel)
    marks.legend(figure, lines_of.key())
    marks.blank(grid.flat[len(facets):])

  width = 5.0 if columns == 1 else min(10.4, 2.6 * columns)
  return drawn(plot, rows, (width, 0.7 + 2.7 * lines), paint)


def curve_plot(plot: Plot, panels: Sequence[tuple[str, str, pl.DataFrame]],
               along: str, by: str, xlabel: str, names: str = '{}',
               limits: tuple[float, float] | None = None) -> Plot:
  """Curves, two panels a line.

  Args:
    plot: what it is.
    panels: (title, label of the values, rows) of each.
    along: the column that is drawn against.
    by: the column whose values have a curve each, called as `names` says.
    xlabel: of the axis.
    names: a format.
    limits: of the axis.
  """
  lines, columns = -(-len(panels) // 2), min(2, len(panels))
  rows = pl.concat([part for _, _, part in panels]) if panels else (
    pl.DataFrame())

  def paint(figure: Any) -> None:
    grid = figure.subplots(lines, columns, squeeze=False)
    values = rows[by].unique().sort().to_list()
    for axes, (title, ylabel, part) in zip(grid.flat, panels):
      marks.curves(axes, part, along, by, names, values)
      axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xlim=limits)
    marks.legend(figure, [(marks.mean_sample(), marks.MEAN)])
    marks.blank(grid.flat[len(panels):])

  return drawn(plot, rows, (5.2 * columns, 0.5 + 2.6 * lines), paint)


def heat_plot(plot: Plot, rows: pl.DataFrame, across: str, up: str,
              marked: pl.DataFrame | None = None) -> Plot:
  """Maps of means in [0, 1], one for each line and layer count.

  Args:
    plot: what it is.
    rows: with both columns; those without either are left out.
    across, up: the columns, whole numbers.
    marked: see `marks.heat`.
  """
  rows = rows.filter(pl.col(across).is_not_null(), pl.col(up).is_not_null())
  panels = rows.select('line', 'n_layers').unique(maintain_order=True).rows()
  lines, columns = -(-len(panels) // 4), min(4, len(panels))
  height = 0.62 * rows[up].n_unique() + 0.95

  def paint(figure: Any) -> None:
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (line, n_layers) in zip(grid.flat, panels):
      image = marks.heat(axes, rows.filter(line=line, n_layers=n_layers),
                         across, up, None if marked is None else
                         marked.filter(line=line, n_layers=n_layers))
      axes.set(title=f'{label(line)}, n = {n_layers}', xlabel=label(across))
    for axes in grid[:, 0]:
      axes.set_ylabel(label(up))
    marks.blank(grid.flat[len(panels):])
    figure.colorbar(image, ax=grid, shrink=0.9, aspect=14, pad=0.015,
                    label=label(plot.metric))
    marks.legend(figure)

  width = min(10.6, 1.1 + 0.52 * sum(n + 1 for _, n in panels[:4]) + columns)
  return drawn(plot, rows, (width, height * lines), paint)


def drawn(plot: Plot, rows: pl.DataFrame, size: tuple[float, float],
          paint: Callable[[Any], None]) -> Plot:
  """The figure, drawn; as it was where there are no rows.

  Args:
    plot: what it is.
    rows: what is shown.
    size: width and height in inches.
    paint: draws on the matplotlib figure that it is given.
  """
  if rows.is_empty():
    return plot
  return dataclasses.replace(
    plot, rows=rows.height, svg=canvas.draw(size, paint),
    width=round(size[0] * 96))
