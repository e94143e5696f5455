"""What is looked up for tokens and their types, and the maths of positions.

Which kinds of position a model can have is said in `model/position.py`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from model import parameterisation
from model.config import ConfigError, ModelConfig
from model.layout import Layout
from model.rows import Positions, Rows

# Of the slowest wave: Vaswani et al., 2017; Su et al., 2021.
WAVELENGTH = 10_000.0


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


class TokenTypes(nn.Module):
  """Adds a vector for the type of each token (Devlin et al., 2019)."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array,
               types_BT: jax.Array | None = None) -> jax.Array:
    """(B,T,D) -> (B,T,D); all tokens are of type 0 unless types are given."""
    embedding_YD = self.param(
      'embedding_YD', parameterisation.embedding(),
      (self.config.token_types, self.config.d_model))
    added = embedding_YD[0 if types_BT is None else types_BT]
    return x_BTD + added.astype(x_BTD.dtype)


class PositionTable(nn.Module):
  """Adds a learned vector for each position up to max_length."""

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, rows: Rows) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    length, longest = x_BTD.shape[1], self.config.max_length
    if length > longest:
      raise ConfigError(f'model.max_length: {longest} learned positions, but '
                        f'the input has {length}; raise it or shorten the data')
    embedding_TD = self.param('embedding_TD', parameterisation.embedding(),
                              (longest, self.config.d_model))
    return x_BTD + rows.lookup(embedding_TD, length).astype(x_BTD.dtype)


class Waves(nn.Module):
  """Adds fixed waves of geometrically growing length (Vaswani et al., 2017).

  They are scaled to the same root mean square as the token embeddings.
  """

  def __call__(self, x_BTD: jax.Array, rows: Rows) -> jax.Array:
    """(B,T,D) -> (B,T,D)."""
    length, width = x_BTD.shape[1:]
    sin, cos = _waves(rows.positions(length), frequencies(width, WAVELENGTH))
    both = np if isinstance(sin, np.ndarray) else jnp
    waves_TD = both.concatenate([sin, cos], axis=-1)
    waves_TD *= parameterisation.EMBEDDING_STD * math.sqrt(2)
    return x_BTD + waves_TD[..., :width].astype(x_BTD.dtype)


def frequencies(width: int, base: float) -> np.ndarray:
  """Radians a position of each of ceil(width / 2) waves, float32.

  Each step is rounded as where published models were trained, in PyTorch: a
  few thousand positions on, other rounding is another angle.
  """
  exponent_J = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
  return 1 / (base ** exponent_J.astype(np.float64)).astype(np.float32)


def rotate(x_BTHK: jax.Array, position: Positions, frequency_J: np.ndarray,
           magnitude: float = 1.0) -> jax.Array:
  """Turns pairs of features by angles that grow with position.

  Su et al., 2021. Dot products of turned queries and keys depend on their
  distance alone.

  Args:
    x_BTHK: queries or keys.
    position: (T,) or (B,T).
    frequency_J: radians a position of each pair; the first 2 J features turn,
      j with J + j, and the rest pass.
    magnitude: multiplies what is turned.
  """
  pairs = len(frequency_J)
  sin, cos = (magnitude * wave[..., None, :]
              for wave in _waves(position, frequency_J))
  cuts = [pairs] if 2 * pairs == x_BTHK.shape[-1] else [pairs, 2 * pairs]
  first, second, *rest = jnp.split(x_BTHK.astype(jnp.float32), cuts, axis=-1)
  turned = [first * cos - second * sin, second * cos + first * sin]
  return jnp.concatenate([*turned, *rest], axis=-1).astype(x_BTHK.dtype)


def alibi_HTS(n_heads: int, position: Positions,
              attended: Positions) -> np.ndarray | jax.Array:
  """Penalties on attention scores, linear in distance (Press et al., 2022).

  Head h of H pays 2^(-8 (h + 1) / H) a position, in both directions.

  Args:
    n_heads: H.
    position: (T,) or (B,T), of queries.
    attended: (S,) or (B,S), of keys.

  Returns:
    (H,T,S) or (B,H,T,S), float32.
  """
  slope_H = 2.0 ** (-8.0 * np.arange(1, n_heads + 1) / n_heads)
  distance: Any = abs(
    position[..., None, :, None] - attended[..., None, None, :])
  return (-slope_H[:, None, None] * distance).astype(np.float32)


def _waves(position: Positions, frequency_J: np.ndarray) -> tuple[
    np.ndarray | jax.Array, np.ndarray | jax.Array]:
  """Sine and cosine of each wave at each position: (..., T, J), float32."""
  # Products of float32, whether or not the position is known by now.
  angle = position[..., None].astype(np.float32) * (
    frequency_J.astype(np.float32))
  if isinstance(angle, np.ndarray):
    return np.sin(angle), np.cos(angle)
  return jnp.sin(angle), jnp.cos(angle)
