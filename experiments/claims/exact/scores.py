"""What the feed-forward reads (card N1, statement B8).

The primer: the feed-forward processes the attention scores.

It is refuted if the same scores, with other values, give another output. Its
input is the normalised residual stream: the token's own vector and, added to
it, the values that attention mixed by the scores.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

import model
from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import beyond, largest
from experiments.judge.declaration import Control, Property, Rule, Stratum
from experiments.judge.numbers import brief
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact
from model.config import Activation
from model.feed_forward import ACTIVATIONS, PlainFeedForward

WEIGHTS = range(3)
LENGTH = 12
SAME = 1e-5  # of outputs of order 1


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case of one block."""
  del preset, pins
  return Cell('scores', 'block', Exact(('block', 'gelu'))),


def measure(subject: Subject) -> list[Row]:
  """How the output changes with the values, and how far it is from W2 act W1.

  Other values with the same scores leave the output as it is, if it processes
  the scores.
  """
  _, activation = subject.case
  with jax.default_matmul_precision(layer.EXACT):
    return block(activation)


def block(activation: Activation) -> list[Row]:
  """That of one block with an activation."""
  config = layer.config(
    feed_forward=PlainFeedForward(activation=activation), vocab_size=64)
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
    moved = {name: np.abs(one[name] - two[name]).max() for name in taps}
    where = {'weights': seed}
    rows += [
      Row('scores_moved_by_other_values', moved['attention_pattern'], where),
      Row('output_moved_by_other_values', moved['ffn_out'], where),
      Row('away_from_formula', np.abs(
        formula(ffn, normed(one['resid_mid'], config.norm_epsilon),
                activation)
        - one['ffn_out']).max(), where)]
  return rows


def formula(params: dict[str, np.ndarray], x_BTD: np.ndarray,
            activation: str) -> np.ndarray:
  """W2 act(W1 x + b1) + b2."""
  h_BTF = x_BTD @ params['w_up_DF'] + params['b_up_F']
  act_BTF = np.asarray(ACTIVATIONS[activation](jnp.float32(h_BTF)), np.float64)
  return act_BTF @ params['w_down_FD'] + params['b_down_D']


def normed(x_BTD: np.ndarray, epsilon: float) -> np.ndarray:
  """What the feed-forward reads of the stream, before training."""
  x_BTD = x_BTD - x_BTD.mean(-1, keepdims=True)
  return x_BTD / np.sqrt((x_BTD**2).mean(-1, keepdims=True) + epsilon)


def moves(rows: pl.DataFrame) -> str:
  """By how much other values move the output, where they do."""
  most = largest(rows, 'output_moved_by_other_values')
  return '' if most <= SAME else f'same scores, output moves by {brief(most)}'


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  processes = Property(
    'it processes the scores', 'With the same scores its output is the same, '
    'whatever values they weigh, within 1e-5.', moves)
  same = Control(
    'the same scores', 'Other values change no score.', functools.partial(
      largest, metric='scores_moved_by_other_values'), at_most=0.0)
  reads = Property(
    'it reads the stream', 'The feed-forward is W2 act(W1 x + b1) + b2, where '
    'x is the normalised residual stream of a position (its own vector and '
    'what attention added to it), within 1e-5.', functools.partial(
      beyond, metric='away_from_formula', at_most=SAME))
  return Stratum(
    name='scores',
    title='Feed-forward (B8): it processes the scores of attention',
    prediction='Once the scores are given, nothing else changes what the '
    'feed-forward gives.',
    refutation='With the same scores and other values the feed-forward gives '
    'another output: it reads the normalised residual stream, the token\'s own '
    'vector included, to which attention added values weighed by the scores.',
    properties=(processes, reads),
    controls=(same,),
    rule=Rule(supported=((processes.name, 'holds'),),
              refuted=((processes.name, 'fails'), (reads.name, 'holds'))),
    tier='E0')


PART = Part('scores', sweep, measure, declare, figures.none,
            sentence=words.readings)
