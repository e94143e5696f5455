"""Activation (card N1, statement B9).

The primer: the activation clamps values to a range and makes the model
nonlinear.

Literal reading: every activation has a bounded range. Charitable reading: some
have, tanh and sigmoid, and each makes the feed-forward more than one matrix.
The stratum is conditional where the charitable reading holds and the literal
one fails. A range is bounded, whatever its size, if inputs a hundred times as
large reach no further.

An activation is not the only nonlinearity: attention without one is shown not
to be linear either.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

import model
from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import (
  all_are,
  all_within,
  constant,
)
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact
from model.config import Activation
from model.feed_forward import ACTIVATIONS, PlainFeedForward
from model.sites import Sites

WEIGHTS = range(3)
FURTHEST = (1e2, 1e4)
LENGTH = 12
SAME, OTHER = 1e-5, 1e-3
BOUNDED = ('tanh', 'sigmoid')
UNBOUNDED = ('relu', 'gelu', 'gelu_exact', 'silu')


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each activation, and one for attention."""
  del preset, pins
  return (*(Cell('activation', name, Exact(('activation', name)))
            for name in ACTIVATIONS),
          Cell('activation', 'attention', Exact(('attention', 'none'))))


def measure(subject: Subject) -> list[Row]:
  """What a case shows."""
  kind, name = subject.case
  with jax.default_matmul_precision(layer.EXACT):
    if kind == 'attention':
      return attention()
    return [*reach(ACTIVATIONS[name]), *collapse(name)]


def reach(activation: Callable[[jax.Array], jax.Array]) -> list[Row]:
  """The largest size of an activation's output over |x| <= 100, and 10,000."""
  return [Row('largest_size', float(jnp.abs(activation(jnp.linspace(
    -furthest, furthest, 20_001, dtype=jnp.float32))).max()),
    {'inputs_up_to': int(furthest)}) for furthest in FURTHEST]


def collapse(name: Activation) -> list[Row]:
  """How far a feed-forward is from the one matrix W1 W2 with a bias."""
  config = layer.config(feed_forward=PlainFeedForward(activation=name))
  network = config.feed_forward.module(config)

  @functools.partial(jax.jit, compiler_options=layer.QUICK)
  def apply(params: Any, x_BTD: Any) -> jax.Array:
    y_BTD: Any = network.apply({'params': params}, x_BTD, Sites({}, {}))
    return y_BTD

  rows = []
  for seed in WEIGHTS:
    params = weights(config, seed)
    x_BTD = _normal(seed, 4, LENGTH, config.d_model)
    w_DD = params['w_up_DF'] @ params['w_down_FD']
    b_D = params['b_up_F'] @ params['w_down_FD'] + params['b_down_D']
    away = np.abs(apply(params, x_BTD) - (x_BTD @ w_DD + b_D)).max()
    rows += [Row('away_from_one_matrix', away, {'weights': seed}),
             Row('second_difference', bend(
               functools.partial(apply, params), x_BTD), {'weights': seed})]
  return rows


def weights(config: model.ModelConfig, seed: int) -> dict[str, np.ndarray]:
  """Those of a first feed-forward, with biases that are not 0."""
  params = layer.draw(config, seed)['stack']['ffn']
  random = np.random.default_rng(seed)
  return {name: np.asarray(leaf_N[0]) if name.startswith('w_') else
          random.standard_normal(leaf_N[0].shape, np.float32)
          for name, leaf_N in params.items()}


def attention() -> list[Row]:
  """How far attention alone is from linear."""
  of_mixer = layer.Mixer(layer.config())
  apply = jax.jit(of_mixer, compiler_options=layer.QUICK)
  return [Row('second_difference', bend(
    functools.partial(apply, of_mixer.params(seed)),
    _normal(seed, 4, LENGTH, of_mixer.config.d_model)), {'weights': seed})
    for seed in WEIGHTS]


def bend(function: Callable[[Any], jax.Array], x_BTD: np.ndarray) -> float:
  """max |f(x + h) - 2 f(x) + f(x - h)|, which is 0 of a linear function."""
  h_BTD = _normal(99, *x_BTD.shape)
  y_BTD = (function(x_BTD + h_BTD) - 2 * function(x_BTD)
           + function(x_BTD - h_BTD))
  return float(jnp.abs(y_BTD).max())


def _normal(seed: int, *shape: int) -> np.ndarray:
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def same_range(rows: pl.DataFrame, arms: Sequence[str]) -> str:
  """The first activation whose output grows with the range of its input."""
  found = (constant(rows, 'largest_size', {'arm': arm}, along='inputs_up_to')
           for arm in arms)
  return next(filter(None, found), '')


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def bound(metric: str, *arms: str, **bounds: Any) -> Any:
    return functools.partial(all_within, metric=metric, arms=arms, **bounds)

  def bounded(*arms: str) -> Any:
    return functools.partial(same_range, arms=arms)

  charitable = (
    Property('identity is one matrix', 'Without an activation FFN(x) = x W1 W2 '
             'and a bias, within 1e-5.', bound(
               'away_from_one_matrix', 'identity', at_most=SAME)),
    Property('each bends', 'ReLU, GELU, SiLU, tanh and sigmoid each make the '
             'feed-forward nonlinear: second difference above 1e-3.', bound(
               'second_difference', *BOUNDED, *UNBOUNDED, at_least=OTHER)),
    Property('some clamp', 'tanh and sigmoid have a bounded range.',
             bounded(*BOUNDED)))
  beside = Property(
    'attention bends too', 'Attention alone, without an activation, is not '
    'linear: second difference above 1e-3.', bound(
      'second_difference', 'attention', at_least=OTHER))
  literal = Property(
    'literal: every activation clamps', 'ReLU, GELU, SiLU, tanh and sigmoid '
    'each have a bounded range.', bounded(*UNBOUNDED, *BOUNDED))
  hold = all_are('holds', charitable)
  return Stratum(
    name='activation',
    title='Activation (B9): it clamps values to a range and makes the model '
    'nonlinear',
    prediction='ReLU, GELU, SiLU, tanh and sigmoid each make the feed-forward '
    'nonlinear (attention is nonlinear without one); tanh and sigmoid also '
    'clamp to a range, ReLU, GELU and SiLU do not.',
    refutation='With one of these activations the feed-forward is linear.',
    properties=(*charitable, beside, literal),
    rule=Rule(supported=(*hold, (literal.name, 'holds')),
              refuted=(('each bends', 'fails'),),
              conditional=hold),
    tier='E0')


PART = Part('activation', sweep, measure, declare, figures.none,
            sentence=words.readings)
