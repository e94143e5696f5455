"""Softmax and logits (card X1, statement B14).

The primer: a final linear layer and a softmax give probabilities that sum to
1, resulting in the output logits.

Literal reading: what leaves the softmax are the logits. Charitable reading:
the linear layer gives a score to each token, the softmax makes the scores
probabilities. Logits are by definition what enters the softmax, so the literal
reading has the order wrong; the stratum is conditional where it fails and all
else holds.

The sum is exact but for rounding: V numbers of relative precision eps may miss
1 by a few eps sqrt(V). In half precision and with many tokens that bound is
empty (V = 152,000: 1.5 in float16, 12 in bfloat16, and a sum of 0 would pass),
so a second property asks for one percent everywhere. float16 fails it: its
largest number is 65,504, so more exponentials than that near 1 sum to infinity
and every probability is 0. This model computes logits and softmax in float32.
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
      rows += [Row('sum_error', abs(p_V.sum() - 1), where),
               Row('sum_error_over_bound', abs(p_V.sum() - 1) / unit, where),
               Row('least_probability', p_V.min(), where)]
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
      Row('sum_of_logits', z_BTV.sum(-1).flat[0], where),
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
    Property('sum', 'Probabilities sum to 1 within 4 eps sqrt(V), for float32, '
             'float16 and bfloat16, up to V = 152,000, extreme logits '
             'included.',
             functools.partial(beyond, metric='sum_error_over_bound',
                               at_most=4.0)),
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
    Property('unbounded', 'Logits grow with the weights without bound.',
             functools.partial(beyond, metric='largest_logit_over_scale',
                               at_least=1.0, at_most=1.0)))
  everywhere = Property(
    'sum in every precision', 'Also where that bound exceeds 1, the sum is '
    'within one percent of 1.', functools.partial(
      beyond, metric='sum_error', at_most=0.01))
  literal = Property(
    'literal: the softmax results in logits', 'What the model calls logits '
    'sums to 1, as what leaves the softmax does.', functools.partial(
      beyond, metric='sum_of_logits', at_least=1 - 1e-5, at_most=1 + 1e-5))
  hold = all_are('holds', charitable)
  return Stratum(
    name='softmax',
    title='Softmax and logits (B14): the outputs sum to 1, "resulting in '
    'output logits"',
    prediction='The last linear layer gives logits, which are any real '
    'numbers; the softmax makes them probabilities that sum to 1.',
    refutation='Probabilities do not sum to 1 within rounding, or are not made '
    'of the logits.',
    properties=(*charitable, *beside, everywhere, literal),
    rule=Rule(supported=(*hold, (everywhere.name, 'holds'),
                         (literal.name, 'holds')),
              refuted=(('sum', 'fails'), (literal.name, 'fails')),
              conditional=(*hold, (literal.name, 'fails'))),
    tier='E0')


PART = Part('softmax', sweep, measure, declare, figures.none,
            sentence=words.readings)
