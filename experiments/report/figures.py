"""The figures of each stratum: which rows they show, and how."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from experiments.report import canvas, marks
from experiments.report.wording import label

if TYPE_CHECKING:
  from experiments.judge.verdict import EffectResult, StratumResult

_INTERVAL = ('Points: mean with 95 % t-interval over data instances, or over '
             'seeds where there is one instance; dots: single runs.')
_PLACES = 'Layer 0 is the embedding; levels count from the leaves to the root.'


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


def of_stratum(table: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Draws the figures of one stratum of a claim.

  Args:
    table: the results table.
    stratum: a `StratumResult`; its name selects rows and figures.
  """
  done = table.filter(
    stratum=pl.lit(stratum.name), status=pl.lit('done')
  ).filter(pl.col('value').is_finite())
  done = marks.named_lines(done)
  return [figure(done, stratum) for figure in
          _FIGURES.get(stratum.name, (_loss,))]


def of_effect(effect: EffectResult, name: str) -> str:
  """Draws one effect: interval, zero, smallest effect, units; '' if none."""
  if not math.isfinite(effect.estimate):
    return ''
  svg = canvas.draw((2.5, 0.6),
                    lambda figure: marks.interval(figure.subplots(), effect))
  words = (f'{effect.name}: estimate {effect.estimate:.3g}, interval '
           f'{effect.low:.3g} to {effect.high:.3g}, smallest effect of '
           f'interest {effect.smallest:.3g} {effect.unit}')
  return canvas.inline(svg, name, words)


