"""What grows with the number of positions, on logarithmic axes."""

from typing import Any

import polars as pl

from experiments.judge.record import StratumResult
from experiments.report import canvas, figures, marks
from experiments.report.figures import Plot
from experiments.report.wording import label

_PANELS = {
  'path_through_layers': 'operations one after the other',
  'operations': 'operations in all, one mixer',
}


def operations(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Path and operations against T."""
  arms = done.filter(metric='path_through_layers')['arm'].unique(
    maintain_order=True).to_list()
  rows = done.filter(pl.col('metric').is_in(list(_PANELS)),
                     pl.col('arm').is_in(arms))
  plot = figures.describe(
    stratum.name, 'growth', 'Operations against the number of positions T',
    ' or '.join(_PANELS), 'Left: the longest chain of operations that wait for '
    'each other, through as many layers as bring the first position to the '
    'last; a sum is one operation. Right: all operations of one layer\'s '
    'mixer. Counted in the traced programs; width 16.')

  def paint(figure: Any) -> None:
    for axes, (metric, ylabel) in zip(figure.subplots(1, 2), _PANELS.items()):
      for i, arm in enumerate(arms):
        curve = rows.filter(arm=arm, metric=metric).sort('T')
        axes.plot(curve['T'], curve['value'], marker=canvas.MARKERS[i],
                  color=canvas.PALETTE[i], label=label(arm), markersize=4.5)
      lengths = rows['T'].unique().sort().to_list()
      axes.set(xscale='log', yscale='log', xlabel='positions T', ylabel=ylabel)
      axes.set_xticks(lengths, [str(T) for T in lengths])
      axes.yaxis.set_major_formatter('{x:,.0f}')
    marks.legend(figure)

  return [figures.drawn(plot, rows, (10.4, 3.4), paint)]


def none(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Nothing that a picture would say better."""
  del done, stratum
  return []
