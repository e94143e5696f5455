"""Figures of any instrument, out of its rows alone.

A number that has a layer is drawn against it, one line for each other place;
one that has two layers, or a layer and a head, is a map. A new instrument needs
nothing here.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from experiments.instruments.examination import COLUMNS, MODEL
from experiments.judge.numbers import number
from experiments.report import figures, marks
from experiments.report.canvas import DASHES, INK, MARKERS, PALETTE
from experiments.report.figures import Plot
from experiments.report.probe.readings import RUN
from experiments.report.wording import label

MOST_LINES = 6  # in one panel
MOST_PANELS = 6  # of one figure; the table of numbers has the rest
FEW = 8  # whole numbers of a place that still have a line each
HEATS = 'cividis'


@dataclasses.dataclass(frozen=True)
class Numbers:
  """A table of numbers under a figure.

  Attributes:
    head: of each column.
    rows: texts.
    title: '' where the figure's own says it.
  """

  head: Sequence[str]
  rows: Sequence[Sequence[str]]
  title: str = ''


@dataclasses.dataclass(frozen=True)
class Shown:
  """A metric: its figure, where it has one, and its numbers."""

  plot: Plot
  numbers: Sequence[Numbers]


def kinds(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
  """Rows of one metric, those with the same numbered places together.

  What has a head is shown apart from what is of a whole layer, and that apart
  from what has no layer.

  Returns:
    (what tells the kind, rows) of each; '' where there is one.
  """
  numbered = ['layer', *(name for name in places(rows)
                         if rows[name].dtype.is_integer())]
  keys = [pl.col(name).is_not_null().alias(f'has {name}') for name in numbered]
  groups = dict(rows.group_by(keys, maintain_order=True))
  found = []
  for has, part in groups.items():
    named = [label(name) for name, there in zip(numbered, has) if there
             and len({other[numbered.index(name)] for other in groups}) > 1]
    found.append((f'by {" and ".join(named)}' if named else
                  'in all' if len(groups) > 1 else '', part))
  return found


def plain(rows: pl.DataFrame, metric: str, axis: str, kind: str) -> Plot:
  """A figure of one kind of rows of a metric, not drawn yet."""
  words = f'{axis}, {kind}' if kind else axis
  name = f'{metric} {kind}'.strip().replace('_', '-').replace(' ', '-')
  return Plot(name, words[:1].upper() + words[1:], '', metric,
              f'metric = {metric}', rows.height)


def of_metric(rows: pl.DataFrame, metric: str, axis: str,
              kind: str = '') -> Shown:
  """What one metric of one model says.

  Args:
    rows: of the metric, some; all finite and of one kind.
    metric: its name.
    axis: what its values are, with the unit.
    kind: of `kinds`.
  """
  plot = plain(rows, metric, axis, kind)
  others = places(rows)
  across = _across(rows, others)
  if across:
    return _maps(plot, rows, across, [p for p in others if p != across])
  along = 'layer' if rows['layer'].n_unique() > 1 else next(
    (p for p in others if rows[p].dtype.is_numeric()), '')
  if along:
    return _curves(plot, rows, along, [p for p in others if p != along], axis)
  return Shown(plot, [_listed(
    named(rows, [p for p in others if p != 'network']), axis)])


def places(rows: pl.DataFrame) -> list[str]:
  """The columns that tell these rows apart, the layer apart."""
  return [name for name in rows.columns
          if name not in {*COLUMNS, *RUN} and rows[name].n_unique() > 1]


def _across(rows: pl.DataFrame, others: Sequence[str]) -> str:
  """The second whole number of a map; '' where there is none."""
  if rows['layer'].n_unique() < 2:
    return ''
  return next((p for p in others if rows[p].dtype.is_integer() and (
    rows[p].n_unique() > FEW or p == 'head' or 'layer' in p)), '')


def named(rows: pl.DataFrame, others: Sequence[str]) -> pl.DataFrame:
  """The rows with `line`: the values of their places, in words."""
  words = [pl.when(pl.col(p).is_null()).then(pl.lit('')).when(
    pl.lit(rows[p].dtype.is_numeric())).then(
      pl.format(f'{label(p)} {{}}', p)).otherwise(
      pl.col(p).cast(pl.String).str.replace_all('_', ' ', literal=True))
           for p in others]
  line = pl.concat_list(words).list.filter(pl.element() != '').list.join(
    ', ') if words else pl.lit('')
  return rows.with_columns(line=line)


def _listed(rows: pl.DataFrame, axis: str) -> Numbers:
  """Numbers without a layer."""
  told = any(rows['line'])
  return Numbers(
    [*(['place'] if told else []), 'network', axis],
    [[*([line] if told else []), network, number(value)]
     for line, network, value in rows.select(
       'line', 'network', 'value').iter_rows()])


def _curves(plot: Plot, rows: pl.DataFrame, along: str,
            others: Sequence[str], axis: str) -> Shown:
  """Lines, in as many panels as keep them few in each."""
  split: list[str] = []
  rest = sorted(others, key=lambda p: -rows[p].n_unique())
  while rest and rows.select(rest).unique().height > MOST_LINES:
    split.append(rest.pop())
  rows = named(rows, rest).sort(along, maintain_order=True)
  panels = _panels(rows, split)
  random = rows['network'].n_unique() > 1
  caption = 'Dotted: a random network of the same shape. ' if random else ''
  caption += more(panels)
  plot = dataclasses.replace(plot, caption=caption)
  shown = panels[:MOST_PANELS]

  def paint(figure: Any) -> None:
    grid = figure.subplots(_lines(shown), min(2, len(shown)), squeeze=False,
                           sharey=True)
    names = rows['line'].unique(maintain_order=True).to_list()
    for axes, (title, part) in zip(grid.flat, shown):
      for index, name in enumerate(names):
        _curve(axes, part.filter(line=name), along, index, name)
      axes.set(title=title, xlabel=label(along))
      axes.xaxis.get_major_locator().set_params(integer=along == 'layer')
      if _spread(rows['value']):
        axes.set_yscale('log')
        axes.yaxis.set_major_formatter(lambda value, _: f'{value:g}')
    for axes in grid[:, 0]:
      axes.set_ylabel('\n'.join(wrapped(axis)))
    marks.legend(figure, [(_dotted(), 'random network')] if random else ())
    marks.blank(grid.flat[len(shown):])

  drawn = figures.drawn(plot, rows, _size(shown), paint)
  return Shown(drawn, [_pivot(part, along, title) for title, part in panels])


def _curve(axes: Any, rows: pl.DataFrame, along: str, index: int,
           name: str) -> None:
  colour = PALETTE[index % len(PALETTE)]
  for network, part in rows.group_by('network', maintain_order=True):
    if network == (MODEL,):
      axes.plot(part[along], part['value'], color=colour,
                linestyle=DASHES[index % len(DASHES)],
                marker=MARKERS[index % len(MARKERS)], markersize=3.6,
                label=name or None)
    else:
      axes.plot(part[along], part['value'], color=colour, linestyle=':',
                linewidth=1.2, alpha=0.85)


def _dotted() -> Any:
  from matplotlib.lines import Line2D
  return Line2D([], [], color=INK, linestyle=':', linewidth=1.2)


def _maps(plot: Plot, rows: pl.DataFrame, across: str,
          others: Sequence[str]) -> Shown:
  """A map of layer by another whole number, for each of the other places."""
  panels = _panels(rows, [*others, *(
    ['network'] if rows['network'].n_unique() > 1 else [])])
  shown = panels[:MOST_PANELS]
  layers = [rows[name].drop_nulls() for name in (across, 'layer')]
  extent = [end for one in layers
            for end in (_ends(one)[0] - 0.5, _ends(one)[1] + 0.5)]
  low, high = _ends(rows['value'])
  diverging = low < 0 < high and -low > high / 4
  reach = max(-low, high)
  ends = (-reach, reach) if diverging else (low, high)

  def paint(figure: Any) -> None:
    grid = figure.subplots(_lines(shown), min(2, len(shown)), squeeze=False,
                           sharey=True)
    for axes, (title, part) in zip(grid.flat, shown):
      cells = {(up, over): value for up, over, value in
               part.select('layer', across, 'value').iter_rows()}
      image = axes.imshow(
        [[cells.get((up, over), math.nan) for over in _whole(layers[0])]
         for up in _whole(layers[1])], origin='lower', aspect='auto',
        cmap='RdBu_r' if diverging else HEATS, vmin=ends[0], vmax=ends[1],
        extent=extent, interpolation='nearest')
      axes.grid(False)
      axes.set(title=title, xlabel=label(across))
      for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    for axes in grid[:, 0]:
      axes.set_ylabel('layer')
    marks.blank(grid.flat[len(shown):])
    figure.colorbar(image, ax=grid, shrink=0.9, aspect=16, pad=0.02)

  plot = dataclasses.replace(
    plot, caption=f'Layer, from the bottom to the top, by {label(across)}. '
    + more(panels))
  drawn = figures.drawn(plot, rows, _size(shown, 3.6), paint)
  return Shown(drawn, [_pivot(part.with_columns(
    line=pl.format(f'{label(across)} {{}}', across)), 'layer', title)
    for title, part in shown])


def _whole(values: pl.Series) -> range:
  low, high = _ends(values)
  return range(low, high + 1)


def _ends(values: pl.Series) -> tuple[Any, Any]:
  return values.min(), values.max()


def _panels(rows: pl.DataFrame,
            split: Sequence[str]) -> list[tuple[str, pl.DataFrame]]:
  """Parts of the rows, each with the values of these places in words."""
  if not split:
    return [('', rows)]
  titles = named(rows, split)['line']
  return [(title, rows.filter(titles == title))
          for title in titles.unique(maintain_order=True)]


def more(panels: Sequence[Any]) -> str:
  """What a caption says of the panels that are not drawn."""
  left = len(panels) - MOST_PANELS
  return f'{left} more are in the numbers below. ' if left > 0 else ''


def _pivot(rows: pl.DataFrame, along: str, title: str) -> Numbers:
  """A line for each layer, a column for each line and network."""
  random = pl.concat_str('line', pl.lit(' random')).str.strip_chars()
  table = rows.with_columns(
    column=pl.when(network=MODEL).then('line').otherwise(random)).pivot(
      'column', index=along, values='value',
      aggregate_function='mean').sort(along)
  names = [name or 'value' for name in table.columns[1:]]
  return Numbers([label(along), *names], [
    [_short(at), *map(number, values)] for at, *values in table.iter_rows()],
    title)


def _short(value: Any) -> str:
  return number(value) if isinstance(value, float) else str(value)


def _spread(values: pl.Series) -> bool:
  """Whether they span so much that small ones would not be seen."""
  low, high = _ends(values)
  return bool(low > 0 and high > max(300 * low, 2))  # shares stay as they are


def _lines(panels: Sequence[Any]) -> int:
  return -(-len(panels) // 2)


def _size(panels: Sequence[Any], height: float = 2.7) -> tuple[float, float]:
  return (5.0 if len(panels) == 1 else 10.0, 0.5 + height * _lines(panels))


def wrapped(text: str, most: int = 36) -> list[str]:
  """The lines of an axis's words."""
  import textwrap
  return textwrap.wrap(text, most)