def _loss(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = _metric(done, 'loss')
  total = rows.filter(pl.col('hops').is_null())
  named = ''
  if total.height:
    rows = total
  elif rows.height:
    named = ('Mean over k; arms that score other positions (chain of thought) '
             'compare only with themselves. ')
  plot = _plot(
    stratum, 'loss', 'Held-out loss against layer count n', 'loss',
    f'Nats per scored position; lower is better. {named}{_INTERVAL}')
  return _line_plot(plot, [('', rows)], 'loss (nats)')


def _accuracy(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = _metric(done, 'accuracy').filter(pl.col('hops').is_not_null())
  facets = [(f'k = {hops}', rows.filter(hops=hops))
            for hops in rows['hops'].unique().sort()]
  chance = _metric(done, 'chance_accuracy')['value'].mean()
  named = '' if chance is None else 'Dashed grey: chance. '
  plot = _plot(
    stratum, 'accuracy', 'Accuracy against n, by number of links k',
    'accuracy', f'Held-out accuracy. {named}{_INTERVAL}', 'hops is not null')
  return _line_plot(plot, facets, 'accuracy', reference=chance, share=True)


def _excess(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = _metric(done, 'excess_bits')
  levels = rows['level'].unique().sort().to_list()  # null, all targets, first
  facets = [(_level(level, levels[-1]),
             rows.filter(pl.col('level').eq_missing(level)))
            for level in levels]
  plot = _plot(
    stratum, 'excess-loss', 'Loss above the Bayes optimum against n',
    'excess_bits', 'Bits above the exact optimum of the grammar; 0 is perfect. '
    f'{_INTERVAL}')
  return _line_plot(plot, facets, 'excess (bits)', reference=0.0)


def _bits_per_byte(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = _metric(done, 'bits_per_byte')
  smallest = next((e.smallest for e in stratum.effects
                   if e.unit == 'bits per byte'), None)
  named = '' if smallest is None else (
    f'Ring: n*, the fewest layers within ±{smallest:g} (the smallest effect of '
    'interest) of the most, by the 95 % t-interval of paired differences; no '
    'ring, none below the most. ')
  plot = _plot(
    stratum, 'bits-per-byte', 'Held-out bits per byte against n',
    'bits_per_byte', f'Lower is better. {named}{_INTERVAL}')
  return _line_plot(plot, [('', rows)], 'bits per byte', negligible=smallest)


def _decodability(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  plot = _plot(
    stratum, 'decodability', 'What each layer knows: decodability D by layer '
    'and level', 'decodability', 'D is 0 for the network before training and 1 '
    'for exact inference; cells are means over runs. Diamond: the layer where '
    'a level emerges (first reaches 0.9 of its highest D), the mean of the '
    f'emergence_layer of each run. {_PLACES}')
  return _heat_plot(plot, _metric(done, 'decodability'),
                    _metric(done, 'emergence_layer'))


def _interchange(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  plot = _plot(
    stratum, 'interchange', 'Is it used? Interchange accuracy by layer and '
    'level', 'interchange_accuracy', 'Share of examples whose prediction '
    'changes as exact inference says when a level is swapped at a layer; cells '
    f'are means over runs. {_PLACES}')
  return _heat_plot(plot, _metric(done, 'interchange_accuracy'))


def _lens(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  names = {'lens_bits_per_byte': 'bits per byte', 'lens_kl': 'KL to the '
           'last layer (bits)'}
  rows = done.filter(pl.col('metric').is_in(list(names)) &
                     pl.col('layer').is_not_null())
  panels = [(arm, metric, rows.filter(line=arm, metric=metric))
            for arm in rows['line'].unique(maintain_order=True)
            for metric in names]
  panels = [panel for panel in panels if panel[2].height]
  plot = _plot(
    stratum, 'logit-lens', 'Logit lens: the prediction read at each layer',
    ' or '.join(names), 'The final norm and head applied to the residual '
    'stream of each layer, 0 the embedding and 1 the last. Lines: mean over '
    'runs, one per n, with 95 % t-intervals.', 'layer is not null')

  lines, columns = -(-len(panels) // 2), min(2, len(panels))

  def paint(figure: Any) -> None:
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (arm, metric, part) in zip(grid.flat, panels):
      marks.lens(axes, part)
      axes.set(title=label(arm), xlabel='relative layer', ylabel=names[metric])
    marks.legend(figure)
    marks.blank(grid.flat[len(panels):])

  return _drawn(plot, rows, (5.2 * columns, 0.5 + 2.6 * lines), paint)


_FIGURES: Mapping[
  str, Sequence[Callable[[pl.DataFrame, StratumResult], Plot]]] = {
  'composition': (_accuracy, _loss),
  'hierarchy': (_loss, _excess, _decodability, _interchange),
  'text': (_bits_per_byte, _loss, _lens),
}


def _metric(done: pl.DataFrame, metric: str) -> pl.DataFrame:
  return done.filter(pl.col('step').is_null(), metric=metric)


def _level(level: int | None, root: int | None) -> str:
  if level is None:
    return 'all targets'
  return {0: 'leaf (level 0)', root: f'root (level {root})'}.get(
    level, f'level {level}')


def _plot(stratum: StratumResult, name: str, title: str, metric: str,
          caption: str, more: str = 'step is null') -> Plot:
  rows_of = (f"stratum = '{stratum.name}', status = 'done', "
             f'metric = {metric}, {more}')
  return Plot(f'{stratum.name}-{name}', title, caption, metric, rows_of)


def _line_plot(plot: Plot, facets: Sequence[tuple[str, pl.DataFrame]],
               ylabel: str, **options: Any) -> Plot:
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
      axes.set(title=title, xlabel='layers n')
    for axes in grid[:, 0]:
      axes.set_ylabel(ylabel)
    marks.legend(figure)
    marks.blank(grid.flat[len(facets):])

  width = 5.0 if columns == 1 else min(10.4, 2.6 * columns)
  return _drawn(plot, rows, (width, 0.5 + 2.7 * lines), paint)


def _heat_plot(plot: Plot, rows: pl.DataFrame,
               emerged: pl.DataFrame | None = None) -> Plot:
  rows = rows.filter(pl.col('layer').is_not_null(),
                     pl.col('level').is_not_null())
  panels = rows.select('line', 'n_layers').unique(maintain_order=True).rows()
  lines, columns = -(-len(panels) // 4), min(4, len(panels))
  height = 0.62 * rows['level'].n_unique() + 0.95

  def paint(figure: Any) -> None:
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, (line, n_layers) in zip(grid.flat, panels):
      image = marks.heat(axes, rows.filter(line=line, n_layers=n_layers),
                         None if emerged is None else
                         emerged.filter(line=line, n_layers=n_layers))
      axes.set(title=f'{label(line)}, n = {n_layers}', xlabel='layer')
    for axes in grid[:, 0]:
      axes.set_ylabel('level')
    marks.blank(grid.flat[len(panels):])
    figure.colorbar(image, ax=grid, shrink=0.9, aspect=14, pad=0.015)

  width = min(10.6, 1.1 + 0.52 * sum(n + 1 for _, n in panels[:4]) + columns)
  return _drawn(plot, rows, (width, height * lines), paint)


def _drawn(plot: Plot, rows: pl.DataFrame, size: tuple[float, float],
           paint: Callable[[Any], None]) -> Plot:
  if rows.is_empty():
    return plot
  return dataclasses.replace(
    plot, rows=rows.height, svg=canvas.draw(size, paint),
    width=round(size[0] * 96))
