"""The ways a model can be told about position, by name.

`--config.model.position=NAME` chooses one. Learned and sinusoidal positions are
added to the token embeddings; rotary and ALiBi act inside attention.
"""

import dataclasses
import fractions
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from model import embedding
from model.config import ConfigError, ModelConfig, PositionConfig
from model.rotary_scaling import SCALINGS, NoScaling, RotaryScaling
from model.rows import Positions


@dataclasses.dataclass(frozen=True)
class NoPosition(PositionConfig):
  """No position at all."""


@dataclasses.dataclass(frozen=True)
class LearnedPosition(PositionConfig):
  """A learned vector for each position up to max_length is added."""

  def module(self, model: ModelConfig) -> Any:
    """Adds it."""
    return embedding.PositionTable(model)

  def parameters(self, model: ModelConfig) -> int:
    """Those of the table."""
    return model.max_length * model.d_model


@dataclasses.dataclass(frozen=True)
class SinusoidalPosition(PositionConfig):
  """Fixed waves of growing length are added (Vaswani et al., 2017)."""

  def module(self, model: ModelConfig) -> Any:
    """Adds them."""
    return embedding.Waves()


@dataclasses.dataclass(frozen=True)
class AlibiPosition(PositionConfig):
  """Scores are lowered in proportion to distance (Press et al., 2022)."""

  on_scores = True

  def penalty_HTS(self, heads: int, position: Positions,
                  attended: Positions) -> np.ndarray | jax.Array:
    """Linear in distance, with a slope for each head."""
    return embedding.alibi_HTS(heads, position, attended)


@dataclasses.dataclass(frozen=True)
class RotaryPosition(PositionConfig):
  """Queries and keys turn with position (Su et al., 2021).

  Feature j of those that turn makes a pair with the one half of them further.

  Attributes:
    base: the wavelengths grow from 2 pi to about 2 pi base positions.
    fraction: of a head's features that turn, the first, rounded down; the rest
      pass (Black et al., 2022).
    scaling: what was done to the angles for longer inputs.
  """

  base: float = embedding.WAVELENGTH
  fraction: float = 1.0
  scaling: RotaryScaling = dataclasses.field(
    default=NoScaling(), metadata={'kinds': SCALINGS})

  on_scores = True

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError for values that turn nothing."""
    if not 1 < self.base < math.inf:
      raise ConfigError(f'model.position.base: {self.base:g} must be above 1')
    if not 0 < self.fraction <= 1:
      raise ConfigError(f'model.position.fraction: {self.fraction:g} must be '
                        'above 0 and at most 1')
    self.scaling.validate()

  def validate_head(self, width: int) -> None:
    """Raises ConfigError where features of a head are left without a pair."""
    turning = self._turning(width)
    if self.fraction == 1 and width % 2:
      raise ConfigError('model.mixer.d_head: rotary position needs an even '
                        f'head width, not {width}')
    if turning % 2 or not turning:
      raise ConfigError(
        f'model.position.fraction: {self.fraction:g} of a head of width '
        f'{width} is {turning} features, which make no pairs; use one that '
        f'turns an even number, such as {2 * max(1, turning // 2) / width:g}')

  def head_step(self) -> int:
    """What turns is cut in two."""
    share = fractions.Fraction(self.fraction).limit_denominator(256)
    return (share / 2).denominator

  def turned(self, x_BTHK: jax.Array, position: Positions) -> jax.Array:
    """Queries or keys, turned by their positions."""
    width = self._turning(x_BTHK.shape[-1])
    frequency_J = self.scaling.scaled(
      embedding.frequencies(width, self.base), self.base)
    return embedding.rotate(x_BTHK, position, frequency_J,
                            self.scaling.magnitude())

  def _turning(self, width: int) -> int:
    return int(self.fraction * width)


POSITIONS: Mapping[str, type[PositionConfig]] = {
  'none': NoPosition,
  'learned': LearnedPosition,
  'sinusoidal': SinusoidalPosition,
  'rotary': RotaryPosition,
  'alibi': AlibiPosition,
}
