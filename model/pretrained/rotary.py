"""Rotary position as Hugging Face writes it, in both directions.

`rope_theta` and `rope_scaling` in older configs, `rope_parameters` in newer.
"""

import math
from typing import Any

from model.config import ConfigError
from model.position import RotaryPosition
from model.pretrained.settings import Settings
from model.rotary_scaling import (
  LinearScaling,
  Llama3Scaling,
  NoScaling,
  RotaryScaling,
  YarnScaling,
)

KINDS = ('default', 'linear', 'llama3', 'yarn')
BASE = 10_000.0  # where a config does not say
LARGEST_FACTOR = 1e6


def position(theirs: Settings, base: str = 'rope_theta',
             fraction: str = 'partial_rotary_factor',
             default_fraction: float = 1.0,
             longest: int = 2048) -> RotaryPosition:
  """Reads it; what stands in the part goes before what stands outside.

  Args:
    theirs: the whole config.
    base: the key of the base where it stands outside.
    fraction: the key of the fraction where it stands outside.
    default_fraction: of the head that turns, where nothing says.
    longest: max_position_embeddings, where nothing says.
  """
  part = theirs.part('rope_scaling' if theirs.values.get('rope_scaling')
                     else 'rope_parameters')
  outer_base = theirs.number(base, BASE, least=1.0)
  outer_fraction = theirs.number(fraction, default_fraction, most=1.0)
  return RotaryPosition(
    base=part.number('rope_theta', outer_base, least=1.0),
    fraction=part.number('partial_rotary_factor', outer_fraction, most=1.0),
    scaling=_scaling(theirs, part, longest))


def _scaling(theirs: Settings, part: Settings,
             longest: int) -> RotaryScaling:
  key = 'rope_type' if 'rope_type' in part else 'type'
  kind = part.word(key, KINDS, 'default')
  if kind == 'default':
    nested = [key for key, value in part.values.items()
              if isinstance(value, dict)]
    if nested:
      raise part.refuse(nested[0], 'layers of different rotary position are '
                                   'not computed here')
    return NoScaling()
  factor = part.number('factor', most=LARGEST_FACTOR)
  if factor < 1:
    raise part.refuse('factor', f'{factor} shortens; use 1 or more')
  if kind == 'linear':
    return LinearScaling(factor=factor)
  # A length outside the part goes before one within.
  longest = theirs.count('max_position_embeddings', longest)
  within = part.count('original_max_position_embeddings', longest)
  length = theirs.count('original_max_position_embeddings', within)
  if kind == 'llama3':
    low = part.number('low_freq_factor')
    high = part.number('high_freq_factor')
    if high <= low:
      raise part.refuse('high_freq_factor', f'{high} is not above '
                        f'low_freq_factor={low}; correct it')
    return Llama3Scaling(factor=factor, low_frequency=low, high_frequency=high,
                         original_length=length)
  part.fixed('truncate', True)
  return YarnScaling(
    factor=factor, original_length=length,
    beta_fast=part.number('beta_fast', 32.0),
    beta_slow=part.number('beta_slow', 1.0),
    attention_factor=_attention_factor(part, factor))


def _attention_factor(part: Settings, factor: float) -> float:
  """What YaRN multiplies queries and keys by; 0 for what the paper has."""
  if 'attention_factor' in part:
    return part.number('attention_factor')
  one, all_ = part.number('mscale', 0.0), part.number('mscale_all_dim', 0.0)
  if not one or not all_ or factor <= 1:
    return 0.0
  log = 0.1 * math.log(factor)
  return (one * log + 1) / (all_ * log + 1)


def theirs(position: RotaryPosition) -> dict[str, Any]:
  """Writes base and scaling as all versions of their library read it.

  Raises:
    ConfigError: they have no such scaling.
  """
  scaling = position.scaling
  match scaling:
    case NoScaling():
      part = None
    case LinearScaling():
      part = {'rope_type': 'linear', 'factor': scaling.factor}
    case Llama3Scaling():
      part = {'rope_type': 'llama3', 'factor': scaling.factor,
              'low_freq_factor': scaling.low_frequency,
              'high_freq_factor': scaling.high_frequency,
              'original_max_position_embeddings': scaling.original_length}
    case YarnScaling():
      part = {'rope_type': 'yarn', 'factor': scaling.factor,
              'original_max_position_embeddings': scaling.original_length,
              'beta_fast': scaling.beta_fast, 'beta_slow': scaling.beta_slow}
      if scaling.attention_factor:
        part['attention_factor'] = scaling.attention_factor
    case _:
      raise ConfigError('model.position.scaling: '
                        f'{type(scaling).__name__} is unknown to Hugging Face')
  return {'rope_theta': position.base, 'rope_scaling': part}
