"""Feed-forward and activation (card N1, statements B8 and B9).

The primer: the feed-forward processes the attention scores; the activation
clamps its output to a range and adds nonlinearity.

Literal readings: what the feed-forward reads are the scores, and every
activation has a bounded range. Charitable readings: it reads, position by
position, what attention mixed by the scores, FFN(x) = W2 act(W1 x + b1) + b2;
the activation is what makes it more than one matrix. The stratum is
conditional where the charitable readings hold and a literal one fails.

An activation is not the only nonlinearity: attention without one is shown not
to be linear either.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import model
from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import all_are, all_within
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact
from model.feed_forward import ACTIVATIONS, FeedForward
from model.norm import EPSILON
from model.sites import Sites

WEIGHTS = range(3)
FURTHEST = 1e3
LENGTH = 12
SAME, OTHER = 1e-5, 1e-3
BOUNDED = ('tanh', 'sigmoid')
UNBOUNDED = ('relu', 'gelu', 'silu')


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each activation, one for attention, one for a whole block."""
  del preset, pins
  return (*(Cell('feed_forward', name, Exact(('activation', name)))
            for name in ACTIVATIONS),
          *(Cell('feed_forward', name, Exact((name, 'gelu')))
            for name in ('attention', 'block')))


def measure(subject: Subject) -> list[Row]:
  """What a case shows."""
  kind, activation = subject.case
  with jax.default_matmul_precision(layer.EXACT):
    if kind == 'activation':
      return [*reach(activation), *collapse(activation)]
    return attention() if kind == 'attention' else block(activation)


def reach(name: str) -> list[Row]:
  """The least and the largest output of an activation over |x| <= 1000."""
  y = np.asarray(ACTIVATIONS[name](jnp.linspace(
    -FURTHEST, FURTHEST, 20_001, dtype=jnp.float32)))
  return [Row('least_output', y.min()), Row('largest_output', y.max()),
          Row('largest_size', np.abs(y).max())]


def collapse(name: str) -> list[Row]:
  """How far a feed-forward is from the one matrix W1 W2 with a bias."""
  config = layer.config(activation=name)
  network = FeedForward(config)

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


def block(activation: str) -> list[Row]:
  """What the feed-forward of one block reads: scores, or what they mixed.

  The same scores with other values should leave it as it was if it read the
  scores; and so should the scores themselves in the place of its input.
  """
  config = layer.config(activation=activation, vocab_size=64)
  tokens_BT = np.random.default_rng(0).integers(64, size=(4, LENGTH))
  taps = dict.fromkeys(('attention_pattern', 'resid_mid', 'ffn_out'))
  run = jax.jit(functools.partial(model.apply, config, taps=taps),
                compiler_options=layer.QUICK)
  rows = []
  for seed in WEIGHTS:
    params = layer.draw(config, seed)
    stack, other = params['stack'], layer.draw(config, seed + 100)['stack']
    changed = {**params, 'stack': {**stack, 'mixer': {
      **stack['mixer'], 'w_v_DGK': other['mixer']['w_v_DGK']}}}
    one, two = ({name: np.asarray(x_N[0], np.float64)
                 for name, x_N in run(p, tokens_BT).taps.items()}
                for p in (params, changed))
    ffn = {name: np.asarray(x_N[0], np.float64)
           for name, x_N in stack['ffn'].items()}
    scores_BTD = np.zeros_like(one['ffn_out'])
    scores_BTD[..., :LENGTH] = one['attention_pattern'].mean(1)
    moved = {name: np.abs(one[name] - two[name]).max() for name in taps}
    where = {'weights': seed}
    rows += [
      Row('scores_moved_by_other_values', moved['attention_pattern'], where),
      Row('output_moved_by_other_values', moved['ffn_out'], where),
      Row('away_from_formula', np.abs(
        formula(ffn, normed(one['resid_mid']), activation)
        - one['ffn_out']).max(), where),
      Row('away_from_formula_of_scores', np.abs(
        formula(ffn, scores_BTD, activation) - one['ffn_out']).max(), where)]
  return rows


def formula(params: dict[str, np.ndarray], x_BTD: np.ndarray,
            activation: str) -> np.ndarray:
  """W2 act(W1 x + b1) + b2."""
  h_BTF = x_BTD @ params['w_up_DF'] + params['b_up_F']
  act_BTF = np.asarray(ACTIVATIONS[activation](jnp.float32(h_BTF)), np.float64)
  return act_BTF @ params['w_down_FD'] + params['b_down_D']


def normed(x_BTD: np.ndarray) -> np.ndarray:
  """What the feed-forward reads of the stream, before training."""
  x_BTD = x_BTD - x_BTD.mean(-1, keepdims=True)
  return x_BTD / np.sqrt((x_BTD**2).mean(-1, keepdims=True) + EPSILON)


def _normal(seed: int, *shape: int) -> np.ndarray:
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset

  def bound(metric: str, *arms: str, **bounds: Any) -> Any:
    return functools.partial(all_within, metric=metric, arms=arms, **bounds)

  charitable = (
    Property('identity is one matrix', 'Without an activation FFN(x) = x W1 W2 '
             'and a bias, within 1e-5.', bound(
               'away_from_one_matrix', 'identity', at_most=SAME)),
    Property('activations bend', 'ReLU, GELU, SiLU, tanh and sigmoid each make '
             'it nonlinear: second difference above 1e-3.', bound(
               'second_difference', *BOUNDED, *UNBOUNDED, at_least=OTHER)),
    Property('it is W2 act(W1 x + b1) + b2', 'The feed-forward is that formula '
             'of the normalised stream, position by position, within 1e-5.',
             bound('away_from_formula', 'block', at_most=SAME)),
    Property('the values matter', 'With the same scores and other values its '
             'output is another, by more than 1e-3.', bound(
               'output_moved_by_other_values', 'block', at_least=OTHER)),
    Property('the scores are the same', 'Those other values change no score.',
             bound('scores_moved_by_other_values', 'block', at_most=0.0)))
  beside = (
    Property('bounded ones', 'tanh and sigmoid stay within [-1, 1].', bound(
      'largest_size', *BOUNDED, at_most=1.0)),
    Property('attention bends too', 'Attention alone, without an activation, '
             'is not linear: second difference above 1e-3.', bound(
               'second_difference', 'attention', at_least=OTHER)))
  literal = (
    Property('literal: it processes the scores', 'The formula of the raw '
             'scores, in the place of what they mixed, is its output, within '
             '1e-5.', bound('away_from_formula_of_scores', 'block',
                            at_most=SAME)),
    Property('literal: every activation clamps', 'No activation exceeds 1 for '
             'inputs up to 1,000.', bound(
               'largest_size', *UNBOUNDED, *BOUNDED, at_most=1.0)))
  hold = all_are('holds', charitable)
  return Stratum(
    name='feed_forward',
    title='Feed-forward and activation (B8, B9): it processes the scores; the '
    'activation clamps to a range and adds nonlinearity',
    prediction='The feed-forward reads what attention mixed, not the scores; '
    'tanh and sigmoid clamp, ReLU, GELU and SiLU do not; each adds '
    'nonlinearity.',
    refutation='Activations add no nonlinearity, and the feed-forward does not '
    'depend on the values.',
    properties=(*charitable, *beside, *literal),
    rule=Rule(
      supported=(*hold, *all_are('holds', literal)),
      refuted=(('activations bend', 'fails'), ('the values matter', 'fails')),
      conditional=(*hold, *all_are('fails', literal))),
    tier='E0')


PART = Part('feed_forward', sweep, measure, declare, figures.none,
            sentence=words.readings)
