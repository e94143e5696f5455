"""How well attention orders tokens as they matter, way by way."""

import math
from typing import Any

import polars as pl
from scipy import stats

from experiments.judge.record import StratumResult
from experiments.report import figures, marks
from experiments.report.canvas import MARKERS, PALETTE
from experiments.report.figures import Plot, describe

STRONG, WEAK = 0.5, 0.3
NAMES = {
  ('raw', 'last'): 'raw, last layer', ('raw', 'all'): 'raw, all layers',
  ('value-weighted', 'last'): 'value-weighted, last layer',
  ('value-weighted', 'all'): 'value-weighted, all layers',
  ('rollout', 'last'): 'rolled out',
  ('gradient', 'last'): 'gradient × attention, last layer',
  ('gradient', 'all'): 'gradient × attention, all layers'}
BESIDE = {'nearness_agreement': 'nearness to the end',
          'repeated_agreement': 'what matters, found twice'}
OF_OTHERS = {'random': 'a random network', 'constructed': 'planted'}


def importance(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Agreement by weighing, and by what is left out."""
  ways = describe(
    stratum.name, 'agreement', 'Does attention go to what matters?',
    'agreement, nearness_agreement, repeated_agreement',
    'Kendall\'s tau of what a token gets with what it matters; the first token '
    'and delimiters are left out. Small dots: chapters; points: their mean '
    'with its 95 % t-interval. Beside it the same of a random network\'s '
    'attention, and of a network in which attention is importance.')
  left_out = describe(
    stratum.name, 'left-out', 'What if other tokens are left out?',
    'agreement, retained_mass', 'Left: tau, the mean over chapters. Right: the '
    'share of attention that does not go to what is left out. Own: the token '
    'at which the next is asked for.')
  if done.is_empty():
    return [ways, left_out]
  own = done.filter(pl.col('text').is_not_null())
  judged = own.filter(excluded='first, delimiters')
  return [_ways(ways, done, judged), _left_out(left_out, own)]


def _ways(plot: Plot, done: pl.DataFrame, judged: pl.DataFrame) -> Plot:
  lines = [(name, judged.filter(metric='agreement', weighing=weighing,
                                layers=layers))
           for (weighing, layers), name in NAMES.items()]
  lines += [(name, judged.filter(metric=metric))
            for metric, name in BESIDE.items()]
  others = done.filter(pl.col('network').is_not_null(), metric='agreement')

  def paint(figure: Any) -> None:
    axes = figure.subplots()
    for at, dashes in ((STRONG, '--'), (WEAK, ':')):
      axes.axvline(at, color=PALETTE[5], linestyle=dashes, linewidth=1.1)
    for place, (_, rows) in enumerate(lines):
      values = rows['value']
      axes.plot(values, [place] * len(values), 'o', color=PALETTE[0],
                alpha=0.35, markersize=3, markeredgewidth=0)
      half = (stats.t.ppf(0.975, len(values) - 1) * values.std()
              / math.sqrt(len(values)))
      axes.errorbar([values.mean()], [place], xerr=[half], color=PALETTE[0],
                    marker=MARKERS[0], markersize=5, capsize=2.5,
                    linestyle='', label='the model' if not place else None)
    for index, (network, name) in enumerate(OF_OTHERS.items(), start=1):
      rows = others.filter(network=network)
      places = [list(NAMES).index(pair)
                for pair in rows.select('weighing', 'layers').iter_rows()]
      axes.plot(rows['value'], places, linestyle='', marker=MARKERS[index],
                color=PALETTE[index], markersize=5, label=name)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    axes.set(xlabel="Kendall's tau with what matters", xlim=(-0.6, 1.05),
             ylim=(len(lines) - 0.5, -0.5))
    marks.legend(figure)

  return figures.drawn(plot, judged, (7.6, 4.2), paint)


def _left_out(plot: Plot, own: pl.DataFrame) -> Plot:
  rows = own.filter(pl.col('metric').is_in(['agreement', 'retained_mass']))
  ways = rows['excluded'].unique(maintain_order=True).to_list()

  def paint(figure: Any) -> None:
    grid = figure.subplots(1, 2, sharey=True)
    for axes, metric, xlabel in zip(
        grid, ('agreement', 'retained_mass'),
        ("Kendall's tau with what matters", 'share of attention retained')):
      for index, ((weighing, layers), name) in enumerate(NAMES.items()):
        means = rows.filter(metric=metric, weighing=weighing, layers=layers
                            ).group_by('excluded').agg(pl.col('value').mean())
        at = dict(means.iter_rows())
        axes.plot([at[way] for way in ways], range(len(ways)),
                  marker=MARKERS[index % len(MARKERS)],
                  color=PALETTE[index % len(PALETTE)], markersize=4.5,
                  label=name if metric == 'agreement' else None)
      axes.set(xlabel=xlabel, ylim=(len(ways) - 0.5, -0.5))
    grid[0].set_yticks(range(len(ways)), ways)
    marks.legend(figure)

  return figures.drawn(plot, rows, (9.0, 3.4), paint)
