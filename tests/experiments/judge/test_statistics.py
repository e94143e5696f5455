"""The intervals cover, the exact tests are exact, and edge cases are quiet."""

import itertools

import numpy as np
import pytest
import scipy.stats

from experiments.judge import statistics
from experiments.judge.statistics import Mean, Sample, Success, Trend


def sample(values, instances=None, excluded=0):
  values = np.asarray(values, float)
  seeds = tuple(range(len(values)))
  return Sample(values, seeds, tuple(instances or [0] * len(values)), excluded)


def arms(first, second, n):
  return sample([[i < first, i < second] for i in range(n)])


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
  rng = np.random.default_rng(1)
  hits = [low < 0.3 < high for low, high in (
    statistics.bootstrap(rng.normal(0.3, 1, 25), 0.95) for _ in range(200))]
  assert 0.88 < np.mean(hits) < 0.99


def test_seeds_of_one_instance_do_not_count_as_independent():
  # The instances differ, the seeds of each hardly do: 24 runs say no more
  # about new instances than their 6 means.
  rng = np.random.default_rng(0)
  means = rng.normal(0, 1, 6)
  values = (means[:, None] + rng.normal(0, 0.01, (6, 4))).ravel()
  clustered = Mean(sample(values, np.repeat(range(6), 4).tolist()))
  naive = Mean(sample(values))
  assert clustered.estimate == pytest.approx(naive.estimate)
  width = np.ptp(clustered.interval(0.95))
  assert width > 1.5 * np.ptp(naive.interval(0.95))
  assert width == pytest.approx(np.ptp(Mean(sample(means)).interval(0.95)),
                                rel=0.05)


def test_sign_flip_is_exact():
  for n in (5, 6):
    values = np.linspace(1, 2, n)
    assert statistics.sign_flip(values, 'greater') == 2.0**-n
    assert statistics.sign_flip(values, 'two-sided') == 2.0**(1 - n)


def test_five_seeds_show_a_one_sided_effect_and_six_a_two_sided_one():
  values = [0.5, 0.6, 0.7, 0.8, 0.9]
  assert Mean(sample(values)).above(0.1, alpha=0.05)
  assert not Mean(sample(values)).above(0.1, alpha=0.025)
  assert Mean(sample([*values, 1.0])).above(0.1, alpha=0.025)
  assert not Mean(sample(values[:4])).above(0.1, alpha=0.05)


@pytest.mark.parametrize('values', [[], [0.2], [0.2] * 6, [0.0] * 6])
def test_degenerate_samples_give_bounds_without_a_warning(values):
  analysis = Mean(sample(values))
  low, high = analysis.interval(0.95)
  assert low <= high
  assert analysis.p_value('two-sided') > 0.03
  if len(values) > 1:
    assert low == high == pytest.approx(analysis.estimate)
  else:
    assert (low, high) == (-np.inf, np.inf)


def test_clopper_pearson_solves_the_binomial_tails():
  low, high = statistics.proportion_interval(np.array([1, 1, 1, 0, 0]), 0.95)
  assert scipy.stats.binom.sf(2, 5, low) == pytest.approx(0.025)
  assert scipy.stats.binom.cdf(3, 5, high) == pytest.approx(0.025)


def test_success_difference_of_six_against_none():
  analysis = Success(arms(6, 0, 6))
  assert analysis.estimate == 1
  low, high = analysis.interval(0.95)
  assert low == pytest.approx(2 * 0.025 ** (1 / 6) - 1)  # 0.08
  assert high == 1
  assert analysis.p_value('greater') == 2.0**-6
  assert Success(arms(3, 3, 6)).p_value('two-sided') == 1


def test_success_is_shown_at_the_level_asked_for():
  analysis = Success(arms(5, 0, 5))
  assert analysis.above(0, alpha=0.05)
  assert not analysis.above(0, alpha=0.025)
  reverse = Success(arms(0, 5, 5))
  assert reverse.below(0, alpha=0.05)
  assert not reverse.below(0, alpha=0.025)


def test_success_interval_keeps_its_level_under_any_dependence():
  # All ways six pairs can fall, under a grid of joint distributions of the
  # two arms: the bound exceeds the true difference no oftener than 2.5 %.
  n = 6
  cells = np.array([c for c in itertools.product(range(n + 1), repeat=4)
                    if sum(c) == n])  # both, first only, second only, neither
  bounds = [statistics.proportion_interval(np.arange(n) < k, 0.95)
            for k in range(n + 1)]
  lows = np.array([bounds[both + a][0] - bounds[both + b][1]
                   for both, a, b, _ in cells])
  ways = scipy.stats.multinomial.pmf(cells, n, [0.25] * 4) * 4.0**n
  for split in itertools.product(range(11), repeat=3):
    if sum(split) > 10:
      continue
    p = np.array([*split, 10 - sum(split)]) / 10
    probability = ways * np.prod(p**cells, axis=1)
    assert probability.sum() == pytest.approx(1)
    assert probability[lows > p[1] - p[2] + 1e-12].sum() <= 0.025


def test_success_refuses_units_that_are_not_independent():
  values = np.ones((4, 2))
  with pytest.raises(ValueError, match='one seed per instance'):
    Success(Sample(values, (0, 1, 0, 1), (0, 0, 1, 1)))


def test_page_finds_an_order_and_its_reverse():
  rising = sample(np.arange(4) + np.random.default_rng(0).normal(
    0, 0.3, (6, 4)))
  trend = Trend(rising)
  assert trend.estimate > 0.9
  assert trend.p_value('greater') == pytest.approx(
    scipy.stats.page_trend_test(rising.values).pvalue)
  falling = Trend(sample(rising.values[:, ::-1]))
  assert falling.estimate == pytest.approx(-trend.estimate)
  assert falling.p_value('greater') > 0.9
  assert falling.p_value('two-sided') < 0.05


def test_rank_correlation_is_spearmans_and_zero_for_a_flat_row():
  rows = np.array([[0.1, 0.4, 0.3, 0.9], [1, 1, 1, 1]])
  spearman = scipy.stats.spearmanr(rows[0], range(4)).statistic
  assert statistics.rank_correlation(rows) == pytest.approx([spearman, 0])


def test_trend_needs_three_conditions():
  with pytest.raises(ValueError, match='three conditions'):
    Trend(sample([[1, 2], [1, 2]]))


def test_equivalence_is_the_90_percent_interval_inside_the_bounds():
  values = sample([0.01, -0.02, 0.015, 0.0, -0.01, 0.02])
  low, high = Mean(values).interval(0.9)
  inside = max(abs(low), abs(high))
  assert statistics.equivalent(Mean(values), 0.05, 0.05)
  assert not statistics.equivalent(Mean(values), 0.9 * inside, 0.05)


def test_holm_steps_down():
  assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx(
    (0.06, 0.03, 0.06))
  assert statistics.holm([]) == ()
  assert statistics.holm([0.6, 0.9]) == (1, 1)


def test_a_sample_needs_a_seed_and_an_instance_for_each_value():
  with pytest.raises(ValueError, match='one of each per unit'):
    Sample(np.zeros(3), (0, 1), (0, 0, 0))
