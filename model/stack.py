"""n blocks, one after the other, as one loop over stacked parameters."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import cpu, linear
from model.block import Block
from model.config import ModelConfig
from model.layout import Layout
from model.rows import Rows
from model.sites import Edits, Taps


def unroll(config: ModelConfig) -> int:
  """How many layers one turn of the loop holds; changes speed alone."""
  if config.unroll:
    return min(config.unroll, config.n_layers)
  return _unroll(config)


@cpu.form(cpu.unroll)
def _unroll(config: ModelConfig) -> int:
  return 1


def body(config: ModelConfig) -> type[nn.Module]:
  """The block, which may forget what it computed and compute it again.

  Chen et al., 2016. 'full' keeps a layer's input alone; 'dots' also keeps the
  results of its matrix products with parameters, which are most of its work.
  """
  if config.remat == 'none':
    return Block
  policies = jax.checkpoint_policies
  kept = {
    'full': policies.nothing_saveable,
    'dots': policies.save_only_these_names(linear.PRODUCT),
  }
  # Without a loop between them, the compiler would see that both computations
  # are the same, and keep the first.
  loops = unroll(config) < config.n_layers
  return nn.remat(Block, policy=kept[config.remat], prevent_cse=not loops)


def stack(config: ModelConfig, taps: Taps, layout: Layout) -> nn.Module:
  """A module like Block, whose parameters, taps and edits lead with N.

  Tied layers share one layer's parameters, which then have no N.
  """
  tied = config.layers == 'tied'
  return nn.scan(
    body(config),
    variable_axes={} if tied else {'params': 0},
    variable_broadcast='params' if tied else False,
    split_rngs={'params': not tied},
    in_axes=(0, 0, nn.broadcast),
    length=config.n_layers,
    unroll=unroll(config),
  )(config, taps, layout)


def run(module: nn.Module, x_BTD: jax.Array, edits: Edits, rows: Rows):
  """Runs every layer.

  Returns:
    The residual stream, taps by site, and what mixers keep, leading N.
  """
  layers_N = jnp.arange(module.config.n_layers)
  x_BTD, (taps, kept) = module(x_BTD, layers_N, dict(edits), rows)
  return x_BTD, taps, kept
