"""Causal convolution over positions, plain or dilated."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from model import parameterisation
from model.config import ModelConfig
from model.feed_forward import ACTIVATIONS
from model.linear import biased, project
from model.sites import Sites


class Convolution(nn.Module):
  """act(sum over w of x[t - w dilation] W[w] + b), then out (Oord, 2016)."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, layer: jax.Array,
               sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D); `layer` sets the dilation."""
    config, length = self.config, x_BTD.shape[1]
    width, window = config.d_model, config.conv_window
    w_conv_WDD = self.param('w_conv_WDD',
                            parameterisation.hidden(window * width),
                            (window, width, width))
    b_D = self.param('b_D', nn.initializers.zeros, (width,))
    w_o_DD = self.param('w_o_DD', parameterisation.output(config, width),
                        (width, width))
    dilation_N = dilations(config, length)
    # The dilation is a number, not a shape, so that every layer is the same
    # program and the stack can be scanned.
    step = jnp.asarray(dilation_N)[layer]
    reach = int(dilation_N.max()) * (window - 1)
    padded = jnp.pad(x_BTD, ((0, 0), (reach, 0), (0, 0)))
    x_BTWD = jnp.stack([
      jax.lax.dynamic_slice_in_dim(padded, reach - w * step, length, axis=1)
      for w in range(window)], axis=2)
    h_BTD = biased(
      project(x_BTWD, w_conv_WDD, sites.layout, 'WDD', axes=2), b_D)
    h_BTD = sites.at('mixer_hidden', ACTIVATIONS[config.activation](h_BTD))
    return project(h_BTD, w_o_DD, sites.layout, 'DD')


def dilations(config: ModelConfig, length: int) -> np.ndarray:
  """Distance between a window's inputs at each layer: (N,), int32.

  Dilated, it grows by the window's size at each layer until the window spans
  max_length (or `length`, where that is 0).
  """
  if config.mixer == 'convolution':
    return np.ones(config.n_layers, np.int32)
  span = (config.max_length or length) - 1
  most = max(1, span // max(1, config.conv_window - 1))
  return np.array([min(config.conv_window ** layer, most)
                   for layer in range(config.n_layers)], np.int32)
