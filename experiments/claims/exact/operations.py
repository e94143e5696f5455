"""Path length and operations (card O1, statement B13).

The primers: attention connects any two positions in a constant number of
operations, a recurrent or convolutional network needs a number in proportion
to their distance, and may need several layers.

What is counted is this program as it is traced, an operation on whole arrays
being one step: the longest chain of operations
that wait for each other in one mixer (`experiments.instruments.path`), all its
operations, and the layers that it takes until the first position reaches the
last, by the support of the Jacobian.

Literal reading: *any* recurrence and *any* convolution needs a number in
proportion. Charitable reading: a gated recurrence and a plain convolution do.
The stratum is conditional where the charitable reading holds and the literal
one fails. Beside both stands a stricter cost model, in which a sum of m numbers
is a binary tree of log2 m steps.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import (
  all_are,
  beyond,
  constant,
  curve,
  grows,
  label,
)
from experiments.instruments import path
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.judge.numbers import brief
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact

KINDS = ('attention', 'gru', 'linear_recurrence', 'convolution',
         'dilated_convolution')
LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
WINDOW = 3
WIDTH = 16
# Of a GRU's update gate: it forgets a part in 150 a step. As it starts it
# forgets half, and float32 cannot hold what is left after 150 steps.
REMEMBERING = -5.0


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each kind of mixer."""
  del preset, pins
  return tuple(Cell('operations', kind, Exact(('mixer', kind, max(LENGTHS))))
               for kind in KINDS)


def measure(subject: Subject) -> list[Row]:
  """Path, operations and layers against T."""
  _, kind, length = subject.case
  rows: list[Row] = []
  needed = layers(kind, length)
  for T in LENGTHS:
    own = program(mixer(kind), T, {'T': T})
    rows += [*own, Row('layers', float(needed[T]), {'T': T}),
             Row('path_through_layers', needed[T] * own[0].value, {'T': T})]
  return rows


def mixer(kind: str, **fields: Any) -> layer.Mixer:
  """One of a kind."""
  return layer.Mixer(layer.config(kind, d_model=WIDTH, **fields))


def program(of_mixer: layer.Mixer, T: int,
            where: Mapping[str, int]) -> list[Row]:
  """How long a mixer's program is for T positions."""
  x_BTD = jax.ShapeDtypeStruct((1, T, WIDTH), jnp.float32)
  traced = path.trace(of_mixer, of_mixer.params(0), x_BTD)
  return [Row('path', path.length(traced), where),
          Row('path_of_trees', path.length(traced, trees=True), where),
          Row('operations', path.operations(traced), where)]


def layers(kind: str, length: int) -> Mapping[int, int]:
  """By distance T, how many layers bring position 1 to position T.

  Each is a residual layer: what a position has, it keeps. A layer's Jacobian is
  taken at a random point, times a random change of what is reached so far.
  """
  whole = mixer(kind, n_layers=length)  # as many as any needs, and more
  params = whole.params(0)
  if kind == 'gru':
    params = {**params, 'b_update_D': jnp.full(WIDTH, REMEMBERING)}
  random = np.random.default_rng(0)
  x_BTD, change_BTD = random.standard_normal((2, 1, length, WIDTH), np.float32)

  # Compiled once to run a few times.
  @functools.partial(jax.jit, compiler_options=layer.QUICK)
  def spread(reached_T: jax.Array, layer: jax.Array) -> jax.Array:
    y_BTD, back = jax.vjp(lambda x_BTD: whole(params, x_BTD, layer), x_BTD)
    # Products have a backward pass alone; its transpose is the forward one.
    _, ahead = jax.vjp(lambda y_BTD: back(y_BTD)[0], y_BTD)
    moved_BTD, = ahead(change_BTD * reached_T[:, None])
    return reached_T | (moved_BTD[0] != 0).any(-1)

  reached_T = np.arange(length) == 0
  found: dict[int, int] = {}
  for count in range(1, length):
    reached_T = np.asarray(spread(reached_T, jnp.int32(count - 1)))
    found = {T: count for T in range(2, length + 1) if reached_T[T - 1]
             } | found
    if reached_T.all():
      break
  return found


