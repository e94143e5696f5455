"""From one effect's sample to its state: the one rule of the engine.

A state is read from p-values at the effect's bounds, in this order: supported,
the effect is shown to exceed the smallest of interest, or to lie inside its
band; equivalent, it is shown to be smaller either way (two one-sided tests,
Schuirmann, 1987); opposite, it is shown to fall short of minus the smallest, or
to lie outside the band; inconclusive. "Not significant" is none of them, and a
bound itself is on neither of its sides: values that all equal it show nothing.

The interval holds the bounds that the same test does not reject, so it says the
same as the state, and the p-value that is kept is that which decided. Outside a
band alone asks for more: there are two ways to be there, so the smaller p-value
is doubled (Bonferroni), and the 95 % interval must lie outside where the 90 %
interval is shown.
"""

from collections.abc import Iterator

from experiments.judge.analyses import ANALYSES, Analysis
from experiments.judge.declaration import Effect, EffectState
from experiments.judge.record import EffectResult
from experiments.judge.statistics import Sample

ALPHA = 0.05


def decide(effect: Effect, sample: Sample,
           alpha: float = ALPHA) -> EffectResult:
  """Estimates an effect and decides on it."""
  kind = ANALYSES[effect.analysis]
  analysis = kind(sample)
  sides = 1 if effect.sided == 'greater' else 2
  low, high = analysis.interval(alpha / sides)
  tests = [(state, min(1.0, times * p), bound)
           for state, times, p, bound in _tests(effect, analysis, sides)]
  undecided = ('inconclusive', *tests[0][1:])
  state, p_value, bound = next(
    (test for test in tests if test[1] <= alpha), undecided)
  return EffectResult(
    effect.name, effect.statement, effect.unit, analysis.estimate, low, high,
    effect.smallest, analysis.description, p_value, bound,
    len(sample.seeds) // max(1, len(set(sample.instances))),
    len(set(sample.instances)), analysis.replicates, sample.replicate,
    tuple(float(value) for value in analysis.values), state,  # type: ignore
    kind.size(effect.smallest or 1.0, 0), effect.band, 1 - 2 * alpha / sides,
    alpha, excluded=sample.excluded)


def _tests(effect: Effect, analysis: Analysis, sides: int
           ) -> Iterator[tuple[EffectState, int, float, float]]:
  """(state, how many tests could show it, the p of one, its bound), in order.
  """
  def between(low: float, high: float) -> tuple[float, float]:
    """The larger p of the two; of equal ones, that at the nearer bound."""
    return max((analysis.p_above(low), low), (analysis.p_below(high), high),
               key=lambda test: (test[0], -abs(test[1] - analysis.estimate)))

  if effect.band is not None:
    low, high = effect.band
    yield 'supported', sides, *between(low, high)
    yield 'opposite', 2, *min((analysis.p_below(low), low),
                              (analysis.p_above(high), high))
    return
  smallest = effect.smallest
  assert smallest is not None
  lower = type(analysis).size(smallest, -1)
  yield 'supported', sides, analysis.p_above(smallest), smallest
  yield 'equivalent', sides, *between(lower, smallest)
  yield 'opposite', sides, analysis.p_below(lower), lower
