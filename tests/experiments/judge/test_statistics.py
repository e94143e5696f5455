"""The exact tests are exact, their inverses cover, edge cases are quiet."""

import itertools

import numpy as np
import pytest

from experiments.judge import statistics
from experiments.judge.statistics import Sample, TypicalValues


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
  rng = np.random.default_rng(1)
  hits = [low < 0.3 < high for low, high in (
    statistics.bootstrap(rng.normal(0.3, 1, 25), 0.95) for _ in range(200))]
  assert 0.88 < np.mean(hits) < 0.99


@pytest.mark.parametrize('values', [[], [0.2], [0.2] * 6, [0.0] * 6])
def test_degenerate_samples_give_bounds_without_a_warning(values):
  low, high = statistics.bootstrap(np.array(values), 0.95)
  assert (low, high) == (pytest.approx((values[0],) * 2) if len(values) > 1
                         else (-np.inf, np.inf))
  typical = TypicalValues(np.array(values))
  assert 0 < typical.p_above(0.2) <= 1
  low, high = typical.interval(0.05)
  assert low <= high


@pytest.mark.parametrize('n', [1, 3, 6])
def test_the_p_value_is_that_of_all_sign_flips(n):
  values = np.random.default_rng(n).normal(0.5, 1, n)
  for bound in (-0.7, 0.0, 0.4):
    flips = np.array(list(itertools.product((1, -1), repeat=n)))
    sums = flips @ (values - bound)
    typical = TypicalValues(values)
    assert typical.p_above(bound) == np.mean(sums >= sums[0] - 1e-9)
    assert typical.p_below(bound) == np.mean(sums <= sums[0] + 1e-9)


def test_rounding_makes_no_difference_of_equal_values():
  typical = TypicalValues(np.array([0.1 + 0.2] * 5))
  assert typical.p_above(0.3) == typical.p_below(0.3) == 1
  assert typical.p_above(0.299) == 2.0**-5


def test_many_replicates_are_flipped_at_random_and_the_same_every_time():
  values = np.random.default_rng(0).normal(0.4, 1, 20)
  first, again = (TypicalValues(values) for _ in range(2))
  assert first.interval(0.05) == again.interval(0.05)
  assert first.p_above(-5) == 1 / first.pieces
  low, high = first.interval(0.05)
  t = 1.729 * values.std(ddof=1) / 20**0.5
  assert (low, high) == pytest.approx(
    (values.mean() - t, values.mean() + t), abs=0.1)


def test_holm_steps_down():
  assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx(
    (0.06, 0.03, 0.06))
  assert statistics.holm([]) == ()
  assert statistics.holm([0.6, 0.9]) == (1, 1)


def test_a_sample_needs_a_seed_and_an_instance_for_each_value():
  with pytest.raises(ValueError, match='one of each per unit'):
    Sample(np.zeros(3), (0, 1), (0, 0, 0))
  with pytest.raises(ValueError, match='a cluster per item'):
    Sample(np.zeros((3, 2)), (0,), (0,), clusters=(0, 1))