def covers(rows: pl.DataFrame, arm: str, window: int) -> str:
  """Where the layers are not ceil((T - 1) / (window - 1))."""
  for T, count in zip(*curve(rows, 'layers', {'arm': arm})):
    if count != -(-(T - 1) // (window - 1)):
      return f'{label(arm)}, T = {T}: {count:g} layers'
  return ''


def logarithmic(rows: pl.DataFrame,
                curves: Sequence[tuple[str, str]]) -> str:
  """Which metric of an arm is further than 1 from a + b log2 T.

  Args:
    rows: of the stratum.
    curves: (metric, arm) of each.
  """
  for metric, arm in curves:
    at, values = curve(rows, metric, {'arm': arm})
    line = np.polyval(np.polyfit(np.log2(at), values, 1), np.log2(at))
    away = np.abs(values - line)
    if away.max() > 1:
      i = int(away.argmax())
      return (f'{label(arm)}, T = {at[i]}: {label(metric)} '
              f'{brief(values[i])}, and {brief(line[i])} on a + b log2 T')
  return ''


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  check = functools.partial
  charitable = (
    Property('attention is constant', 'In attention the path is as long for '
             '1,024 positions as for 16, a sum over positions being one '
             'operation.', check(
               constant, metric='path', where={'arm': 'attention'})),
    Property('one layer of attention', 'One layer of attention brings the '
             'first position to the last.', check(
               beyond, metric='layers', at_most=1.0,
               where={'arm': 'attention'})),
    Property('gated recurrence in proportion', 'The path of a GRU grows as T: '
             'exponent 1.00 within 0.02.', check(
               grows, metric='path', low=0.98, high=1.02,
               where={'arm': 'gru'})),
    Property('plain convolution in layers', 'A convolution of window 3 needs '
             'ceil((T - 1) / 2) layers.', check(
               covers, arm='convolution', window=WINDOW)))
  beside = (
    Property('logarithms', 'The path of attention with sums as trees, that of '
             'a linear recurrence, and the layers of a dilated convolution '
             'grow as log T, within one step.', check(logarithmic, curves=(
               ('path_of_trees', 'attention'), ('path', 'linear_recurrence'),
               ('layers', 'dilated_convolution')))),
    Property('work is quadratic', 'The short path is paid for: the operations '
             'of attention grow as T^2 (exponent 1.9 to 2.1 from T = 512).',
             check(grows, metric='operations', low=1.9, high=2.1,
                   where={'arm': 'attention'}, least=512)),
    Property('stricter: constant, sums as trees', 'In attention the path is as '
             'long for 1,024 positions as for 16, where adding m numbers takes '
             'log2 m steps.', check(
               constant, metric='path_of_trees', where={'arm': 'attention'})))
  literal = (
    Property('literal: any recurrence in proportion', 'The path of any '
             'recurrence grows as T.', check(
               grows, metric='path', low=0.98, high=1.02,
               where={'arm': 'linear_recurrence'})),
    Property('literal: any convolution in proportion', 'The layers of any '
             'convolution grow as T.', check(
               grows, metric='layers', low=0.98, high=1.02,
               where={'arm': 'dilated_convolution'}, least=128)))
  hold = all_are('holds', charitable)
  return Stratum(
    name='operations',
    title='Path length (B13): any two positions in a constant number of '
    'operations, in recurrences and convolutions in proportion to the distance',
    prediction='In this traced program, arrays as one step, attention connects '
    'all positions in one layer, and the chain of steps that wait for each '
    'other does not grow with the number of positions T; a gated recurrence '
    'needs steps in proportion to T, and a plain convolution that sees three '
    'positions needs T / 2 layers.',
    refutation='The chain of steps of attention grows with T, arrays as one '
    'step.',
    properties=(*charitable, *beside, *literal),
    rule=Rule(
      supported=(*hold, *all_are('holds', literal)),
      refuted=(('attention is constant', 'fails'),),
      conditional=hold),
    tier='E0')


PART = Part('operations', sweep, measure, declare, figures.operations,
            sentence=words.readings)
