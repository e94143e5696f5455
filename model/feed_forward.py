"""The feed-forward half of a block: each position by itself.

Biases and activations are computed in float32 whatever the dtype of what they
read and write, and so a bias' gradient is a float32 sum over all positions.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import parameterisation, recomputation
from model.config import ModelConfig
from model.linear import biased, project
from model.sites import Sites

ACTIVATIONS = {
  'relu': jax.nn.relu,
  'gelu': jax.nn.gelu,  # the tanh form (Hendrycks and Gimpel, 2016)
  'silu': jax.nn.silu,
  'tanh': jnp.tanh,
  'sigmoid': jax.nn.sigmoid,
  'identity': lambda x: x,
}


class FeedForward(nn.Module):
  """act(x W_up + b) W_down + b (Vaswani et al., 2017)."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    config, zeros = self.config, nn.initializers.zeros
    width, wide = config.d_model, config.ff_width
    w_up_DF = self.param('w_up_DF', parameterisation.hidden(config, width),
                         (width, wide))
    b_up_F = self.param('b_up_F', zeros, (wide,))
    w_down_FD = self.param('w_down_FD', parameterisation.output(config, wide),
                           (wide, width))
    b_down_D = self.param('b_down_D', zeros, (width,))
    act = ACTIVATIONS[config.activation]
    activated = recomputation.cheap(
      lambda h, b: act(h.astype(jnp.float32) + b).astype(h.dtype))
    h_BTF = activated(project(x_BTD, w_up_DF, sites.layout, 'DF'), b_up_F)
    h_BTF = sites.at('ffn_hidden', h_BTF)
    return biased(project(h_BTF, w_down_FD, sites.layout, 'FD'), b_down_D)


class GatedFeedForward(nn.Module):
  """(act(x W_gate) * x W_up) W_down, without biases (Shazeer, 2020)."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    config = self.config
    width, wide = config.d_model, config.ff_width
    start = parameterisation.hidden(config, width)
    w_gate_DF = self.param('w_gate_DF', start, (width, wide))
    w_up_DF = self.param('w_up_DF', start, (width, wide))
    w_down_FD = self.param('w_down_FD', parameterisation.output(config, wide),
                           (wide, width))
    act = ACTIVATIONS[config.activation]
    gated = recomputation.cheap(
      lambda gate, h: (act(gate.astype(jnp.float32)) * h).astype(h.dtype))
    h_BTF = gated(project(x_BTD, w_gate_DF, sites.layout, 'DF'),
                  project(x_BTD, w_up_DF, sites.layout, 'DF'))
    h_BTF = sites.at('ffn_hidden', h_BTF)
    return project(h_BTF, w_down_FD, sites.layout, 'FD')


FEED_FORWARDS = {'plain': FeedForward, 'gated': GatedFeedForward}
