"""One effect: its four states, the p that decides, and the interval beside it.
"""

import numpy as np
import pytest
import scipy.stats

from experiments.judge import decision, reasons, samples
from experiments.judge.declaration import Control, Effect
from experiments.judge.statistics import Sample, TypicalValues


def loss(table):
  return samples.values(table, 'loss', {})


def able(table):
  return samples.average(table, 'loss')


def effect(smallest=0.1, **options):
  return Effect('gain', 'Loss falls.', 'nats', loss, smallest=smallest,
                positive=Control('able', 'It learns.', able, at_most=2),
                **options)


def decide(values, **options):
  n = len(values)
  sample = Sample(np.asarray(values, float), tuple(range(n)), (0,) * n)
  return decision.decide(effect(**options), sample)


# Eight values whose one-sided 95 % interval is about their mean ± 0.005.
SPREAD = np.array([-12, 6, 12, -6, 9, -9, 3, -3]) / 1000


@pytest.mark.parametrize(('mean', 'state', 'bound'), [
  (0.5, 'supported', 0.1), (0.05, 'equivalent', 0.1),
  (-0.05, 'equivalent', -0.1), (0, 'equivalent', None),
  (-0.5, 'opposite', -0.1), (0.1, 'inconclusive', 0.1),
  (-0.1, 'inconclusive', 0.1)])
def test_the_four_states_and_the_p_that_decides(mean, state, bound):
  result = decide(mean + SPREAD)
  assert result.state == state
  assert bound is None or result.bound == bound
  assert (result.p_value <= result.alpha) == (state != 'inconclusive')


def test_states_are_where_the_interval_lies():
  rng = np.random.default_rng(0)
  seen = set()
  for _ in range(400):
    values = rng.normal(rng.uniform(-0.3, 0.3), rng.uniform(0.01, 0.3), 8)
    for sided in ('greater', 'two-sided'):
      result = decide(values, sided=sided)
      low, high = result.low, result.high
      expected = ('supported' if low > 0.1 else 'equivalent' if (
        low > -0.1 and high < 0.1) else 'opposite' if high < -0.1 else
        'inconclusive')
      assert result.state == expected
      seen.add(expected)
  assert len(seen) == 4


def test_equivalence_is_tried_before_the_opposite():
  # [-0.02, -0.005] with a smallest effect of 0.03, as claims say.
  values = np.array([-0.02, -0.005, -0.01, -0.015, -0.012, -0.008, -0.013])
  assert decide(values, smallest=0.03).state == 'equivalent'


def test_not_significant_is_no_refutation():
  result = decide([0.4, -0.3, 0.5, -0.4, 0.2, -0.2])
  assert result.p_value > 0.5
  assert result.state == 'inconclusive'


def test_small_but_not_negligible_is_no_refutation():
  # Below the smallest effect of interest for sure, yet it may be as far
  # below zero as it is of no interest above.
  result = decide([0.04, -0.3, -0.2, 0.05, -0.1, 0.03, 0.06, -0.25])
  assert result.high < result.smallest
  assert result.low < -result.smallest
  assert result.state == 'inconclusive'


@pytest.mark.parametrize(('mean', 'state'), [
  (1.0, 'supported'), (1.3, 'inconclusive'), (0.5, 'opposite'),
  (1.5, 'opposite')])
def test_a_band_is_met_or_missed(mean, state):
  result = decide(mean + SPREAD, smallest=None, band=(0.7, 1.3))
  assert result.state == state
  assert result.bounds == (0.7, 1.3)
  inside = result.low > 0.7 and result.high < 1.3
  assert inside == (state == 'supported')
  assert (result.high < 0.7 or result.low > 1.3) == (state == 'opposite')
  if state == 'opposite':
    assert 'outside the band' in reasons.of_effect(result)


def test_outside_a_band_pays_for_its_two_ways():
  values = np.array([-1.0, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
  low = TypicalValues(values).interval(0.05)[0]
  band = (low - 0.02, low - 0.01)
  one_way = TypicalValues(values).p_above(band[1])
  assert 0.025 < one_way <= 0.05
  result = decide(values, smallest=None, band=band)
  assert result.state == 'inconclusive'
  assert 'not shown to lie inside or outside' in reasons.of_effect(result)
  assert decide(values + 0.5, smallest=None, band=band).state == 'opposite'


def test_a_narrow_band_is_left_wrongly_at_the_level_only():
  rng = np.random.default_rng(8)
  wrong = sum(decide(rng.normal(0, 1, 8), smallest=None, band=(-1e-9, 1e-9)
                     ).state == 'opposite' for _ in range(400))
  assert wrong <= scipy.stats.binom.ppf(0.999, 400, 0.05)


@pytest.mark.parametrize('side', [-1, 1])
def test_values_that_all_equal_a_bound_are_on_neither_side(side):
  result = decide([side * 0.1] * 8)
  assert (result.low, result.high) == pytest.approx((side * 0.1,) * 2)
  assert result.state == 'inconclusive'


def test_a_ratio_has_its_mirror():
  pairs = Sample(np.array([[1.0 + 0.1 * i, 4.0 + 0.3 * i] for i in range(8)]),
                 tuple(range(8)), (0,) * 8, budgets=(9.0, 9.0))
  result = decision.decide(effect(analysis='time to solve', smallest=2.0),
                           pairs)
  assert (result.state, result.bound, result.null) == ('opposite', 0.5, 1)
  assert result.replicate == 'seed'


def test_what_clears_zero_alone_supports_no_size():
  result = decide(0.1 + 2 * SPREAD)
  assert result.state == 'inconclusive'
  assert ('above 0 but not shown to exceed the smallest effect of interest '
          '0.1'
          in reasons.of_effect(result))


def test_a_correlation_with_a_constant_is_undecided_and_says_so():
  items = Sample(np.column_stack([np.zeros(128), np.arange(128)]), (0,), (0,),
                 clusters=tuple(range(128)))
  result = decision.decide(
    effect(analysis='rank correlation', smallest=0.3), items)
  assert result.state == 'inconclusive'
  assert reasons.of_effect(result).startswith('gain is undefined')


def test_a_ratio_of_no_interest_lies_between_the_smallest_and_its_inverse():
  times = 1 + np.arange(8) / 10
  pairs = Sample(np.column_stack([times, times[::-1]]), tuple(range(8)),
                 (0,) * 8, budgets=(9.0, 9.0))
  result = decision.decide(effect(analysis='time to solve', smallest=3.0),
                           pairs)
  assert result.state == 'equivalent'
  assert 'shown to lie between 0.333 and 3' in reasons.of_effect(result)
