"""Softmax and logits (card X1, statement B14).

The primer: a final linear layer and a softmax give probabilities that sum to
1, resulting in the output logits.

Logits are by definition what enters the softmax (Goodfellow, Bengio and
Courville, 2016, section 6.2.2), so that they result from it needs no test: the
words have the order wrong. What is judged is the sum. Charitable reading: it is
1 within rounding. Literal reading: it is 1 in every precision.

V numbers of relative precision eps may miss 1 by a few eps sqrt(V), so 4 eps
sqrt(V) is asked for where that is below one percent: float32, and float16 with
two tokens. Elsewhere in half precision the bound says nothing (V = 152,000: 1.5
in float16, 12 in bfloat16, and a sum of 0 would pass). There the literal
reading asks for one percent, and float16 fails it: its largest number is
65,504, so more exponentials than that near 1 sum to infinity and every
probability is 0. This model computes logits and softmax in float32.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import model
from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import all_are, beyond
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact

VOCABULARIES = (2, 257, 8_192, 152_000)
# For each dtype a grid of logits and a shift whose sum it holds exactly.
GRIDS = {'float32': (1 / 64, 1024.0), 'float16': (1 / 8, 64.0),
         'bfloat16': (1.0, 64.0)}
SCALES = tuple(2.0 ** power for power in (0, 10, 40, 100))
WEIGHTS = range(3)
ENOUGH = 0.01  # of the sum: a bound above that says nothing

Softmax = Callable[[jax.Array], jax.Array]


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each dtype, and one for a model's own logits."""
  del preset, pins
  return (*(Cell('softmax', name, Exact(('softmax', name))) for name in GRIDS),
          Cell('softmax', 'logits', Exact(('logits', 'float32'))))


def measure(subject: Subject) -> list[Row]:
  """What a softmax makes of logits of a dtype, or what a model's logits are."""
  kind, dtype = subject.case
  return probabilities(dtype) if kind == 'softmax' else logits()


def probabilities(dtype: str, softmax: Softmax = jax.nn.softmax) -> list[Row]:
  """Sums, shifts and repetitions of a softmax, for logits of several kinds."""
  rows = []
  softmax = jax.jit(softmax)
  for size in VOCABULARIES:
    for kind, z_V in drawn(dtype, size).items():
      p_V = np.asarray(softmax(z_V), np.float64)
      unit = float(jnp.finfo(dtype).eps) * np.sqrt(size)
      where: dict[str, int | str] = {'V': size, 'logits': kind}
      error = abs(p_V.sum() - 1)
      rows += [Row('sum_error', error, where),
               Row('least_probability', p_V.min(), where)]
      if 4 * unit < ENOUGH:
        rows.append(Row('sum_error_over_bound', error / (4 * unit), where))
    z_V, shift = drawn(dtype, size)['normal'], GRIDS[dtype][1]
    p_V, twice_V, moved_V = (np.asarray(x, np.float64) for x in (
      softmax(z_V), softmax(softmax(z_V)),
      softmax(z_V + z_V.dtype.type(shift))))
    rows += [
      Row('changed_by_a_shift', (moved_V != p_V).sum(), {'V': size}),
      Row('changed_by_a_second_softmax', np.abs(twice_V - p_V).max(),
          {'V': size})]
  return rows


def drawn(dtype: str, size: int) -> dict[str, np.ndarray]:
  """Logits of a vocabulary: equal, random (on a grid), as large as can be."""
  random = np.random.default_rng(size)
  step = GRIDS[dtype][0]
  normal_V = np.round(np.clip(3 * random.standard_normal(size), -15, 15)
                      / step) * step
  normal_V[0] = 12.0  # one that stands out, as where a model knows the answer
  largest = float(jnp.finfo(dtype).max)
  extreme_V = np.where(random.random(size) < 0.5, largest, -largest)
  return {kind: z_V.astype(jnp.dtype(dtype)) for kind, z_V in (
    ('equal', np.zeros(size)), ('normal', normal_V), ('extreme', extreme_V))}


