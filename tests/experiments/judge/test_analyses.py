"""Every analysis: its interval says what its p-values say, and it keeps level.
"""

import numpy as np
import pytest
import scipy.stats

from experiments.judge.analyses import (
  ANALYSES,
  Mean,
  RankCorrelation,
  TimeToSolve,
  Trend,
)
from experiments.judge.analyses.analysis import Design
from experiments.judge.analyses.solving import log_rank
from experiments.judge.analyses.trend import rank_correlation, slope
from experiments.judge.statistics import Sample

SMALLEST = {'mean': 0.3, 'trend': 0.4, 'time to solve': 2.0,
            'rank correlation': 0.4, 'break': 5.0}
# What pilots may find: sigma 1.5 times the smallest effect, or its power.
SIGMA = {'mean': 0.45, 'trend': 1.0, 'time to solve': 2.8,
         'rank correlation': 1.0, 'break': 1.0}
DESIGNS = {'break': 10}  # points; of others 4 conditions


def sample(values, instances=None, **others):
  values = np.asarray(values, float)
  return Sample(values, tuple(range(len(values))),
                tuple(instances or [0] * len(values)), **others)


def design(name, replicates=8):
  return Design(replicates, DESIGNS.get(name, 4))


def plant(name, times, rng, replicates=8):
  kind = ANALYSES[name]
  return kind.plant(kind.size(SMALLEST[name], times), SIGMA[name],
                    design(name, replicates), rng)


def solving(slower, faster, budgets=(np.inf, np.inf)):
  return TimeToSolve(sample(np.column_stack([slower, faster]),
                            budgets=budgets))


@pytest.mark.parametrize('name', ANALYSES)
def test_interval_and_p_values_cannot_disagree(name):
  rng = np.random.default_rng(0)
  for replicates in (3, 5, 8):
    for times in (-1, 0, 1, 2):
      analysis = ANALYSES[name](plant(name, times, rng, replicates))
      for tail in (0.01, 0.025, 0.05, 0.2):
        low, high = analysis.interval(tail)
        assert low <= high
        for bound in (low, high, *rng.normal(analysis.estimate, 1, 30)):
          if bound in (low, high):
            if np.isfinite(bound) and bound != 0:
              width = 1e-6 * max(1, abs(bound))
              sign = 1 if bound == low else -1
              p = analysis.p_above if sign > 0 else analysis.p_below
              assert p(bound + sign * width) > tail
              assert p(bound - sign * width) <= tail
          elif bound > 0 or name != 'time to solve':
            assert (analysis.p_above(bound) <= tail) == (bound < low)
            assert (analysis.p_below(bound) <= tail) == (bound > high)


@pytest.mark.parametrize('name', ANALYSES)
def test_false_positives_keep_the_level(name):
  rng = np.random.default_rng(1)
  draws = 80 if name in ('rank correlation', 'break') else 400
  wrong = dict.fromkeys(('above', 'below', 'inside'), 0)
  smallest, kind = SMALLEST[name], ANALYSES[name]
  for _ in range(draws):
    at = kind(plant(name, 1, rng, 30 if name == 'rank correlation' else 8))
    wrong['above'] += at.p_above(smallest) <= 0.05
    wrong['below'] += at.p_below(smallest) <= 0.05
    wrong['inside'] += max(at.p_above(kind.size(smallest, -1)),
                           at.p_below(smallest)) <= 0.05
  limit = scipy.stats.binom.ppf(0.999, draws, 0.05)
  assert max(wrong.values()) <= limit, wrong


@pytest.mark.parametrize(('conditions', 'smallest'), [
  (3, 0.7), (4, 0.5)])
def test_skewed_correlations_keep_the_level_of_a_trend(conditions, smallest):
  # By sign flips of the correlations alone up to 18 % were wrong.
  rng = np.random.default_rng(8)
  wrong = sum(Trend(Trend.plant(
    smallest, 1, Design(8, conditions), rng)).p_above(smallest) <= 0.05
    for _ in range(150))
  assert wrong <= scipy.stats.binom.ppf(0.999, 150, 0.05)


@pytest.mark.parametrize('name', ANALYSES)
def test_the_clearest_sample_has_the_best_p_value(name):
  rng = np.random.default_rng(2)
  kind = ANALYSES[name]
  best = kind(kind.plant(np.inf, SIGMA[name], design(name), rng))
  p = best.p_above(SMALLEST[name])
  assert p <= 0.01
  assert p <= min(kind(plant(name, 3, rng)).p_above(SMALLEST[name])
                  for _ in range(20))


