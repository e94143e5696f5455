"""The feed-forward half of a block: each position by itself.

Biases and activations are computed in float32 whatever the dtype of what they
read and write, and so a bias' gradient is a float32 sum over all positions.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import linear, parameterisation, recomputation
from model.config import (
  Activation,
  ConfigError,
  FeedForwardConfig,
  ModelConfig,
)
from model.linear import biased, project
from model.sites import Sites

ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
  'relu': jax.nn.relu,
  # Hendrycks and Gimpel, 2016: by tanh, an approximation, and by erf
  'gelu': jax.nn.gelu,
  'gelu_exact': functools.partial(jax.nn.gelu, approximate=False),
  'silu': jax.nn.silu,
  'tanh': jnp.tanh,
  'sigmoid': jax.nn.sigmoid,
  'identity': lambda x: x,
}


@dataclasses.dataclass(frozen=True)
class _Matrices(FeedForwardConfig):
  """A feed-forward that has a hidden width.

  Attributes:
    multiple: the hidden width over the model's.
    activation: a name in `ACTIVATIONS`.
    bias: whether each matrix has one.
  """

  multiple: float = 4.0
  activation: Activation = 'gelu'
  bias: bool = True

  inner: ClassVar[int]  # matrices that make the hidden width

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError when there is no hidden width."""
    if self.width(model) < 1:
      raise ConfigError(
        f'model.feed_forward.multiple: {self.multiple:g} leaves no width; use '
        'a larger one, or model.feed_forward=none')

  def width(self, model: ModelConfig) -> int:
    """F."""
    return round(self.multiple * model.d_model)

  def weights(self, model: ModelConfig) -> int:
    """The matrices in, and the one out."""
    return (self.inner + 1) * model.d_model * self.width(model)

  def vectors(self, model: ModelConfig) -> int:
    """A bias for each matrix, where there are any."""
    return self.bias * (self.inner * self.width(model) + model.d_model)


@dataclasses.dataclass(frozen=True)
class PlainFeedForward(_Matrices):
  """act(x W_up + b) W_down + b (Vaswani et al., 2017)."""

  inner = 1

  def module(self, model: ModelConfig) -> 'PlainNetwork':
    """Computes it."""
    return PlainNetwork(model, self)


@dataclasses.dataclass(frozen=True)
class GatedFeedForward(_Matrices):
  """(act(x W_gate) * x W_up) W_down (Shazeer, 2020)."""

  bias: bool = False

  inner = 2

  def module(self, model: ModelConfig) -> 'GatedNetwork':
    """Computes it."""
    return GatedNetwork(model, self)


@dataclasses.dataclass(frozen=True)
class NoFeedForward(FeedForwardConfig):
  """Blocks that have a mixer alone."""

  def validate(self, model: ModelConfig) -> None:
    """Every model can be without."""

  def width(self, model: ModelConfig) -> int:
    """None."""
    return 0

  def module(self, model: ModelConfig) -> Any:
    """None."""
    return None

  def weights(self, model: ModelConfig) -> int:
    """None."""
    return 0

  def vectors(self, model: ModelConfig) -> int:
    """None."""
    return 0


class PlainNetwork(nn.Module):
  """What `PlainFeedForward` says."""

  model: ModelConfig
  config: PlainFeedForward

  @nn.compact
  def __call__(self, x_BTD: jax.Array, sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    width, wide = self.model.d_model, self.model.ff_width
    bias = functools.partial(linear.bias, self, self.config.bias)
    w_up_DF = self.param('w_up_DF', parameterisation.hidden(self.model, width),
                         (width, wide))
    b_up_F = bias('b_up_F', wide)
    w_down_FD = self.param('w_down_FD',
                           parameterisation.output(self.model, wide),
                           (wide, width))
    b_down_D = bias('b_down_D', width)
    act = ACTIVATIONS[self.config.activation]
    activated = recomputation.cheap(
      lambda h, b: act(_wide(h, b)).astype(h.dtype))
    h_BTF = activated(project(x_BTD, w_up_DF, sites.layout, 'DF'), b_up_F)
    h_BTF = sites.at('ffn_hidden', h_BTF)
    return biased(project(h_BTF, w_down_FD, sites.layout, 'FD'), b_down_D)


class GatedNetwork(nn.Module):
  """What `GatedFeedForward` says."""

  model: ModelConfig
  config: GatedFeedForward

  @nn.compact
  def __call__(self, x_BTD: jax.Array, sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    width, wide = self.model.d_model, self.model.ff_width
    bias = functools.partial(linear.bias, self, self.config.bias)
    start = parameterisation.hidden(self.model, width)
    w_gate_DF = self.param('w_gate_DF', start, (width, wide))
    b_gate_F = bias('b_gate_F', wide)
    w_up_DF = self.param('w_up_DF', start, (width, wide))
    b_up_F = bias('b_up_F', wide)
    w_down_FD = self.param('w_down_FD',
                           parameterisation.output(self.model, wide),
                           (wide, width))
    b_down_D = bias('b_down_D', width)
    act = ACTIVATIONS[self.config.activation]
    gated = recomputation.cheap(
      lambda gate, h, b_gate, b: (act(_wide(gate, b_gate)) * _wide(h, b)
                                  ).astype(h.dtype))
    h_BTF = gated(project(x_BTD, w_gate_DF, sites.layout, 'DF'),
                  project(x_BTD, w_up_DF, sites.layout, 'DF'), b_gate_F, b_up_F)
    h_BTF = sites.at('ffn_hidden', h_BTF)
    return biased(project(h_BTF, w_down_FD, sites.layout, 'FD'), b_down_D)


def _wide(h: jax.Array, b: jax.Array | None) -> jax.Array:
  """h, float32, with its bias where there is one."""
  h = h.astype(jnp.float32)
  return h if b is None else h + b


FEED_FORWARDS: Mapping[str, type[FeedForwardConfig]] = {
  'plain': PlainFeedForward,
  'gated': GatedFeedForward,
  'none': NoFeedForward,
}
