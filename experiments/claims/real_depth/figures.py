"""Curves over layers: each text faint, their mean with its interval."""

from typing import Any

import polars as pl

from experiments.claims.real_depth import texts
from experiments.judge.record import StratumResult
from experiments.report import figures, marks
from experiments.report.canvas import MARKERS, PALETTE
from experiments.report.figures import Plot, describe

CAPTION = (f'SmolLM2, {texts.LABEL}. Faint: single texts; points: their mean, '
           'bars: 95 % normal interval over texts. ')


def surrogates(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """What a linear map explains, and what is still said with it."""
  even = pl.col('coordinates') == 'even'
  return [
    _curves(done, stratum, 'explained', 'How far are n layers a linear map?',
            'span', 'layers n', 'share of what they add that is explained',
            'Held-out texts; coordinates count alike; below 0: worse than the '
            'mean. Random: a network of the same shape that was not trained. '
            'The band is where a break is predicted.', 'network', even),
    _curves(done, stratum, 'words_kept', 'Does the model still say the same?',
            'span', 'layers n that one linear map replaces',
            'share of likeliest words that stay', 'At the first, the middle '
            'and the last place of n layers.', 'network')]


def use(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """What is lost without each layer."""
  return [_curves(
    done.filter(pl.col('network').is_null() if 'network' in done.columns
                else pl.lit(True), asked=pl.lit(asked)), stratum, 'lost',
    title, 'layer', 'layer that is left out', label, more, 'asked',
    name=asked.replace(' ', '-'))
    for asked, title, label, more in (
      ('likelihood', 'What does each layer do for the likelihood?',
       'bits that the true word costs more', ''),
      ('next words', 'How often is another next word the likeliest?',
       'share of positions', 'Given the true text before it. '),
      ('generation', 'How soon does what is written depart?',
       'departures a word', 'One over the words written up to the first that '
       'the whole model does not write. '),
      ('written words', 'How much of what is written changes?',
       'share of written words', 'After the first change too; it decides '
       'nothing. '))] if 'asked' in done.columns else []


def streaming(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """How many answers change without a layer."""
  plot = describe(
    stratum.name, 'answers', 'Is a layer needed for the same next word?',
    'answers_that_change_without_it', f'SmolLM2, {texts.LABEL}. Of the '
    'positions of one text, where another word is the likeliest without the '
    'layer. That the logits change is shown of every layer.')
  rows = done.filter(metric='answers_that_change_without_it').sort('layer')

  def paint(figure: Any) -> None:
    axes = figure.subplots()
    axes.bar(rows['layer'] + 1, rows['value'], color=PALETTE[0])
    axes.set(xlabel='layer that is left out', ylabel='share of positions',
             ylim=(0, 1))

  return [figures.drawn(plot, rows, (7.6, 3.0), paint)]


def _curves(done: pl.DataFrame, stratum: StratumResult, metric: str,
            title: str, along: str, xlabel: str, ylabel: str, caption: str,
            by: str, *only: pl.Expr, name: str = '') -> Plot:
  """A line for each value of `by`."""
  plot = describe(stratum.name, name or metric.replace('_', '-'), title,
                  metric, f'{CAPTION}{caption}')
  if along not in done.columns:  # nothing was measured
    return plot
  rows = done.filter(pl.col('metric') == metric, *only)
  if by not in rows.columns:
    rows = rows.with_columns(pl.lit(None, pl.String).alias(by))
  rows = rows.with_columns(pl.col(by).fill_null('trained'))

  def paint(figure: Any) -> None:
    axes = figure.subplots()
    for index, kind in enumerate(rows[by].unique(maintain_order=True)):
      own, colour = rows.filter(pl.col(by) == kind), PALETTE[index]
      for text in own['text'].unique().sort():
        one = own.filter(text=text).sort(along)
        axes.plot(one[along], one['value'], color=colour, alpha=0.18,
                  linewidth=0.8)
      cells = own.group_by(along).agg(
        mean=pl.col('value').mean(),
        half=1.96 * pl.col('value').std() / pl.len().sqrt()).sort(along)
      axes.errorbar(cells[along], cells['mean'],
                    yerr=cells['half'].fill_null(0), color=colour,
                    marker=MARKERS[index], markersize=4, capsize=2,
                    elinewidth=1.1, linewidth=1.1, label=str(kind))
    if along == 'span':
      axes.axvspan(8, 13, color=PALETTE[5], alpha=0.12)
    low = min(0.0, max(-0.5, float(rows['value'].to_numpy().min())))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(bottom=low)
    if rows[by].n_unique() > 1:
      marks.legend(figure)

  return figures.drawn(plot, rows, (7.6, 3.4), paint)
