"""Token embeddings, and the ways a model can be told about position.

Learned and sinusoidal positions are added to the token embeddings; rotary and
ALiBi act inside attention.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from model import parameterisation
from model.config import ConfigError, ModelConfig
from model.layout import Layout

WAVELENGTH = 10_000.0  # of the slowest wave: Vaswani et al., 2017; Su, 2021


class TokenEmbedding(nn.Module):
  """A vector for each token id."""

  config: ModelConfig
  layout: Layout

  def setup(self):
    """Makes the table, which the unembedding may share."""
    self.embedding_VD = self.param(
      'embedding_VD', parameterisation.embedding(),
      (self.config.vocab_size, self.config.d_model))

  def __call__(self, tokens_BT: jax.Array) -> jax.Array:
    """(B,T) -> (B,T,D)."""
    table_VD = self.embedding_VD
    if self.layout.parts('V', len(table_VD)) > 1:
      # With V and D both split XLA looks up, and gathers the gradients of, the
      # tokens of all devices on each. The table is the smaller.
      table_VD = self.layout.constrain(table_VD, ('V', None))
    x_BTD = table_VD[tokens_BT].astype(self.config.dtype)
    return self.layout.constrain(x_BTD, 'BTD')

  def matrix_DV(self) -> jax.Array:
    """Scores each token by its own embedding (Press and Wolf, 2017)."""
    return self.embedding_VD.T


class LearnedPosition(nn.Module):
  """Adds a learned vector for each position up to max_length."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    length, longest = x_BTD.shape[1], self.config.max_length
    if length > longest:
      raise ConfigError(f'model.max_length: {longest} learned positions, but '
                        f'the input has {length}; raise it or shorten the data')
    embedding_TD = self.param('embedding_TD', parameterisation.embedding(),
                              (longest, self.config.d_model))
    return x_BTD + embedding_TD[:length].astype(x_BTD.dtype)


class SinusoidalPosition(nn.Module):
  """Adds fixed waves of geometrically growing length (Vaswani et al., 2017).

  They are scaled to the same root mean square as the token embeddings.
  """

  config: ModelConfig

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    length, width = x_BTD.shape[1:]
    angle_TD = _angles(length, width)
    waves_TD = np.concatenate([np.sin(angle_TD), np.cos(angle_TD)], axis=-1)
    waves_TD *= parameterisation.EMBEDDING_STD * math.sqrt(2)
    return x_BTD + waves_TD[:, :width].astype(x_BTD.dtype)


class NoPosition(nn.Module):
  """Adds nothing: no position at all, or position inside attention."""

  config: ModelConfig

  def __call__(self, x_BTD: jax.Array) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    return x_BTD


POSITIONS = {
  'none': NoPosition,
  'learned': LearnedPosition,
  'sinusoidal': SinusoidalPosition,
  'rotary': NoPosition,
  'alibi': NoPosition,
}


def rotate(x_BTHK: jax.Array, start: int = 0) -> jax.Array:
  """Turns pairs of features by angles that grow with position (Su, 2021).

  Dot products of turned queries and keys depend on their distance alone.

  Args:
    x_BTHK: queries or keys, K even.
    start: the position of the first.
  """
  angle_TK = _angles(x_BTHK.shape[1], x_BTHK.shape[3], start)[:, None]
  sin, cos = np.sin(angle_TK), np.cos(angle_TK)
  first, second = jnp.split(x_BTHK.astype(jnp.float32), 2, axis=-1)
  turned = [first * cos - second * sin, second * cos + first * sin]
  return jnp.concatenate(turned, axis=-1).astype(x_BTHK.dtype)


def alibi_HTS(n_heads: int, length: int) -> np.ndarray:
  """Penalties on attention scores, linear in distance (Press et al., 2022).

  Head h of H pays 2^(-8 (h + 1) / H) a position, in both directions.
  """
  slope_H = 2.0 ** (-8.0 * np.arange(1, n_heads + 1) / n_heads)
  position_T = np.arange(length)
  distance_TS = np.abs(position_T[:, None] - position_T)
  return (-slope_H[:, None, None] * distance_TS).astype(np.float32)


def _angles(length: int, width: int, start: int = 0) -> np.ndarray:
  """Angle in radians of each position and each of ceil(width / 2) waves."""
  frequency = WAVELENGTH ** (-np.arange(0, width, 2) / width)
  position_T = np.arange(start, start + length)
  return (position_T[:, None] * frequency).astype(np.float32)