@pytest.mark.parametrize('name', ANALYSES)
def test_no_unit_is_no_evidence(name):
  shape = (0,) if name == 'mean' else (0, 4) if name == 'trend' else (0, 2)
  others = {'budgets': (1.0, 1.0)} if name == 'time to solve' else {}
  if name in ('rank correlation', 'break'):
    others = {'clusters': ()}
    shape = (0, 10) if name == 'break' else shape
  analysis = ANALYSES[name](Sample(np.zeros(shape), (), (), **others))
  assert np.isnan(analysis.estimate)
  assert analysis.p_above(SMALLEST[name]) == 1
  assert not np.isfinite(analysis.interval(0.05)).all()


def test_five_seeds_show_a_one_sided_effect_and_six_a_two_sided_one():
  values = [0.5, 0.6, 0.7, 0.8, 0.9]
  assert Mean(sample(values)).p_above(0.1) <= 0.05
  assert Mean(sample(values)).p_above(0.1) > 0.025
  assert Mean(sample([*values, 1.0])).p_above(0.1) <= 0.025
  assert Mean(sample(values[:4])).p_above(0.1) > 0.05


def test_seeds_of_one_instance_do_not_count_as_independent():
  # The instances differ, the seeds of each hardly do: 24 runs say no more
  # about new instances than their 6 means.
  rng = np.random.default_rng(0)
  means = rng.normal(0, 1, 6)
  values = (means[:, None] + rng.normal(0, 0.01, (6, 4))).ravel()
  clustered = Mean(sample(values, np.repeat(range(6), 4).tolist()))
  assert clustered.replicates == 6
  assert clustered.interval(0.05) == pytest.approx(
    Mean(sample(means)).interval(0.05), abs=0.05)
  assert np.ptp(clustered.interval(0.05)) > 1.5 * np.ptp(
    Mean(sample(values)).interval(0.05))


def test_page_finds_an_order_and_its_reverse():
  rising = sample(np.arange(4) + np.random.default_rng(0).normal(
    0, 0.3, (6, 4)))
  trend = Trend(rising)
  assert trend.estimate > 0.9
  assert trend.p_above(0) == max(
    2.0**-6, scipy.stats.page_trend_test(rising.values).pvalue)
  falling = Trend(sample(rising.values[:, ::-1]))
  assert falling.estimate == pytest.approx(-trend.estimate)
  assert falling.p_above(0) > 0.9
  assert falling.p_below(0) < 0.05


def test_a_trend_is_decided_by_pages_test_too():
  # Five replicates of three conditions, two of them out of order: sign flips
  # find a correlation above 0.1, Page's test no order at 1 %.
  rows = sample([[1, 2, 3]] * 3 + [[1, 3, 2]] * 2)
  trend = Trend(rows)
  page = scipy.stats.page_trend_test(rows.values).pvalue
  assert trend.p_above(0.1) == max(2.0**-5, page)
  low, _ = trend.interval(2.0**-5)
  assert low <= 0 if page > 2.0**-5 else low > 0.1


def test_rank_correlation_is_spearmans_and_zero_for_a_flat_row():
  rows = np.array([[0.1, 0.4, 0.3, 0.9], [1, 1, 1, 1]])
  spearman = scipy.stats.spearmanr(rows[0], range(4)).statistic
  assert rank_correlation(rows) == pytest.approx([spearman, 0])


def test_a_planted_trend_has_the_correlation_it_was_given():
  rng = np.random.default_rng(3)
  rows = rng.normal(size=(20_000, 4)) + slope(0.6, 4) * np.arange(4)
  assert rank_correlation(rows).mean() == pytest.approx(0.6, abs=0.02)


def test_analyses_say_what_they_need():
  with pytest.raises(ValueError, match='one number a unit'):
    Mean(sample([[1, 2]]))
  with pytest.raises(ValueError, match='three conditions'):
    Trend(sample([[1, 2], [1, 2]]))
  with pytest.raises(ValueError, match='and their budgets'):
    TimeToSolve(sample([[1, 2]]))
  with pytest.raises(ValueError, match='above 0'):
    solving([0.0], [1.0])
  with pytest.raises(ValueError, match='a cluster for each'):
    RankCorrelation(sample([[1, 2]]))


def test_log_rank_scores_are_observed_less_expected():
  # scipy's statistic is (observed - expected) / sqrt(variance), per arm.
  rng = np.random.default_rng(4)
  for _ in range(20):
    times = np.minimum(rng.exponential([1.0, 1.6], (30, 2)), 1.5).round(1) + 0.1
    solved = times < 1.6
    arms = [scipy.stats.CensoredData.right_censored(t, ~s)
            for t, s in zip(times.T, solved.T)]
    expected = scipy.stats.logrank(*arms).statistic
    observed = log_rank(times.ravel(), solved.ravel()).reshape(30, 2).sum(0)
    assert observed.sum() == pytest.approx(0, abs=1e-9)
    variance = _variance(times, solved)
    assert observed[0] / variance**0.5 == pytest.approx(expected)


