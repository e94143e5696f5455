"""How rotary positions are stretched past the length they were trained on.

`--config.model.position.scaling=NAME` chooses a rule. Each maps the frequencies
of a rotary embedding, in radians a position, to others.
"""

import abc
import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from model.config import ConfigError

PATH = 'model.position.scaling'


class RotaryScaling(abc.ABC):
  """A rule: a frozen dataclass of what it alone reads."""

  @abc.abstractmethod
  def validate(self) -> None:
    """Raises ConfigError when a value makes no rule."""

  @abc.abstractmethod
  def scaled(self, frequency_J: np.ndarray, base: float) -> np.ndarray:
    """What becomes of the frequencies, the fastest first.

    Args:
      frequency_J: base^(-j / J) for pair j of J.
      base: of the rotary embedding.
    """

  def magnitude(self) -> float:
    """What turned queries and turned keys are multiplied by."""
    return 1.0


@dataclasses.dataclass(frozen=True)
class NoScaling(RotaryScaling):
  """Frequencies as they are."""

  def validate(self) -> None:
    """There is nothing to refuse."""

  def scaled(self, frequency_J: np.ndarray, base: float) -> np.ndarray:
    """The same."""
    return frequency_J


@dataclasses.dataclass(frozen=True)
class LinearScaling(RotaryScaling):
  """Position interpolation (Chen et al., 2023): every angle over `factor`."""

  factor: float = 1.0

  def validate(self) -> None:
    """Raises ConfigError for a factor below 1."""
    _require_factor(self.factor)

  def scaled(self, frequency_J: np.ndarray, base: float) -> np.ndarray:
    """All slower by the factor."""
    return frequency_J / self.factor


@dataclasses.dataclass(frozen=True)
class Llama3Scaling(RotaryScaling):
  """The rule of Llama 3.1 (Grattafiori et al., 2024), as its code has it.

  A pair that turns more than `high_frequency` times within `original_length`
  positions stays, one that turns less than `low_frequency` times is slowed by
  `factor`, and between them the share of each is linear in the turns.
  """

  factor: float = 1.0
  low_frequency: float = 1.0
  high_frequency: float = 4.0
  original_length: int = 8192

  def validate(self) -> None:
    """Raises ConfigError for values between which nothing lies."""
    _require_factor(self.factor)
    _require_length(self.original_length)
    if not 0 <= self.low_frequency < self.high_frequency:
      raise ConfigError(
        f'{PATH}.low_frequency: {self.low_frequency:g} must be 0 or more, and '
        f'below high_frequency={self.high_frequency:g}')

  def scaled(self, frequency_J: np.ndarray, base: float) -> np.ndarray:
    """The slow ones slower by the factor."""
    turns_J = self.original_length * frequency_J / (2 * np.pi)
    kept_J = ((turns_J - self.low_frequency)
              / (self.high_frequency - self.low_frequency)).clip(0, 1)
    return frequency_J * (kept_J + (1 - kept_J) / self.factor)


@dataclasses.dataclass(frozen=True)
class YarnScaling(RotaryScaling):
  """YaRN (Peng et al., 2023), with the ramp of its published code.

  A pair that turns more than `beta_fast` times within `original_length`
  positions stays, one that turns less than `beta_slow` times is slowed by
  `factor`; between them, rounded outwards to whole pairs, the share of each is
  linear in the pair's number. Queries and keys grow by `attention_factor`.
  """

  factor: float = 1.0
  original_length: int = 4096
  beta_fast: float = 32.0
  beta_slow: float = 1.0
  attention_factor: float = 0.0  # 0: 0.1 ln(factor) + 1

  def validate(self) -> None:
    """Raises ConfigError for values between which nothing lies."""
    _require_factor(self.factor)
    _require_length(self.original_length)
    if not 0 < self.beta_slow < self.beta_fast:
      raise ConfigError(
        f'{PATH}.beta_slow: {self.beta_slow:g} must be above 0, and below '
        f'beta_fast={self.beta_fast:g}')
    if self.attention_factor < 0:
      raise ConfigError(f'{PATH}.attention_factor: {self.attention_factor:g} '
                        'must be above 0, or 0 (work it out)')

  def scaled(self, frequency_J: np.ndarray, base: float) -> np.ndarray:
    """The slow ones slower by the factor."""
    pairs = len(frequency_J)

    def pair(turns: float) -> float:
      """Which pair turns so many times within the original length."""
      wavelength = self.original_length / (2 * np.pi * turns)
      return pairs * math.log(wavelength) / math.log(base)

    low = max(math.floor(pair(self.beta_fast)), 0)
    # The published code bounds a pair's number by that of features.
    high = min(math.ceil(pair(self.beta_slow)), 2 * pairs - 1)
    # Its width where both are one pair, too.
    slowed_J = ((np.arange(pairs) - low) / (high - low or 1e-3)).clip(0, 1)
    return frequency_J * (1 - slowed_J + slowed_J / self.factor)

  def magnitude(self) -> float:
    """What the paper calls the square root of 1 / t."""
    return self.attention_factor or 0.1 * math.log(self.factor) + 1


def _require_factor(factor: float) -> None:
  if not 1 <= factor < math.inf:
    raise ConfigError(f'{PATH}.factor: {factor:g} must be at least 1: by how '
                      'much the length grows')


def _require_length(length: int) -> None:
  if length < 1:
    raise ConfigError(f'{PATH}.original_length: {length} must be at least 1')


SCALINGS: Mapping[str, type[RotaryScaling]] = {
  'none': NoScaling,
  'linear': LinearScaling,
  'llama3': Llama3Scaling,
  'yarn': YarnScaling,
}
