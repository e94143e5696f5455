"""Recurrent mixers: one truly sequential, one linear in its state."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import parameterisation
from model.config import MixerConfig, ModelConfig, Shapes
from model.linear import biased, gathered, project
from model.sites import Sites

SHARPNESS = 8.0  # c in De et al., 2024
SLOWEST, FASTEST = 0.999, 0.9  # decays to start from, De et al., 2024


@dataclasses.dataclass(frozen=True)
class GRUConfig(MixerConfig):
  """Gated recurrent unit (Cho et al., 2014): T steps, one after the other."""

  def module(self, model: ModelConfig) -> 'GRU':
    """Computes it."""
    return GRU(model)

  def weights(self, model: ModelConfig) -> int:
    """Three gates of the input and of the state, and the output."""
    return 7 * model.d_model**2

  def vectors(self, model: ModelConfig) -> int:
    """A bias for each gate."""
    return 3 * model.d_model

  def memory(self, model: ModelConfig, batch: int, length: int) -> Shapes:
    """The state."""
    return {'state_BD': jax.ShapeDtypeStruct((batch, model.d_model),
                                             jnp.dtype(model.dtype))}


class GRU(nn.Module):
  """What `GRUConfig` says."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, layer: jax.Array,
               sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D); `layer` is not used."""
    width, dtype = self.config.d_model, x_BTD.dtype

    def matrix(name):
      start = parameterisation.hidden(self.config, width)
      return self.param(name, start, (width, width))

    def from_input(gate):
      b_D = self.param(f'b_{gate}_D', nn.initializers.zeros, (width,))
      w_x_DD = matrix(f'w_x_{gate}_DD')
      return biased(project(x_BTD, w_x_DD, sites.layout, 'DD'), b_D)

    gates = ('update', 'reset', 'candidate')
    inputs = tuple(from_input(gate).swapaxes(0, 1) for gate in gates)
    # Gathered once, and not at each of T steps.
    w_update_DD, w_reset_DD, w_candidate_DD = (
      gathered(matrix(f'w_h_{gate}_DD').astype(dtype), sites.layout, 'DD')
      for gate in gates)

    def step(h_BD, inputs):
      update_BD, reset_BD, candidate_BD = inputs
      update_BD = jax.nn.sigmoid(update_BD + h_BD @ w_update_DD)
      reset_BD = jax.nn.sigmoid(reset_BD + h_BD @ w_reset_DD)
      candidate_BD = jnp.tanh(candidate_BD + (reset_BD * h_BD) @ w_candidate_DD)
      h_BD += update_BD * (candidate_BD - h_BD)
      return h_BD, h_BD

    before_BD = sites.rows.state()
    if before_BD is None:
      before_BD = jnp.zeros_like(x_BTD[:, 0])
    _, h_TBD = jax.lax.scan(step, before_BD, inputs)
    h_BTD = h_TBD.swapaxes(0, 1)
    sites.rows.keep(h_BTD)
    h_BTD = sites.at('mixer_hidden', h_BTD)
    w_o_DD = self.param('w_o_DD', parameterisation.output(self.config, width),
                        (width, width))
    return project(h_BTD, w_o_DD, sites.layout, 'DD')


@dataclasses.dataclass(frozen=True)
class LinearRecurrenceConfig(MixerConfig):
  """Real-gated linear recurrent unit (De et al., 2024).

  The state is linear in the past, so all positions come from one associative
  scan, log2(T) deep. As there: h_t = a_t h_(t-1) + sqrt(1 - a_t^2) (i_t v_t)
  with a_t = sigmoid(decay)^(c r_t) and gates r, i of the input. Their
  convolution and multiplying branch are left out.
  """

  def module(self, model: ModelConfig) -> 'LinearRecurrence':
    """Computes it."""
    return LinearRecurrence(model)

  def weights(self, model: ModelConfig) -> int:
    """The value, two gates, and the output."""
    return 4 * model.d_model**2

  def vectors(self, model: ModelConfig) -> int:
    """The decays, and a bias for each gate."""
    return 3 * model.d_model

  def memory(self, model: ModelConfig, batch: int, length: int) -> Shapes:
    """The state, float32 like what it sums."""
    return {'state_BD': jax.ShapeDtypeStruct((batch, model.d_model),
                                             jnp.float32)}


class LinearRecurrence(nn.Module):
  """What `LinearRecurrenceConfig` says."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, layer: jax.Array,
               sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D); `layer` is not used."""
    width, zeros = self.config.d_model, nn.initializers.zeros
    start = parameterisation.hidden(self.config, width)
    w_value_DD = self.param('w_value_DD', start, (width, width))
    w_decay_DD = self.param('w_decay_DD', start, (width, width))
    w_input_DD = self.param('w_input_DD', start, (width, width))
    b_decay_D = self.param('b_decay_D', zeros, (width,))
    b_input_D = self.param('b_input_D', zeros, (width,))
    decay_D = self.param('decay_D', _start_decay, (width,))
    w_o_DD = self.param('w_o_DD', parameterisation.output(self.config, width),
                        (width, width))
    # Products of many decays near 1 need float32.
    v_BTD, gate_BTD, input_BTD = (
      project(x_BTD, w_DD, sites.layout, 'DD', dtype=jnp.float32)
      for w_DD in (w_value_DD, w_decay_DD, w_input_DD))
    gate_BTD = jax.nn.sigmoid(gate_BTD + b_decay_D)
    input_BTD = jax.nn.sigmoid(input_BTD + b_input_D)
    log_a_BTD = SHARPNESS * gate_BTD * jax.nn.log_sigmoid(decay_D)
    kept_BTD = jnp.sqrt(-jnp.expm1(2 * log_a_BTD))
    h_BTD = linear_scan(jnp.exp(log_a_BTD), kept_BTD * input_BTD * v_BTD,
                        sites.rows.state())
    sites.rows.keep(h_BTD)
    h_BTD = sites.at('mixer_hidden', h_BTD.astype(x_BTD.dtype))
    return project(h_BTD, w_o_DD, sites.layout, 'DD')


def linear_scan(a_BTD: jax.Array, b_BTD: jax.Array,
                before_BD: jax.Array | None = None) -> jax.Array:
  """h_t = a_t h_(t-1) + b_t from h = 0, or another, for all t at once."""
  if before_BD is not None:
    b_BTD = b_BTD.at[:, 0].add(a_BTD[:, 0] * before_BD)

  def combine(early, late):
    return early[0] * late[0], late[0] * early[1] + late[1]

  return jax.lax.associative_scan(combine, (a_BTD, b_BTD), axis=1)[1]


def _start_decay(key, shape):
  """Spreads a^c = sigmoid(decay)^c evenly over what De et al., 2024 draw."""
  del key
  log_a_D = jnp.log(jnp.linspace(FASTEST, SLOWEST, shape[0])) / SHARPNESS
  return log_a_D - jnp.log(-jnp.expm1(log_a_D))
