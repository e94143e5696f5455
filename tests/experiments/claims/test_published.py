"""The published protocol: its law is read right from error curves."""

import numpy as np
import planting
import pytest

from experiments.claims.depth import published
from experiments.commands import conclusion
from experiments.judge import verdict
from experiments.sweeps import plan
from experiments.sweeps.experiment import Experiment, Part
from model import count
from train import programs

N, K = np.array(published.DEPTHS), np.array(published.JUDGED)


def errors(least_K):
  """Curves that cross 10 % at `least_K`, a straight line around it."""
  return np.clip(published.ERROR + 0.09 * (least_K[:, None] - N), 0, 0.75)


@pytest.mark.parametrize('slope', [0.5, 1.0, 1.5])
def test_a_slope_is_found_again(slope):
  found = published.slope(errors(1.5 + slope * np.log2(K)), N, K)
  assert found == pytest.approx(slope, abs=0.02)


def test_what_is_censored_does_not_flatten_the_slope():
  """Below one layer and above eight nothing is seen but that it is so."""
  least_K = -1.2 + 2.6 * np.log2(K)
  error_KN = errors(least_K)
  seen = np.clip(least_K, 1, 8)
  assert ((least_K < 1) | (least_K > 8)).sum() > 4
  assert np.polyfit(np.log2(K), seen, 1)[0] < 2.3
  assert published.slope(error_KN, N, K) == pytest.approx(2.6, abs=0.1)


def test_no_slope_goes_through_fewer_than_two_crossings():
  assert np.isnan(published.slope(np.zeros((len(K), len(N))), N, K))
  assert np.isnan(published.slope(np.ones((len(K), len(N))), N, K))


@pytest.mark.parametrize(('error_N', 'least'), [
  ((0.05, 0.0), 1.0), ((0.2, 0.0), 1.5), ((0.9, 0.2), np.inf),
  ((0.4, 0.09), 1 + 30 / 31)])
def test_the_least_depth_is_interpolated(error_N, least):
  assert published.least(np.array(error_N), (1, 2)) == pytest.approx(least)


def test_the_protocol_is_the_published_one():
  config = programs.complete(published.PUBLISHED)
  assert config.model.vocab_size == config.model.d_model == 128
  assert count.parameters(config.model).unembedding == 0
  assert programs.source_of(config).length == 99
  arms = {(c.arm, c.config.model.n_layers) for c in published.sweep({})}
  assert arms == {(arm, n) for arm in published.ARMS for n in range(1, 9)}
  assert {c.config.train.seed for c in published.sweep({})} == {*range(8, 16)}


@pytest.mark.parametrize(('slope', 'expected'), [
  (1.0, 'supported'), (0.4, 'refuted'), (0.7, 'inconclusive')])
def test_the_band_decides(slope, expected, tmp_path):
  experiment = Experiment('own', 'Own', (Part(
    'composition', lambda preset, pins: published.sweep(pins), None,
    lambda preset: published.declare()),), claim='k links need log2 k layers.')
  of = plan.make(experiment, 'accelerator', (), {}, tmp_path)

  def accuracy(run, hops):
    own = 1.5 + (slope + 0.02 * (run['seed'] % 5 - 2)) * np.log2(hops)
    return 1 - errors(np.array([own]))[0, run['n_layers'] - 1]

  rows = planting.blank(of)
  rows = planting.add(rows, 'accuracy', accuracy,
                      [{'hops': k} for k in published.JUDGED])
  result = verdict.judge(
    conclusion.declared(of), planting.finished(rows), {'composition': 192},
    '0123456789abcdef', False, planting.SEALED)
  assert result.strata[0].verdict == expected
