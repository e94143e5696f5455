"""One layer: a sequence mixer, then a feed-forward, each a residual branch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import parameterisation
from model.config import ModelConfig
from model.layout import Layout
from model.norm import NORMS
from model.rows import Rows
from model.sites import Edits, Sites, Taps

Branch = Callable[[jax.Array], jax.Array]


def pre(norm: Branch, branch: Branch, read_BTD: jax.Array, x_BTD: jax.Array,
        layer: jax.Array):
  """Normalises what the branch reads (Xiong et al., 2020)."""
  return x_BTD + branch(norm(read_BTD))


def post(norm: Branch, branch: Branch, read_BTD: jax.Array, x_BTD: jax.Array,
         layer: jax.Array):
  """Normalises the stream after the branch (Vaswani et al., 2017)."""
  return norm(x_BTD + branch(read_BTD))


def scaled(norm: Branch, branch: Branch, read_BTD: jax.Array, x_BTD: jax.Array,
           layer: jax.Array):
  """LayerNorm Scaling: deeper layers read less (Sun et al., 2025)."""
  depth = jnp.sqrt(layer + 1.0).astype(x_BTD.dtype)
  return x_BTD + branch(norm(read_BTD) / depth)


def absent(norm: Branch, branch: Branch, read_BTD: jax.Array, x_BTD: jax.Array,
           layer: jax.Array):
  """No branch: the stream passes."""
  return x_BTD


RESIDUALS = {'pre': pre, 'post': post, 'scaled': scaled}

# What the feed-forward reads, of the streams before and after the mixer.
# Parallel: Wang and Komatsuzaki, 2021, with a norm of its own as in GPT-NeoX
# (Black et al., 2022).
READ = {
  'sequential': lambda before_BTD, after_BTD: after_BTD,
  'parallel': lambda before_BTD, after_BTD: before_BTD,
}


class Block(nn.Module):
  """The body of the stack's loop over layers."""

  config: ModelConfig
  taps: Taps
  layout: Layout

  def setup(self):
    """Chooses the parts that the config names."""
    config = self.config
    self.mixer_norm = NORMS[config.norm](config.norm_epsilon)
    self.mixer = config.mixer.module(config)
    self.mix_residual = RESIDUALS[config.norm_placement]
    self.ffn_residual = absent
    # no parameters until it is called
    self.ffn_norm = NORMS[config.norm](config.norm_epsilon)
    if config.ff_width:
      self.ffn = config.feed_forward.module(config)
      self.ffn_residual = RESIDUALS[config.norm_placement]

  def __call__(self, x_BTD: jax.Array, layer: jax.Array, edits: Edits,
               rows: Rows):
    """Runs one layer.

    Args:
      x_BTD: the residual stream.
      layer: index from 0, an int32 scalar.
      edits: this layer's share of each edit, without N.
      rows: what is known of the rows beside the stream.

    Returns:
      The residual stream, what was tapped by site, and what the mixer keeps.
    """
    rows = rows.at(layer)
    sites = Sites(self.taps, edits, self.layout, rows)
    multiplier = parameterisation.residual_multiplier(self.config)

    # What the branches do with whole sequences and a share of the heads, or of
    # the width, the stream between them does with whole vectors and a share of
    # the positions. Unless each change is pinned, every product makes its own.
    def read(x_BTD):
      return self.layout.constrain(x_BTD, 'BSD')

    def write(x_BTD):
      return self.layout.constrain(x_BTD, 'BTD', gradient='BSD')

    def mix(x_BTD):
      out_BTD = write(self.mixer(read(x_BTD), layer, sites))
      return sites.at('mixer_out', multiplier * out_BTD)

    def feed(x_BTD):
      out_BTD = write(self.ffn(read(x_BTD), sites))
      return sites.at('ffn_out', multiplier * out_BTD)

    before_BTD = sites.at('resid_pre', x_BTD)
    x_BTD = self.mix_residual(self.mixer_norm, mix, before_BTD, before_BTD,
                              layer)
    x_BTD = sites.at('resid_mid', x_BTD)
    x_BTD = self.ffn_residual(
      self.ffn_norm, feed, READ[self.config.branches](before_BTD, x_BTD), x_BTD,
      layer)
    x_BTD = sites.at('resid_post', x_BTD)
    return x_BTD, (sites.taps, rows.kept)