def logits() -> list[Row]:
  """What enters a model's softmax, and what leaves it."""
  config = layer.config(n_layers=2)
  tokens_BT = np.random.default_rng(0).integers(config.vocab_size, size=(4, 16))
  run = jax.jit(model.apply, static_argnums=0)
  rows = []
  for seed in WEIGHTS:
    params = layer.draw(config, seed)

    def scaled(scale: float, params=params) -> np.ndarray:
      w_DV = params['unembedding']['w_DV'] * jnp.float32(scale)
      out = run(config, {**params, 'unembedding': {'w_DV': w_DV}}, tokens_BT)
      return np.asarray(out.logits_BTV, np.float64)

    z_BTV = scaled(1.0)
    p_BTV = jax.nn.softmax(z_BTV.astype(np.float32))
    constant_BTV = np.log(np.asarray(p_BTV, np.float64)) - z_BTV
    where = {'weights': seed}
    rows += [
      Row('least_logit', z_BTV.min(), where),
      Row('spread_of_log_probability_less_logit',
          np.ptp(constant_BTV, axis=-1).max(), where)]
    rows += [Row('largest_logit', np.abs(scaled(scale)).max(),
                 {**where, 'scale': scale}) for scale in SCALES]
    rows.append(Row('largest_logit_over_scale',
                    np.abs(scaled(SCALES[-1])).max() / SCALES[-1]
                    / np.abs(z_BTV).max(), where))
  return rows


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  charitable = (
    Property('sum', 'Probabilities sum to 1 within 4 eps sqrt(V) where that is '
             'below one percent: float32 up to V = 152,000 and float16 with V '
             '= 2, extreme logits included. Elsewhere in half precision the '
             'bound says nothing.',
             functools.partial(beyond, metric='sum_error_over_bound',
                               at_most=1.0)),
    Property('sign', 'No probability is negative.', functools.partial(
      beyond, metric='least_probability', at_least=0.0)),
    Property('scores become probabilities', 'Log-probabilities are the logits '
             'less one constant a position, within 1e-5: linear layer, then '
             'logits, then softmax.', functools.partial(
               beyond, metric='spread_of_log_probability_less_logit',
               at_most=1e-5)))
  beside = (
    Property('shift', 'The same number added to all logits changes no bit of '
             'any probability.', functools.partial(
               beyond, metric='changed_by_a_shift', at_most=0.0)),
    Property('second softmax', 'A softmax of probabilities is another '
             'distribution: what is taken for logits matters.',
             functools.partial(beyond, metric='changed_by_a_second_softmax',
                               at_least=1e-3)),
    Property('unbounded', 'Logits grow in proportion to the weights of the '
             'last layer: they are no probabilities.',
             functools.partial(beyond, metric='largest_logit_over_scale',
                               at_least=1.0, at_most=1.0)))
  literal = Property(
    'literal: the sum in every precision', 'Also where that bound says '
    'nothing, in float16 and bfloat16, the sum is within one percent of 1.',
    functools.partial(beyond, metric='sum_error', at_most=ENOUGH))
  hold = all_are('holds', charitable)
  return Stratum(
    name='softmax',
    title='Softmax and logits (B14): the outputs sum to 1; that they are the '
    'logits is wrong by definition',
    prediction='The last linear layer gives logits, which are any real '
    'numbers; the softmax makes them probabilities that sum to 1 within '
    'rounding, in float32. (Logits are by definition what enters the softmax, '
    'not what leaves it.)',
    refutation='Probabilities do not sum to 1 within rounding, where rounding '
    'has a bound below one percent.',
    properties=(*charitable, *beside, literal),
    rule=Rule(supported=(*hold, (literal.name, 'holds')),
              refuted=(('sum', 'fails'),),
              conditional=hold),
    tier='E0')


PART = Part('softmax', sweep, measure, declare, figures.none,
            sentence=words.readings)
