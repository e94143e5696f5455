"""What a config that somebody else wrote says, each value checked."""

import difflib
import math
from collections.abc import Collection, Mapping
from typing import Any

from model.pretrained.checkpoint import UnreadableModel

LARGEST = 2**31 - 1  # of any size
MOST_LAYERS = 10_000
REQUIRED = object()

# Their activations in our words.
ACTIVATIONS = {
  'gelu': 'gelu_exact', 'gelu_python': 'gelu_exact', 'gelu_new': 'gelu',
  'gelu_pytorch_tanh': 'gelu', 'gelu_python_tanh': 'gelu', 'gelu_fast': 'gelu',
  'gelu_accurate': 'gelu', 'relu': 'relu', 'silu': 'silu', 'swish': 'silu',
  'tanh': 'tanh', 'sigmoid': 'sigmoid', 'linear': 'identity',
}
# Ours in theirs.
THEIR_ACTIVATIONS = {
  'gelu_exact': 'gelu', 'gelu': 'gelu_new', 'relu': 'relu', 'silu': 'silu',
  'tanh': 'tanh', 'sigmoid': 'sigmoid', 'identity': 'linear',
}


class Settings:
  """The values of a config, or of a part of it.

  A key that is absent or null has the default, which is what their library
  takes then.

  Attributes:
    values: by key.
    place: how messages call it.
  """

  def __init__(self, values: Mapping[str, Any], place: str = 'config.json'):
    """Takes what JSON gave."""
    self.values, self.place = values, place

  def __contains__(self, key: str) -> bool:
    """Whether a value is given."""
    return self.values.get(key) is not None

  def renamed(self, names: Mapping[str, str]) -> 'Settings':
    """The same, each key by one name alone.

    Args:
      names: the name of a key, by the other that their library knows it by.

    Raises:
      UnreadableModel: both names are there, and say different things.
    """
    values = {key: value for key, value in self.values.items()
              if key not in names}
    for other, key in names.items():
      said = self.values.get(other)
      if other in self.values and values.setdefault(key, said) != said:
        raise self.refuse(other, f'{_short(said)} is said, and '
                                 f'{key}={_short(values[key])}; remove one')
    return Settings(values, self.place)

  def refuse(self, key: str, why: str) -> UnreadableModel:
    """The error for one key."""
    return UnreadableModel(f'{self.place}: {key}: {why}')

  def count(self, key: str, default: Any = REQUIRED, least: int = 1,
            most: int = LARGEST) -> int:
    """An integer between two bounds."""
    value = self._value(key, default)
    if value is default and value is not REQUIRED:
      return default
    if isinstance(value, bool) or not isinstance(value, int):
      raise self.refuse(key, f'{_short(value)} is not an integer; correct it')
    if not least <= value <= most:
      raise self.refuse(key, f'{_short(value)} is not between {least} and '
                             f'{most}; correct it')
    return value

  def layers(self, key: str, default: Any = REQUIRED) -> int:
    """How many layers, each of which has tensors to be named."""
    return self.count(key, default, most=MOST_LAYERS)

  def heads(self, key: str, default: int, width: int) -> int:
    """How many heads share the model's width."""
    heads = self.count(key, default)
    if width % heads:
      raise self.refuse(key, f'{heads} does not divide the width {width}; '
                             'correct one of them')
    return heads

  def number(self, key: str, default: Any = REQUIRED, least: float = 0.0,
             most: float = 1e12) -> float:
    """A finite number above `least`, up to `most`."""
    value = self._value(key, default)
    if value is default and value is not REQUIRED:
      return default
    if isinstance(value, bool) or not isinstance(value, int | float):
      raise self.refuse(key, f'{_short(value)} is not a number; correct it')
    if not math.isfinite(value) or not least < value <= most:
      raise self.refuse(key, f'{_short(value)} is not above {least:g} and at '
                             f'most {most:g}; correct it')
    return float(value)

  def flag(self, key: str, default: bool) -> bool:
    """True or false."""
    value = self._value(key, default)
    if not isinstance(value, bool):
      raise self.refuse(key, f'{_short(value)} is neither true nor false; '
                             'correct it')
    return value

  def word(self, key: str, choices: Collection[str], default: Any) -> str:
    """One of a few words."""
    value = self._value(key, default)
    if not isinstance(value, str) or value not in choices:
      near = difflib.get_close_matches(str(value), choices, n=1)
      nearest = f'; the nearest is {near[0]!r}' if near else ''
      raise self.refuse(key, f'{_short(value)} is none of '
                             f'{", ".join(choices)}{nearest}')
    return value

  def activation(self, key: str, default: str) -> Any:
    """An activation, in our words."""
    return ACTIVATIONS[self.word(key, ACTIVATIONS, default)]

  def part(self, key: str) -> 'Settings':
    """An object within; empty when it is absent."""
    value = self._value(key, {})
    if not isinstance(value, dict):
      raise self.refuse(key, f'{_short(value)} is not an object {{…}}; correct '
                             'it')
    return Settings(value, f'{self.place}: {key}')

  def fixed(self, key: str, value: Any) -> None:
    """Refuses any value but the one that Fathom computes."""
    # Null is a value here: their library takes it for false, not for absence.
    absent = None if key in self.values else value
    if self._value(key, absent) != value:
      raise self.refuse(key, f'{_short(self.values[key])} is not computed '
                             f'here; only {value!r} is')

  def _value(self, key: str, default: Any) -> Any:
    if key in self:
      return self.values[key]
    if default is REQUIRED:
      raise self.refuse(key, 'is missing; add it')
    return default


def _short(value: Any) -> str:
  text = repr(value)
  return text if len(text) <= 40 else f'{text[:37]}…'
