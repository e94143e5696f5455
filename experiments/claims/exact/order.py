"""Order without positions (card P1, statement B5).

The primer: positional embeddings must be used, unlike in recurrent and
convolutional networks.

Literal reading: order is invisible to any attention model without positions.
Charitable reading: it is to attention by itself, where it sees all positions
alike. The causal mask lets each position see another number of others, and a
second layer can read that, so the literal reading fails where the charitable
one holds: conditional.

Each network here has the weights that it starts with. That order is invisible
holds for whatever weights; that it is visible is shown of random ones. Whether
a model can be trained as well without positions, so whether they *must* be
used, is another experiment.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import model
from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import (
  all_are,
  all_within,
  beyond,
)
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact

ORDERS = 16
WEIGHTS = range(5)
LENGTH = 12
SAME, OTHER = 1e-5, 1e-3  # of logits of order 1

# (mixer, mask, position, layers) by arm.
CASES = {
  **{f'bidirectional, n = {n}': ('attention', 'bidirectional', 'none', n)
     for n in (1, 2)},
  **{f'causal, n = {n}': ('attention', 'causal', 'none', n)
     for n in (1, 2)},
  **{f'bidirectional, {position}': ('attention', 'bidirectional', position, 1)
     for position in ('learned', 'sinusoidal', 'rotary', 'alibi')},
  **{kind: (kind, 'causal', 'none', 1)
     for kind in ('gru', 'linear_recurrence', 'convolution',
                  'dilated_convolution')},
}
BLIND = ('bidirectional, n = 1', 'bidirectional, n = 2')


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each model, and one for convolutions on a ring."""
  del preset, pins
  return (*(Cell('order', arm, Exact(case)) for arm, case in CASES.items()),
          Cell('order', 'ring', Exact(('convolution', 'ring', 'none', 1))))


def measure(subject: Subject) -> list[Row]:
  """How much outputs change with the order of the inputs."""
  kind, mask, position, n_layers = subject.case
  with jax.default_matmul_precision(layer.EXACT):
    if mask == 'ring':
      return ring(kind)
    return permuted(layer.config(
      kind, mask=mask, position=model.POSITIONS[position](), n_layers=n_layers,
      max_length=LENGTH))


def permuted(config: model.ModelConfig) -> list[Row]:
  """The largest change of a logit over random orders, for each network.

  Of a bidirectional model, f(Px) less P f(x) at every position; of a causal one
  the logits at the last position, whose token stays, when those before it
  change places.
  """
  random = np.random.default_rng(0)
  tokens_T = random.permutation(config.vocab_size)[:LENGTH]
  kept, compared = ((0, slice(None)) if config.mask == 'bidirectional' else
                    (1, slice(-1, None)))
  moved = np.arange(LENGTH)
  orders_BT = np.stack([moved, *(np.concatenate([
    random.permutation(LENGTH - kept), moved[LENGTH - kept:]])
    for _ in range(ORDERS))])
  run = jax.jit(functools.partial(model.apply, config),
                compiler_options=layer.QUICK)
  rows = []
  for seed in WEIGHTS:
    logits_BTV = np.asarray(run(layer.draw(config, seed),
                                tokens_T[orders_BT]).logits_BTV)
    expected_BTV = logits_BTV[0][orders_BT]
    change_BTV = np.abs(logits_BTV - expected_BTV)[1:]
    rows.append(Row('change', change_BTV[:, compared].max(),
                    {'weights': seed}))
  return rows


def ring(kind: str) -> list[Row]:
  """A convolution's f(shifted x) less shifted f(x), with ends and without.

  Without ends: the input is repeated, and the second half of the output read,
  so that what is before the first position is the last one.
  """
  of_mixer = layer.Mixer(layer.config(kind))
  random = np.random.default_rng(0)
  x_BTD = random.standard_normal((1, LENGTH, of_mixer.config.d_model),
                                 np.float32)
  apply = jax.jit(of_mixer, compiler_options=layer.QUICK)

  def closed(params: Any, x_BTD: np.ndarray) -> jax.Array:
    return apply(params, jnp.concatenate([x_BTD, x_BTD], 1))[:, LENGTH:]

  rows = []
  for seed in WEIGHTS:
    params = of_mixer.params(seed)
    for ends, function in (('zeros', apply), ('closed', closed)):
      change = max(float(jnp.abs(
        function(params, np.roll(x_BTD, shift, 1))
        - jnp.roll(function(params, x_BTD), shift, 1)).max())
        for shift in range(1, LENGTH))
      rows.append(Row('change_by_a_shift', change,
                      {'weights': seed, 'ends': ends}))
  return rows


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def same(arm: str) -> Any:
    return functools.partial(beyond, metric='change', at_most=SAME,
                             where={'arm': arm})

  def other(*arms: str) -> Any:
    return functools.partial(all_within, metric='change', at_least=OTHER,
                             arms=arms)

  charitable = (
    *(Property(f'blind: {arm}', 'Bidirectional attention without positions: '
               'f(Px) = P f(x) within 1e-5.', same(arm)) for arm in BLIND),
    Property('blind: causal, n = 1', 'One causal layer without positions: '
             'the last output does not change by more than 1e-5 with the order '
             'of what is before it.', same('causal, n = 1')),
    Property('positions tell', 'With learned, sinusoidal, rotary or ALiBi '
             'positions a bidirectional layer is changed by the order, by more '
             'than 1e-3.', other(*(arm for arm in CASES if arm not in BLIND
                                   and arm.startswith('bidirectional')))),
    Property('recurrences and convolutions tell', 'A GRU, a linear recurrence '
             'and convolutions are changed by the order without positions, by '
             'more than 1e-3.', other(*(arm for arm in CASES
                                        if arm in model.MIXERS))))
  beside = (
    Property('a convolution knows order, not place', 'On a ring, without ends, '
             'a convolution of shifted input is the shifted output, within '
             '1e-5.', functools.partial(
               beyond, metric='change_by_a_shift', at_most=SAME,
               where={'ends': 'closed'})),
    Property('its ends tell the place', 'With zeros before the first position '
             'it is not, by more than 1e-3.', functools.partial(
               beyond, metric='change_by_a_shift', at_least=OTHER,
               where={'ends': 'zeros'})))
  literal = Property(
    'literal: order is invisible without positions', 'No attention model '
    'without positions is changed by the order: two causal layers of random '
    'weights, within 1e-5.',
    same('causal, n = 2'))
  hold = all_are('holds', charitable)
  return Stratum(
    name='order',
    title='Order without positions (B5): it is invisible, unlike in recurrent '
    'and convolutional networks; that positions must be used is not judged',
    prediction='Without positions bidirectional attention does not see the '
    'order at all, nor does the last output of one causal layer see the order '
    'of what came before; recurrent and convolutional networks see it. The '
    'output of two causal layers with random weights does change with '
    'the order, which does not show that training can do without positions.',
    refutation='Bidirectional attention without positions sees the order.',
    properties=(*charitable, *beside, literal),
    rule=Rule(supported=(*hold, (literal.name, 'holds')),
              refuted=((f'blind: {BLIND[0]}', 'fails'),),
              conditional=hold),
    tier='E0')


PART = Part('order', sweep, measure, declare, figures.none,
            sentence=words.readings)
