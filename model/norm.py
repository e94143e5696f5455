"""Normalisation over the model width, computed in float32."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import recomputation


class LayerNorm(nn.Module):
  """Zero mean and unit variance, then scale and bias (Ba et al., 2016)."""

  epsilon: float

  @nn.compact
  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    width = x_BTD.shape[-1]
    scale_D = self.param('scale_D', nn.initializers.ones, (width,))
    b_D = self.param('b_D', nn.initializers.zeros, (width,))
    return _layer(self.epsilon, x_BTD, scale_D, b_D)


class RMSNorm(nn.Module):
  """Unit root mean square, then scale (Zhang and Sennrich, 2019)."""

  epsilon: float

  @nn.compact
  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    width = x_BTD.shape[-1]
    scale_D = self.param('scale_D', nn.initializers.ones, (width,))
    return rms(self.epsilon, x_BTD, scale_D)


def _layer(epsilon: float, x_BTD: jax.Array, scale_D: jax.Array,
           b_D: jax.Array) -> jax.Array:
  def normed(x_BTD: jax.Array, scale_D: jax.Array, b_D: jax.Array) -> jax.Array:
    h_BTD = x_BTD.astype(jnp.float32)
    h_BTD -= h_BTD.mean(-1, keepdims=True)
    h_BTD *= jax.lax.rsqrt(jnp.square(h_BTD).mean(-1, keepdims=True) + epsilon)
    return (h_BTD * scale_D + b_D).astype(x_BTD.dtype)

  return recomputation.cheap(normed)(x_BTD, scale_D, b_D)


def rms(epsilon: float, x: jax.Array, scale: jax.Array) -> jax.Array:
  """Unit root mean square over the last axis, times a scale for each place."""
  def normed(x: jax.Array, scale: jax.Array) -> jax.Array:
    h = x.astype(jnp.float32)
    h *= jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + epsilon)
    return (h * scale).astype(x.dtype)

  return recomputation.cheap(normed)(x, scale)


NORMS = {'layer': LayerNorm, 'rms': RMSNorm}