def _variance(times, solved):
  """Of the first arm's events, as of draws without replacement."""
  total = 0.0
  for t in np.unique(times[solved]):
    at_risk = (times >= t).sum(0)
    n, own = at_risk.sum(), at_risk[0]
    events = ((times == t) & solved).sum()
    if n > 1:
      total += events * own / n * (1 - own / n) * (n - events) / (n - 1)
  return total


def test_a_ratio_of_times_is_found_and_bounded():
  rng = np.random.default_rng(5)
  faster = rng.uniform(1, 2, 8)
  exact = solving(3 * faster, faster)
  assert exact.estimate == pytest.approx(3, rel=0.05)
  low, high = exact.interval(0.05)
  assert 1 < low <= 3 * (1 + 1e-9)
  assert 3 * (1 - 1e-9) <= high < 9
  assert exact.values == pytest.approx([3] * 8)
  reverse = solving(faster, 3 * faster)
  assert reverse.interval(0.05) == pytest.approx((1 / high, 1 / low))


def test_pairs_of_one_instance_are_exchanged_together():
  pairs = [[4.0, 1.0], [5.0, 1.1]] * 6
  grouped = TimeToSolve(sample(pairs, np.repeat(range(6), 2).tolist(),
                               budgets=(9.0, 9.0)))
  assert grouped.replicates == 6
  assert grouped.p_above(2) == 2.0**-6
  assert TimeToSolve(sample(pairs, budgets=(9.0, 9.0))).p_above(2) == 2.0**-12


def test_what_a_budget_hides_is_no_evidence():
  # The slower arm never solves; the faster does at 1: at least a ratio of 5,
  # for the slower one was watched until 5, and no upper end.
  never = solving([np.inf] * 8, np.linspace(0.9, 1, 8), (5.0, 5.0))
  assert never.p_above(4) == 2.0**-8
  assert never.p_above(6) == 1
  assert never.interval(0.05)[1] == np.inf
  assert 4 < never.interval(0.05)[0] <= 5 / 0.9
  assert never.estimate >= never.interval(0.05)[0]
  # Longer watching on one side alone shows nothing where neither solves.
  neither = solving([np.inf] * 8, [np.inf] * 8, (5.0, 50.0))
  assert neither.interval(0.05) == (0, np.inf)
  assert np.isnan(neither.estimate)
  # A time past the budget was not seen.
  assert solving([7.0] * 8, [1.0] * 8, (5.0, 5.0)).interval(0.05) == solving(
    [np.inf] * 8, [1.0] * 8, (5.0, 5.0)).interval(0.05)


def test_censoring_keeps_the_level_of_a_ratio():
  rng = np.random.default_rng(6)
  wrong = 0
  for _ in range(300):
    faster = rng.lognormal(0, 0.6, 8)
    slower = 2 * rng.lognormal(0, 0.6, 8)
    wrong += solving(slower, faster, (2.5, 2.5)).p_above(2) <= 0.05
  assert wrong <= scipy.stats.binom.ppf(0.999, 300, 0.05)


def test_a_correlation_is_spearmans_and_its_clusters_are_what_counts():
  rng = np.random.default_rng(7)
  x = rng.normal(size=40)
  values = np.column_stack([x, x + rng.normal(size=40)])
  items = Sample(values, (0,), (0,), clusters=tuple(range(40)))
  found = RankCorrelation(items)
  assert found.estimate == pytest.approx(
    scipy.stats.spearmanr(*values.T).statistic)
  low, high = found.interval(0.05)
  assert low < found.estimate < high
  # Each item four times over is no more than it was.
  fourfold = RankCorrelation(Sample(
    np.repeat(values, 4, 0), (0,), (0,),
    clusters=tuple(np.repeat(range(40), 4).tolist())))
  assert fourfold.replicates == 40
  assert np.ptp(fourfold.interval(0.05)) == pytest.approx(high - low, rel=0.1)


def correlated(x, y):
  return Sample(np.column_stack([x, y]), (0,), (0,),
                clusters=tuple(range(len(x))))


def test_what_does_not_vary_has_no_correlation():
  found = RankCorrelation(correlated(np.zeros(128), np.arange(128.0)))
  assert np.isnan(found.estimate)
  assert found.interval(0.05) == (-np.inf, np.inf)
  assert found.p_above(-0.9) == found.p_below(0.9) == pytest.approx(1)
  # One that varies in one item alone is without it in a third of resamples.
  once = RankCorrelation(correlated(np.arange(128) == 64, np.arange(128.0)))
  assert once.interval(0.05) == (-np.inf, np.inf)
  assert min(once.p_above(-0.3), once.p_below(0.3)) > 0.3
  assert RankCorrelation(Sample(np.empty((0, 2)), (), (), clusters=())
                         ).replicates == 0


def test_nan_has_no_rank():
  with pytest.raises(ValueError, match='finite'):
    RankCorrelation(correlated(np.arange(8.0), [np.nan] * 8))
