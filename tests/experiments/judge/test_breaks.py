"""Breaks: found where they are planted, and in no smooth curve.

With 100 draws, breaks in the band were found in 0.9 to 1, and none of the
smooth curves that were simulated so was taken for one.
"""

import functools

import numpy as np
import polars as pl
import pytest

from experiments.judge.analyses.breaks import Break, forms
from experiments.judge.clusters import by_place
from experiments.judge.decision import decide
from experiments.judge.declaration import Control, Effect
from experiments.judge.samples import MissingMeasurement
from experiments.judge.statistics import Sample

AT = np.arange(1, 30.0)
DRAWS = 12


def nothing(rows):
  return 1.0


BREAK = Effect(
  'break', 'It breaks near 10.', 'layers', functools.partial(nothing),
  band=(8, 13), analysis='break',
  positive=Control('able', 'Able.', nothing, at_least=0))


def states(curve, noise=0.05, shared=0.0, draws=DRAWS):
  """The shares of each state, of curves with noise that points share."""
  rng = np.random.default_rng(0)
  found = []
  for _ in range(draws):
    error = rng.normal(size=(16, len(AT)))
    for i in range(1, len(AT)):
      error[:, i] = (shared * error[:, i - 1]
                     + np.sqrt(1 - shared**2) * error[:, i])
    values = curve + noise * error + rng.normal(size=(16, 1))
    found.append(decide(BREAK, Sample(
      values, (0,), (0,), clusters=tuple(range(16)), at=tuple(AT))).state)
  return {state: found.count(state) / draws for state in set(found)}


@pytest.mark.parametrize('shared', [0.0, 0.9])
@pytest.mark.parametrize('curve', [
  -0.06 * np.minimum(AT, 10.5), -0.02 * AT - 0.04 * np.maximum(AT - 10.5, 0)])
def test_a_break_in_the_band_is_found(curve, shared):
  assert states(curve, 0.03, shared).get('supported', 0) >= 0.8


@pytest.mark.parametrize('shared', [0.0, 0.9])
@pytest.mark.parametrize('curve', [
  -0.03 * AT, -0.2 * np.log(AT), -0.2 * np.sqrt(AT), -(AT / 29)**2, 0 * AT,
  np.exp(-AT / 10)])
def test_no_smooth_curve_is_taken_for_a_break(curve, shared):
  assert states(curve, 0.03, shared).get('supported', 0) <= 1 / DRAWS


@pytest.mark.parametrize('curve', [
  -0.2 * np.log(AT), -0.08 * np.minimum(AT, 4) - 0.01 * AT,
  -0.08 * np.minimum(AT, 20)])
def test_that_there_is_none_near_10_can_be_shown(curve):
  assert states(curve).get('opposite', 0) >= 0.8


def test_no_break_is_told_as_0_and_decides_as_outside():
  result = decide(BREAK, Sample(
    np.log(AT) + np.zeros((16, 1)), (0,), (0,), clusters=tuple(range(16)),
    at=tuple(AT)))
  assert (result.estimate, result.low, result.high) == (0, 0, 0)
  assert (result.state, result.word) == ('opposite', 'outside')


def test_it_bends_where_it_was_planted_on_any_axis():
  at = np.array([1, 2, 3, 5, 8, 12, 16, 24.0])
  curve = np.minimum(at, 10) + np.zeros((6, 1))
  _, places = forms(tuple(at))['broken stick']
  step = places[1] - places[0]
  assert Break(Sample(curve, (0,), (0,), clusters=tuple(range(6)),
                      at=tuple(at))).estimate == pytest.approx(10, abs=step)


@pytest.mark.parametrize(('values', 'at', 'says'), [
  (np.zeros((3, 5)), (), 'needs 6 points'),
  (np.full((3, 6), np.nan), (), 'finite'),
  (np.zeros((3, 6)), (0, 1, 2, 3, 4, 5), 'above 0'),
  (np.zeros((3, 6)), (1, 2, 3, 4, 6, 5), 'rising')])
def test_what_is_no_curve_is_refused(values, at, says):
  with pytest.raises(ValueError, match=says):
    Break(Sample(values, (0,), (0,), clusters=(0, 1, 2), at=at))


def table():
  return pl.DataFrame([
    {'arm': 'plain', 'instance': None, 'seed': None, 'status': 'done',
     'metric': 'score', 'text': text, 'span': span,
     'value': float(10 * text + span)} for text in range(3) for span in (1, 2)],
    schema_overrides={'instance': pl.Int64, 'seed': pl.Int64})


def test_a_number_a_cluster_is_a_sample_of_clusters():
  sample = by_place(table(), 'score', 3, {'span': 2})
  assert sample.values.tolist() == [2, 12, 22]
  assert (sample.clusters, sample.replicate) == ((0, 1, 2), 'item cluster')
  curves = by_place(table(), 'score', 2, order=(1, 2), by='span')
  assert curves.values.tolist() == [[1, 2], [11, 12]]
  assert curves.at == (1, 2)


def test_a_cluster_that_is_not_there_is_missing():
  with pytest.raises(MissingMeasurement, match='text=3') as missing:
    by_place(table(), 'score', 4, {'span': 2})
  assert missing.value.condition == {'span': 2, 'text': 3}
