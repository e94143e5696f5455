"""Normalisation over the model width, computed in float32."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import recomputation

EPSILON = 1e-5  # Ba et al., 2016 leave it open; as in GPT-2 and Llama 2


class LayerNorm(nn.Module):
  """Zero mean and unit variance, then scale and bias (Ba et al., 2016)."""

  @nn.compact
  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    width = x_BTD.shape[-1]
    scale_D = self.param('scale_D', nn.initializers.ones, (width,))
    b_D = self.param('b_D', nn.initializers.zeros, (width,))
    return _layer(x_BTD, scale_D, b_D)


class RMSNorm(nn.Module):
  """Unit root mean square, then scale (Zhang and Sennrich, 2019)."""

  @nn.compact
  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    width = x_BTD.shape[-1]
    scale_D = self.param('scale_D', nn.initializers.ones, (width,))
    return _rms(x_BTD, scale_D)


@recomputation.cheap
def _layer(x_BTD: jax.Array, scale_D: jax.Array, b_D: jax.Array) -> jax.Array:
  h_BTD = x_BTD.astype(jnp.float32)
  h_BTD -= h_BTD.mean(-1, keepdims=True)
  h_BTD *= jax.lax.rsqrt(jnp.square(h_BTD).mean(-1, keepdims=True) + EPSILON)
  return (h_BTD * scale_D + b_D).astype(x_BTD.dtype)


@recomputation.cheap
def _rms(x_BTD: jax.Array, scale_D: jax.Array) -> jax.Array:
  h_BTD = x_BTD.astype(jnp.float32)
  h_BTD *= jax.lax.rsqrt(jnp.square(h_BTD).mean(-1, keepdims=True) + EPSILON)
  return (h_BTD * scale_D).astype(x_BTD.dtype)


NORMS = {'layer': LayerNorm, 'rms': RMSNorm}
