"""Lines with error bars, heat maps and intervals, drawn on given axes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from experiments.judge.record import EffectResult
from experiments.report.canvas import (
  DASHES,
  INK,
  MARKERS,
  PALETTE,
  gradient,
)
from experiments.report.wording import label

MEAN = 'mean, 95 % interval'
STATE_COLOURS = {'supported': PALETTE[2], 'equivalent': PALETTE[0],
                 'opposite': PALETTE[1], 'inconclusive': PALETTE[5]}


def named_lines(rows: pl.DataFrame) -> pl.DataFrame:
  """Adds `line`: the arm, with what else tells its cells apart.

  That is the learning rate, and the config fields that have a column, where
  they differ at one layer count and width.
  """
  fields = ['learning_rate', *(name for name in rows.columns if '.' in name)]
  line = pl.col('arm')
  for field in fields:
    several = (pl.col(field).n_unique()
               .over('stratum', 'arm', 'n_layers', 'd_model') > 1)
    name = 'rate' if field == 'learning_rate' else label(field.split('.')[-1])
    line = pl.when(several.any().over('stratum', 'arm')).then(
      pl.format(f'{{}}, {name} {{}}', line, field)).otherwise(line)
  return rows.with_columns(line.alias('line'))


def summary(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
  """Mean and the half-width of its 95 % t-interval, per cell of `keys`.

  Replicates are data instances (their seeds averaged first), or the seeds
  where a cell has one instance, as in `experiments.judge.statistics`. A single
  replicate has no interval (null).
  """
  from scipy import stats
  instances = pl.col('instance').n_unique().over(*keys)
  replicates = rows.with_columns(
    replicate=pl.when(instances > 1).then('instance').otherwise('seed')
  ).group_by(*keys, 'replicate', maintain_order=True).agg(
    pl.col('value').mean())
  cells = replicates.group_by(*keys, maintain_order=True).agg(
    mean=pl.col('value').mean(), sd=pl.col('value').std(), size=pl.len())
  half = [stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n) if n > 1 else None
          for n, sd in cells.select('size', 'sd').iter_rows()]
  return cells.with_columns(
    pl.Series('half', half, dtype=pl.Float64)).sort(*keys)


class Lines:
  """Values against a column, one line per `line`, alike in every facet."""

  def __init__(self, rows: pl.DataFrame, reference: float | None = None,
               negligible: float | None = None, share: bool = False,
               along: str = 'n_layers', reference_name: str = 'reference'):
    """Takes the rows of all facets.

    Args:
      rows: what is drawn; their `line` names the line.
      reference: value at which a grey line is drawn.
      negligible: rings the n* of each line: from there on the deepest model
        is within this much (see `saturation`).
      share: whether values lie in [0, 1].
      along: the column that is drawn against; text is spread evenly.
      reference_name: what the grey line is.
    """
    self.reference_name = reference_name
    self.along = along
    self.names = rows['line'].unique(maintain_order=True).to_list()
    values = rows[along].drop_nulls().unique(maintain_order=True)
    self.numeric = values.dtype.is_numeric()
    self.ticks = (values.sort() if self.numeric else values).to_list()
    self.reference, self.share = reference, share
    self.rings = {} if negligible is None else {
      name: saturation(rows.filter(line=name), negligible)
      for name in self.names}
    low, high = self._at(self.ticks[0]), self._at(self.ticks[-1])
    self.log = self.numeric and 0 < 4 * low < high
    # One slot is a fortieth of the axis.
    self.slot = (math.log2(high / low) if self.log else high - low or 1) / 40
    # Lines stand side by side, so that equal results do not hide each other;
    # so do the widths of a line that has several at one place.
    self.keys = list(dict.fromkeys((along, 'd_model')))
    widths = {name: rows.filter(line=name).select(self.keys).unique()
              .sort('d_model') for name in self.names}
    self.slots = [(name, width) for name, cells in widths.items()
                  for width in _slots(cells, along)]

  def paint(self, axes: Any, rows: pl.DataFrame) -> None:
    """Draws one facet."""
    if self.reference is not None:
      axes.axhline(self.reference, color=PALETTE[5], linestyle='--',
                   linewidth=1.1)
    for index, name in enumerate(self.names):
      part = rows.filter(line=name)
      if part.height:
        self._line(axes, part, index)
    if self.log:
      axes.set_xscale('log', base=2)
    axes.set_xticks([self._at(tick) for tick in self.ticks],
                    [f'{tick:g}' if self.numeric else str(tick)
                     for tick in self.ticks])
    edge = len(self.slots) / 2 + 1.5
    axes.set_xlim(self._beside(self._at(self.ticks[0]), -edge),
                  self._beside(self._at(self.ticks[-1]), edge))
    if self.share:
      axes.set_ylim(-0.03, 1.04)

  def key(self) -> list[tuple[Any, str]]:
    """What the legend says of all lines alike: (sample, words)."""
    from matplotlib.lines import Line2D
    dot = Line2D([], [], color=INK, marker='o', linestyle='', alpha=0.45,
                 markersize=3.2, markeredgewidth=0)
    found = [(mean_sample(), MEAN), (dot, 'one run')]
    if self.reference is not None:
      found.append((Line2D([], [], color=PALETTE[5], linestyle='--',
                           linewidth=1.1), self.reference_name))
    if any(self.rings.values()):
      found.append((Line2D([], [], color=INK, marker='o', linestyle='',
                           markerfacecolor='none', markersize=9),
                    'n*, as good as the most layers'))
    return found

  def _line(self, axes: Any, rows: pl.DataFrame, index: int) -> None:
    name, colour = self.names[index], PALETTE[index % len(PALETTE)]
    cells = summary(rows, *self.keys)
    runs = summary(rows, *self.keys, 'instance', 'seed')
    in_one_place = cells[self.along].n_unique() < cells.height
    axes.plot(self._places(name, runs, -0.5), runs['mean'], 'o', color=colour,
              alpha=0.45, markersize=3.2, markeredgewidth=0)
    axes.errorbar(
      self._places(name, cells), cells['mean'],
      yerr=cells['half'].fill_null(0), color=colour,
      marker=MARKERS[index % len(MARKERS)], capsize=2.5, elinewidth=1.2,
      linestyle='' if in_one_place else DASHES[index % len(DASHES)],
      label=self._label(name))
    ring = self.rings.get(name)
    saturated = cells.head(0) if ring is None else cells.filter(n_layers=ring)
    for place, mean in zip(self._places(name, saturated), saturated['mean']):
      axes.plot([place], [mean], 'o', color=INK, markerfacecolor='none',
                markersize=14, markeredgewidth=1.3)
      axes.annotate('n*', (place, mean), xytext=(0, 9), ha='center',
                    textcoords='offset points', fontweight='bold')

  def _label(self, name: str) -> str:
    widths = [str(width) for line, width in self.slots
              if line == name and width is not None]
    return label(name) + (f' (d = {", ".join(widths)})' if widths else '')

  def _at(self, value: Any) -> float:
    return float(value) if self.numeric else float(self.ticks.index(value))

  def _places(self, name: str, cells: pl.DataFrame,
              aside: float = 0.0) -> list[float]:
    places = []
    for value, width in zip(cells[self.along], cells['d_model']):
      slot = (name, width) if (name, width) in self.slots else (name, None)
      shift = self.slots.index(slot) - (len(self.slots) - 1) / 2
      places.append(self._beside(self._at(value), shift + aside))
    return places

  def _beside(self, at: float, shift: float) -> float:
    return at * 2 ** (self.slot * shift) if self.log else (
      at + self.slot * shift)


def saturation(rows: pl.DataFrame, negligible: float) -> int | None:
  """n*: the fewest layers that are as good as the most.

  The smallest n for which the 95 % t-interval of the difference to the deepest
  model, paired by seed and instance, lies within +-`negligible`; None where
  that is the deepest itself.
  """
  deepest = rows['n_layers'].max()
  unit = ('instance', 'seed')
  pairs = rows.join(rows.filter(n_layers=deepest).select(*unit, last='value'),
                    on=unit, maintain_order='left')
  gaps = summary(pairs.with_columns(value=pl.col('last') - pl.col('value')),
                 'n_layers').drop_nulls('half')
  within = gaps.filter(
    pl.col('n_layers') < deepest,
    pl.col('mean').abs() + pl.col('half') <= negligible)
  return next(iter(within['n_layers'].sort()), None)


def curves(axes: Any, rows: pl.DataFrame, along: str, by: str,
           names: str = '{}', values: Sequence[Any] = ()) -> None:
  """Means against a column, one line per value of another, in its order.

  Args:
    axes: where they are drawn.
    rows: with both columns and value.
    along: the column that is drawn against.
    by: the column whose values have a line each.
    names: the format of their names.
    values: those of all panels, so that one looks the same in each.
  """
  values = values or rows[by].unique().sort().to_list()
  for index, (value, colour) in enumerate(zip(values, gradient(len(values)))):
    cells = summary(rows.filter(pl.col(by) == value), along)
    # What a panel has none of is in its legend too, which keeps the order.
    axes.errorbar(
      cells[along], cells['mean'], yerr=cells['half'].fill_null(0),
      color=colour, marker=MARKERS[index % len(MARKERS)], markersize=5,
      elinewidth=1, capsize=2, label=names.format(value))


def heat(axes: Any, rows: pl.DataFrame, across: str, up: str,
         marked: pl.DataFrame | None = None) -> Any:
  """A map of means in [0, 1]; returns the image.

  Args:
    axes: where it is drawn.
    rows: with both columns, whole numbers, and value.
    across: the column from left to right.
    up: the column from the bottom to the top.
    marked: rows with `up`, and as value the place across to be marked on it.
  """
  cells = summary(rows, up, across)
  columns = cells[across].unique().sort().to_list()
  lines = cells[up].unique().sort().to_list()
  grid = [[math.nan] * len(columns) for _ in lines]
  for line, column, mean in cells.select(up, across, 'mean').rows():
    grid[lines.index(line)][columns.index(column)] = mean
    axes.text(column, line, f'{round(mean, 2) + 0:.2f}', ha='center',
              va='center', fontsize=8, in_layout=False,
              color='#111111' if mean > 0.5 else '#ffffff')
  image = axes.imshow(
    grid, cmap='cividis', vmin=0, vmax=1, origin='lower', aspect='auto',
    extent=(columns[0] - 0.5, columns[-1] + 0.5,
            lines[0] - 0.5, lines[-1] + 0.5))
  axes.grid(False)
  axes.set_xticks(columns)
  axes.set_yticks(lines)
  if marked is not None and marked.height:
    means = summary(marked, up)
    axes.plot(means['mean'], means[up] + 0.32, 'D', color='#ffffff',
              markeredgecolor=PALETTE[1], markeredgewidth=2, markersize=7,
              linestyle='', label=f'mean {label(marked["metric"][0])}')
  return image


def interval(axes: Any, effect: EffectResult) -> None:
  """One effect with its units, against none and what it is held against."""
  colour = STATE_COLOURS.get(effect.state, INK)
  low, high = _ends(effect)
  values = [v for v in effect.values if math.isfinite(v)]
  span = [effect.null, *effect.bounds, low, high, effect.estimate, *values]
  pad = 0.08 * ((max(span) - min(span)) or 1)
  axes.axvline(effect.null, color=INK, linewidth=0.9)
  for bound in effect.bounds:
    axes.axvline(bound, color=INK, linewidth=1.1, linestyle='--')
  axes.plot(values, [-0.55] * len(values), '|', color=INK, alpha=0.45,
            markersize=5)
  axes.plot([low, high], [0.2, 0.2], color=colour, linewidth=3.2,
            solid_capstyle='butt')
  axes.plot([effect.estimate], [0.2], 'o', color=colour, markersize=7.5)
  axes.set(xlim=(min(span) - pad, max(span) + pad), ylim=(-1, 1), yticks=[])
  axes.spines['left'].set_visible(False)
  axes.locator_params(axis='x', nbins=4)
  axes.tick_params(labelsize=8, length=2.5)
  axes.grid(False)


def mean_sample() -> Any:
  """A mean with its interval, as a legend shows it."""
  from matplotlib.lines import Line2D
  return Line2D([], [], color=INK, marker='|', linestyle='', markersize=11,
                markeredgewidth=1.2)


def legend(figure: Any, more: Iterable[tuple[Any, str]] = ()) -> None:
  """One legend above all facets, a line in several of them named once.

  Args:
    figure: whose axes have lines with labels.
    more: further entries, (sample, words).
  """
  lines: dict[str, Any] = {}
  for axes in figure.axes:
    handles, labels = axes.get_legend_handles_labels()
    lines = dict(zip(labels, handles)) | lines
  lines |= {words: sample for sample, words in more}
  if not lines:
    return
  # A letter is about 0.075 inches wide, the sample line with its gaps 0.65.
  entry = 0.075 * max(map(len, lines), default=0) + 0.65
  columns = max(1, min(len(lines), int(figure.get_figwidth() / entry)))
  figure.legend(lines.values(), lines.keys(), loc='outside upper left',
                ncols=columns, handlelength=2.6, columnspacing=1.4)


def blank(spare: Iterable[Any]) -> None:
  """Hides the axes that a grid has too many of."""
  for axes in spare:
    axes.set_axis_off()


def _slots(cells: pl.DataFrame, along: str) -> list[int | None]:
  """The widths that need a place of their own; [None] when one does for all."""
  if cells[along].is_unique().all():
    return [None]
  return cells['d_model'].unique().sort().to_list()


def _ends(effect: EffectResult) -> tuple[float, float]:
  """The interval's ends; an open one reaches a little past the rest."""
  inside = [effect.null, *effect.bounds, effect.estimate]
  reach = 1.3 * max(abs(v) for v in inside) or 1.0
  low = effect.low if math.isfinite(effect.low) else -reach
  high = effect.high if math.isfinite(effect.high) else reach
  return low, high
