"""n blocks, one after the other, as one loop over stacked parameters."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import backend
from model.block import Block
from model.config import ModelConfig
from model.sites import Edits, Taps

# On a CPU an unrolled stack runs faster and, up to here, compiles as fast.
UNROLLED = 6


def unroll(config: ModelConfig) -> int:
  """How many layers one turn of the loop holds; changes speed alone."""
  if config.unroll:
    return min(config.unroll, config.n_layers)
  small = backend.platform() == 'cpu' and config.n_layers <= UNROLLED
  return config.n_layers if small else 1


def stack(config: ModelConfig, taps: Taps) -> nn.Module:
  """A module like Block, whose parameters, taps and edits lead with N.

  Tied layers share one layer's parameters, which then have no N.
  """
  tied = config.layers == 'tied'
  return nn.scan(
    Block,
    variable_axes={} if tied else {'params': 0},
    variable_broadcast='params' if tied else False,
    split_rngs={'params': not tied},
    length=config.n_layers,
    unroll=unroll(config),
  )(config, taps)


def run(module: nn.Module, x_BTD: jax.Array, edits: Edits):
  """Runs every layer: the residual stream, and taps by site, leading N."""
  layers_N = jnp.arange(module.config.n_layers)
  return module(x_BTD, layers_N, dict(edits))
