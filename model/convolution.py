"""Causal convolution over positions, plain or dilated."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from model import parameterisation
from model.config import (
  Activation,
  ConfigError,
  MixerConfig,
  ModelConfig,
  Shapes,
  require,
)
from model.feed_forward import ACTIVATIONS
from model.linear import biased, project
from model.sites import Sites


@dataclasses.dataclass(frozen=True)
class ConvolutionConfig(MixerConfig):
  """act(sum over w of x[t - w dilation] W[w] + b), then out (Oord, 2016)."""

  window: int = 3
  activation: Activation = 'gelu'

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError when there is no window."""
    require(self, 'model.mixer', 1, 'window')
    super().validate(model)

  def module(self, model: ModelConfig) -> 'Convolution':
    """Computes it."""
    return Convolution(model, self)

  def weights(self, model: ModelConfig) -> int:
    """One matrix for each place of the window, and the output."""
    return (self.window + 1) * model.d_model**2

  def vectors(self, model: ModelConfig) -> int:
    """A bias."""
    return model.d_model

  def memory(self, model: ModelConfig, batch: int, length: int) -> Shapes:
    """The last inputs, as far as the widest layer's window reaches."""
    shape = (batch, self.reach(model, length), model.d_model)
    return {'input_BWD': jax.ShapeDtypeStruct(shape, jnp.dtype(model.dtype))}

  def reach(self, model: ModelConfig, length: int) -> int:
    """How many positions back the widest layer looks."""
    return int(self.dilations(model, length).max()) * (self.window - 1)

  def dilations(self, model: ModelConfig, length: int) -> np.ndarray:
    """Distance between a window's inputs at each layer: (N,), int32."""
    del length
    return np.ones(model.n_layers, np.int32)


@dataclasses.dataclass(frozen=True)
class DilatedConvolutionConfig(ConvolutionConfig):
  """A convolution whose window grows wider from layer to layer."""

  def memory(self, model: ModelConfig, batch: int, length: int) -> Shapes:
    """The last inputs, as far as the widest layer's window reaches."""
    if not model.max_length:
      raise ConfigError('model.max_length: how far apart a dilated '
                        'convolution looks follows from it; set it to decode')
    return super().memory(model, batch, length)

  def dilations(self, model: ModelConfig, length: int) -> np.ndarray:
    """Distance between a window's inputs at each layer: (N,), int32.

    It grows by the window's size at each layer until the window spans
    max_length (or `length`, where that is 0).
    """
    span = (model.max_length or length) - 1
    most = max(1, span // max(1, self.window - 1))
    return np.array([min(self.window ** layer, most)
                     for layer in range(model.n_layers)], np.int32)


class Convolution(nn.Module):
  """What `ConvolutionConfig` says."""

  model: ModelConfig
  config: ConvolutionConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, layer: jax.Array,
               sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D); `layer` sets the dilation."""
    length, window = x_BTD.shape[1], self.config.window
    width = self.model.d_model
    w_conv_WDD = self.param('w_conv_WDD',
                            parameterisation.hidden(self.model, window * width),
                            (window, width, width))
    b_D = self.param('b_D', nn.initializers.zeros, (width,))
    w_o_DD = self.param('w_o_DD', parameterisation.output(self.model, width),
                        (width, width))
    dilation_N = self.config.dilations(self.model, length)
    # The dilation is a number, not a shape, so that every layer is the same
    # program and the stack can be scanned.
    step = jnp.asarray(dilation_N)[layer]
    reach = self.config.reach(self.model, length)
    padded = sites.rows.preceded(x_BTD, reach)
    x_BTWD = jnp.stack([
      jax.lax.dynamic_slice_in_dim(padded, reach - w * step, length, axis=1)
      for w in range(window)], axis=2)
    h_BTD = biased(
      project(x_BTWD, w_conv_WDD, sites.layout, 'WDD', axes=2), b_D)
    act = ACTIVATIONS[self.config.activation]
    h_BTD = sites.at('mixer_hidden', act(h_BTD))
    return project(h_BTD, w_o_DD, sites.layout, 'DD')
