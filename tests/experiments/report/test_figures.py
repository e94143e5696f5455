"""What figures show: means, intervals, lines, and the runs behind them."""

import dataclasses
import math

import polars as pl
import pytest

from experiments.report import figures, marks, runs, wording


def test_interval_is_over_instances_and_over_seeds_of_a_single_one():
  def cell(instances, seeds):
    return pl.DataFrame([
      {'n': 1, 'instance': i, 'seed': s, 'value': float(i + 10 * s)}
      for i in range(instances) for s in range(seeds)])

  over_instances = marks.summary(cell(3, 2), 'n').row(0, named=True)
  assert over_instances['mean'] == pytest.approx(6)
  assert over_instances['half'] == pytest.approx(4.30265 / 3 ** 0.5)
  assert marks.summary(cell(1, 4), 'n')['size'].item() == 4
  assert marks.summary(cell(1, 1), 'n')['half'].item() is None


def test_saturation_is_the_first_depth_as_good_as_the_deepest():
  def family(*values):
    return pl.DataFrame([
      {'n_layers': n, 'instance': 0, 'seed': s, 'value': v + 0.001 * n * s}
      for n, v in zip((1, 2, 4, 8), values) for s in range(3)])

  assert marks.saturation(family(2.0, 1.5, 1.01, 1.0), 0.05) == 4
  assert marks.saturation(family(2.0, 1.5, 1.2, 1.0), 0.05) is None


def test_runs_have_their_own_loss_or_the_mean_over_hops(table):
  listed = {run['run']: run for run in runs.listing(table)}
  losses = table.filter(metric='loss')
  for stratum in ('composition', 'text'):
    first = losses.filter(stratum=pl.lit(stratum))['run'][0]
    mean = losses.filter(run=pl.lit(first))['value'].mean()
    assert listed[first]['loss'] == pytest.approx(mean)


def test_lines_run_along_any_column_and_words_are_spread():
  rows = pl.DataFrame([
    {'line': 'all', 'norm': norm, 'd_model': 8, 'instance': 0, 'seed': seed,
     'value': value + seed}
    for norm, value in (('rms', 1.0), ('layer', 2.0)) for seed in range(3)])
  lines = marks.Lines(rows, along='norm')
  assert (lines.ticks, lines.numeric, lines.log) == (
    ['rms', 'layer'], False, False)
  plot = figures.line_plot(
    figures.describe('mine', 'loss', 'Loss', 'loss', 'Lower is better.'),
    [('', rows)], 'loss', 'norm', along='norm')
  assert '>layer<' in plot.svg
  assert plot.rows == 6


@pytest.mark.parametrize(('low', 'high', 'said'), [
  (-math.inf, math.inf, ('0.6', '[−∞, ∞]')),
  (-0.004, 1.2, ('0.60', '[0.00, 1.20]'))])
def test_open_and_closed_intervals_are_drawn(low, high, said, claim):
  effect = dataclasses.replace(
    claim.strata[0].effects[0], estimate=0.6, low=low, high=high)
  assert figures.of_effect(effect, 'gain').startswith('<svg role="img"')
  assert wording.span(effect) == said


def test_an_effect_without_a_unit_is_not_drawn(claim):
  effect = dataclasses.replace(
    claim.strata[0].effects[0], estimate=math.nan, low=math.nan, high=math.nan,
    values=())
  assert figures.of_effect(effect, 'gain') == ''
  assert wording.span(effect) == ('–', '[–, –]')
