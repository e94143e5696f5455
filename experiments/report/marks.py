"""Lines with error bars, heat maps and intervals, drawn on given axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import polars as pl

from experiments.report.canvas import (
  DASHES,
  INK,
  MARKERS,
  PALETTE,
  gradient,
)
from experiments.report.wording import label

if TYPE_CHECKING:
  from experiments.judge.verdict import EffectResult

STATE_COLOURS = {'supported': PALETTE[2], 'refuted': PALETTE[1],
                 'inconclusive': PALETTE[5]}


def named_lines(rows: pl.DataFrame) -> pl.DataFrame:
  """Adds `line`: the arm, with its learning rate where a cell has several."""
  several = (pl.col('learning_rate').n_unique()
             .over('stratum', 'arm', 'n_layers', 'd_model') > 1)
  rate = pl.format('{}, rate {}', 'arm', 'learning_rate')
  return rows.with_columns(
    pl.when(several.any().over('stratum', 'arm')).then(rate)
    .otherwise(pl.col('arm')).alias('line'))


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
  """Values against n, one line per arm, alike in every facet of a figure."""

  def __init__(self, rows: pl.DataFrame, reference: float | None = None,
               negligible: float | None = None, share: bool = False):
    """Takes the rows of all facets.

    Args:
      rows: what is drawn.
      reference: value at which a grey line is drawn.
      negligible: rings the n* of each line: from there on the deepest model
        is within this much (see `saturation`).
      share: whether values lie in [0, 1].
    """
    self.names = rows['line'].unique(maintain_order=True).to_list()
    self.depths = rows['n_layers'].unique().sort().to_list()
    self.reference, self.share = reference, share
    self.rings = {} if negligible is None else {
      name: saturation(rows.filter(line=name), negligible)
      for name in self.names}
    low, high = self.depths[0], self.depths[-1]
    self.log = high > 4 * low
    # One slot is a fortieth of the axis.
    self.slot = (math.log2(high / low) if self.log else high - low or 1) / 40
    # Lines stand side by side, so that equal results do not hide each other;
    # so do the widths of a line that has several at one depth.
    widths = {name: rows.filter(line=name).select('n_layers', 'd_model')
              .unique().sort('d_model') for name in self.names}
    self.slots = [(name, width) for name, cells in widths.items()
                  for width in _slots(cells)]

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
    axes.set_xticks(self.depths, [str(n) for n in self.depths])
    edge = len(self.slots) / 2 + 1.5
    axes.set_xlim(self._beside(self.depths[0], -edge),
                  self._beside(self.depths[-1], edge))
    if self.share:
      axes.set_ylim(-0.03, 1.04)

  def _line(self, axes: Any, rows: pl.DataFrame, index: int) -> None:
    name, colour = self.names[index], PALETTE[index % len(PALETTE)]
    cells = summary(rows, 'n_layers', 'd_model')
    runs = summary(rows, 'n_layers', 'd_model', 'instance', 'seed')
    at_one_depth = cells['n_layers'].n_unique() < cells.height
    axes.plot(self._places(name, runs, -0.5), runs['mean'], 'o', color=colour,
              alpha=0.45, markersize=3.2, markeredgewidth=0)
    axes.errorbar(
      self._places(name, cells), cells['mean'],
      yerr=cells['half'].fill_null(0), color=colour,
      marker=MARKERS[index % len(MARKERS)], capsize=2.5, elinewidth=1.2,
      linestyle='' if at_one_depth else DASHES[index % len(DASHES)],
      label=self._label(name))
    saturated = cells.filter(n_layers=self.rings.get(name) or 0)
    for place, mean in zip(self._places(name, saturated), saturated['mean']):
      axes.plot([place], [mean], 'o', color=INK, markerfacecolor='none',
                markersize=14, markeredgewidth=1.3)
      axes.annotate('n*', (place, mean), xytext=(0, 9), ha='center',
                    textcoords='offset points', fontweight='bold')

  def _label(self, name: str) -> str:
    widths = [str(width) for line, width in self.slots
              if line == name and width is not None]
    return label(name) + (f' (d = {", ".join(widths)})' if widths else '')

  def _places(self, name: str, cells: pl.DataFrame,
              aside: float = 0.0) -> list[float]:
    places = []
    for n, width in cells.select('n_layers', 'd_model').iter_rows():
      slot = (name, width) if (name, width) in self.slots else (name, None)
      shift = self.slots.index(slot) - (len(self.slots) - 1) / 2
      places.append(self._beside(n, shift + aside))
    return places

  def _beside(self, n: float, shift: float) -> float:
    return n * 2 ** (self.slot * shift) if self.log else n + self.slot * shift


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


def lens(axes: Any, rows: pl.DataFrame) -> None:
  """Values against relative layer, one line per layer count."""
  depths = rows['n_layers'].unique().sort().to_list()
  for index, (n, colour) in enumerate(zip(depths, gradient(len(depths)))):
    cells = summary(rows.filter(n_layers=n), 'layer')
    axes.errorbar(
      cells['layer'] / n, cells['mean'], yerr=cells['half'].fill_null(0),
      color=colour, marker=MARKERS[index % len(MARKERS)], markersize=5,
      elinewidth=1, capsize=2, label=f'n = {n}')
  axes.set_xlim(-0.04, 1.04)


def heat(axes: Any, rows: pl.DataFrame, emerged: pl.DataFrame | None) -> Any:
  """A map of means by layer (across) and level (up); returns the image.

  Args:
    axes: where it is drawn.
    rows: with layer, level and value.
    emerged: rows with level, and as value the layer to be marked on it.
  """
  cells = summary(rows, 'level', 'layer')
  layers = cells['layer'].unique().sort().to_list()
  levels = cells['level'].unique().sort().to_list()
  grid = [[math.nan] * len(layers) for _ in levels]
  for level, layer, mean in cells.select('level', 'layer', 'mean').rows():
    grid[levels.index(level)][layers.index(layer)] = mean
    axes.text(layer, level, f'{round(mean, 2) + 0:.2f}', ha='center',
              va='center', fontsize=8, in_layout=False,
              color='#111111' if mean > 0.5 else '#ffffff')
  image = axes.imshow(
    grid, cmap='cividis', vmin=0, vmax=1, origin='lower', aspect='auto',
    extent=(layers[0] - 0.5, layers[-1] + 0.5,
            levels[0] - 0.5, levels[-1] + 0.5))
  axes.grid(False)
  axes.set_xticks(layers)
  axes.set_yticks(levels)
  if emerged is not None and emerged.height:
    means = summary(emerged, 'level')
    axes.plot(means['mean'], means['level'] + 0.32, 'D', color='#ffffff',
              markeredgecolor=PALETTE[1], markeredgewidth=2, markersize=7)
  return image


def interval(axes: Any, effect: EffectResult) -> None:
  """One effect with its units, against zero and the smallest effect."""
  colour = STATE_COLOURS.get(effect.state, INK)
  low, high = _ends(effect)
  values = [v for v in effect.values if math.isfinite(v)]
  span = [0, effect.smallest, low, high, effect.estimate, *values]
  pad = 0.08 * ((max(span) - min(span)) or 1)
  axes.axvline(0, color=INK, linewidth=0.9)
  axes.axvline(effect.smallest, color=INK, linewidth=1.1, linestyle='--')
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


def legend(figure: Any) -> None:
  """One legend above all facets, a line in several of them named once."""
  found: dict[str, Any] = {}
  for axes in figure.axes:
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles)) | found
  # A letter is about 0.075 inches wide, the sample line with its gaps 0.65.
  entry = 0.075 * max(map(len, found), default=0) + 0.65
  columns = max(1, min(len(found), int(figure.get_figwidth() / entry)))
  figure.legend(found.values(), found.keys(), loc='outside upper left',
                ncols=columns, handlelength=2.6, columnspacing=1.4)


def blank(spare: Iterable[Any]) -> None:
  """Hides the axes that a grid has too many of."""
  for axes in spare:
    axes.set_axis_off()


def _slots(cells: pl.DataFrame) -> list[int | None]:
  """The widths that need a place of their own; [None] when one does for all."""
  if cells['n_layers'].is_unique().all():
    return [None]
  return cells['d_model'].unique().sort().to_list()


def _ends(effect: EffectResult) -> tuple[float, float]:
  """The interval's ends; an open one reaches a little past the rest."""
  inside = [0, effect.smallest, effect.estimate]
  reach = 1.3 * max(abs(v) for v in inside) or 1.0
  low = effect.low if math.isfinite(effect.low) else -reach
  high = effect.high if math.isfinite(effect.high) else reach
  return low, high
