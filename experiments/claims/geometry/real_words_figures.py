"""By layer: how well closeness follows people, in two real models."""

from typing import Any

import polars as pl

from experiments.instruments.word_similarity import FORMS, SPELLING
from experiments.judge.record import StratumResult
from experiments.report import figures, marks
from experiments.report.canvas import MARKERS, PALETTE
from experiments.report.figures import Plot, describe, of_metric

GREY = PALETTE[5]


def figures_of(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Rank correlation by layer; then parts of speech and antonyms."""
  return [_layers(done, stratum), _parts(done, stratum)]


def _layers(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  plot = describe(
    stratum.name, 'layers', 'In which layer does closeness mean likeness?',
    'word_correlation', 'Rank correlation of the cosine of two words with what '
    'people say, over all pairs of a list, by layer (0: the embeddings) and by '
    'what was done to the vectors. The verdict is on the layer and form that '
    'are best on the other list, and on pairs that hang together little.')
  if done.is_empty():
    return plot
  rows = of_metric(done, 'word_correlation')
  arms = rows['arm'].unique(maintain_order=True).to_list()
  lists = rows['list'].unique(maintain_order=True).to_list()

  def paint(figure: Any) -> None:
    grid = figure.subplots(len(lists), len(arms), squeeze=False, sharey=True,
                           sharex='col')
    for across, arm in enumerate(arms):
      for down, name in enumerate(lists):
        axes, own = grid[down, across], rows.filter(arm=arm, list=name)
        for index, form in enumerate(FORMS):
          for network, style, colour in (
              (None, '-', PALETTE[index]), ('random', ':', GREY)):
            line = own.filter(
              pl.col('network').eq_missing(pl.lit(network)),
              form=form).sort('layer')
            axes.plot(line['layer'], line['value'], linestyle=style,
                      color=colour, marker='' if network else MARKERS[index],
                      markersize=3.5,
                      label='a random network' if network else form)
        spelled = own.filter(form=SPELLING)['value'].mean()
        axes.axhline(spelled, color=GREY, linestyle='--', label='spelling')
        if not down:
          axes.set_title(arm)
        if not across:
          axes.set_ylabel(f'{name}\nrank correlation')
      grid[-1, across].set_xlabel('layer')
    marks.legend(figure)

  return figures.drawn(plot, rows, (7.6, 2.3 * len(lists) + 0.8), paint)


def _parts(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  plot = describe(
    stratum.name, 'parts', 'For which words, and do opposites lie close?',
    'part_correlation', 'SimLex-999, at the layer and form that were chosen on '
    'WordSim-353. Left: by part of speech. Right: how often a pair of antonyms '
    'is put above another pair, by people and by the model; one half would be '
    'no difference.')
  if done.is_empty():
    return plot
  parts, antonyms = (of_metric(done, metric)
                     for metric in ('part_correlation', 'antonym_place'))
  arms = parts['arm'].unique(maintain_order=True).to_list()

  def paint(figure: Any) -> None:
    panels = figure.subplots(1, 2)
    for axes, rows, column, label in (
        (panels[0], parts, 'part_of_speech', 'rank correlation'),
        (panels[1], antonyms, 'by', 'share of pairs below antonyms')):
      places = rows[column].unique(maintain_order=True).to_list()
      for index, arm in enumerate(arms):
        own = rows.filter(arm=arm)
        axes.plot(own['value'], [places.index(place) + 0.12 * (2 * index - 1)
                                 for place in own[column]],
                  MARKERS[index], color=PALETTE[index], label=arm)
      axes.set_yticks(range(len(places)), places)
      axes.set_ylim(len(places) - 0.5, -0.5)
      axes.set_xlabel(label)
    panels[1].set_xlim(0, 1)
    panels[0].axvline(0, color=GREY, linestyle='--')
    panels[1].axvline(0.5, color=GREY, linestyle='--')
    marks.legend(figure)

  return figures.drawn(plot, parts, (7.6, 2.2), paint)
