"""The tuned lens: every stream is carried so that it predicts as the last does.

Belrose et al., 2023: an affine map for each layer, the identity to begin with,
trained on other text to the smallest divergence from the last layer's
prediction. What is learned is the difference to the identity, with weight decay
as published, so the less is learned, the more it is the logit lens. The linear
lens has most of it in closed form; this one is for whom the divergence itself
matters, and dear: each step multiplies with the vocabulary three times a layer.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.instruments import lens, lens_file, linear_lens
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.lens import Scored, Transport
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages, scored
from experiments.runs.subject import Row
from model import ModelConfig

STEPS = 250  # as published
POSITIONS = 2048  # of the calibration, at most
BATCH = 64  # positions of a step
RATE, DECAY = 1e-3, 1e-3  # of learning, which ends at 0; of the weights


class Change(NamedTuple):
  """What is learned: the difference to the identity, (N,D,D), and (N,D)."""

  w_NDD: jax.Array
  b_ND: jax.Array


def train(network: Network, examples: Scored, steps: int = STEPS) -> Transport:
  """Trains the maps of all layers side by side.

  Args:
    network: has logits.
    examples: streams at positions of text; those without weight do not count.
    steps: updates, each on BATCH positions drawn anew.
  """
  n_layers, width = network.config.n_layers, network.config.d_model
  change = Change(jnp.zeros((n_layers, width, width)),
                  jnp.zeros((n_layers, width)))
  state = _optimizer(steps).init(change)
  for step in range(steps):
    change, state = _update(network, examples, change, state, step, steps)
  return Transport(jnp.eye(width) + change.w_NDD, change.b_ND)


def _optimizer(steps: int) -> optax.GradientTransformation:
  return optax.adamw(optax.linear_schedule(RATE, 0.0, max(steps, 1)),
                     weight_decay=DECAY)


@functools.partial(jax.jit, static_argnames='steps')
def _update(network: Network, examples: Scored, change: Change,
            state: optax.OptState, step: jax.Array,
            steps: int) -> tuple[Change, optax.OptState]:
  share_T = examples.weights_T / jnp.sum(examples.weights_T)
  place_T = jax.random.choice(jax.random.fold_in(jax.random.key(0), step),
                              len(share_T), (BATCH,), p=share_T)
  stream_NTD = examples.stream_NTD[:, place_T].astype(jnp.float32)
  last_TV = jax.nn.log_softmax(network.unembed(stream_NTD[-1][None])[0])

  def divergence(own: Change, x_TD: jax.Array) -> jax.Array:
    x_TD = x_TD + x_TD @ own.w_NDD + own.b_ND
    log_TV = jax.nn.log_softmax(network.unembed(x_TD[None])[0])
    return jnp.mean(jnp.sum(jnp.exp(last_TV) * (last_TV - log_TV), axis=1))

  slopes = jax.lax.map(lambda own_and_x: jax.grad(divergence)(*own_and_x),
                       (change, stream_NTD[:-1]))
  updates, state = _optimizer(steps).update(slopes, state, change)
  return optax.apply_updates(change, updates), state


def transport(given: Given) -> Transport:
  """Trained on the calibration, or as the model's folder has it."""
  assert given.calibration
  found = lens_file.kept(given, 'tuned_lens', given.calibration, _fit)
  return Transport(**{name: jnp.asarray(x) for name, x in found.items()})


def _fit(given: Given, calibration: Passages) -> dict[str, np.ndarray]:
  examples = lens.streams(given.network, scored(calibration, POSITIONS))
  trained = train(given.network, examples)
  return {name: np.asarray(x) for name, x in vars(trained).items()}


def _flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  step = 3 * 2 * BATCH * config.n_layers * config.d_model * (
    config.vocab_size + config.d_model)
  return (lens.reading_flops(config, tokens)
          + 2 * (STEPS * step + forward_flops(config, calibration)))


def _measure(given: Given) -> list[Row]:
  return lens.rows(given, 'tuned', transport)


INSTRUMENT = Instrument(
  name='tuned-lens', title='Where predictions form: the tuned lens',
  says='As the linear lens, but each layer’s affine map is trained until it '
       'predicts as nearly as it can what the last layer predicts.',
  source='Belrose et al., 2023', measure=_measure, flops=_flops,
  metrics=lens.METRICS, refusal=linear_lens.refusal)
