"""Rotary positions of a GGUF file, as `config.json` would say them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.pretrained.gguf.fields import Fields

# Of every published Llama 3 (Meta, 2024), and what a file does not keep.
_LOW, _HIGH = 1.0, 4.0
_KINDS = ('none', 'linear', 'yarn')


def rope(fields: Fields, stored: Mapping[str, Any],
         head: int) -> dict[str, Any]:
  """`rope_parameters` of transformers 5.

  Args:
    fields: of the file.
    stored: its tensors: a Llama 3 keeps its rule as one factor a frequency.
    head: numbers of a head that turn.

  Raises:
    UnreadableModel: a rule that is not known here.
  """
  base = fields.real('rope.freq_base', 10000.0)
  kind = fields.word('rope.scaling.type', _KINDS, 'none')
  plain = {'rope_type': 'default', 'rope_theta': base}
  if 'rope_freqs.weight' in stored:
    if kind != 'none':
      raise fields.refuse('rope_freqs.weight', 'factors for frequencies beside '
                          f'the rule {kind} are not computed here')
    return plain | _llama3(fields, stored['rope_freqs.weight'], head, base)
  if kind == 'none':
    return plain
  if kind == 'linear':
    return plain | {'rope_type': 'linear',
                    'factor': fields.real('rope.scaling.factor')}
  return plain | {
    'rope_type': 'yarn', 'factor': fields.real('rope.scaling.factor'),
    'original_max_position_embeddings': fields.count(
      'rope.scaling.original_context_length'),
    'beta_fast': fields.real('rope.scaling.yarn_beta_fast', 32.0),
    'beta_slow': fields.real('rope.scaling.yarn_beta_slow', 1.0)}


def _llama3(fields: Fields, tensor: Any, head: int,
            base: float) -> dict[str, Any]:
  """The rule that gives the factors that are stored, if there is one.

  A frequency of wavelength w is divided by 1 where w < L / high, by the factor
  where w > L / low, and by 1 / ((1 - s) / factor + s) between, with
  s = (L / w - low) / (high - low). One that lies between shows L.
  """
  factors = tensor.read((slice(None),)) if len(tensor.shape) == 1 else None
  waves = 2 * np.pi * base ** (np.arange(0, head, 2) / head)
  problem = fields.refuse(
    'rope_freqs.weight', 'factors for frequencies that are not those of '
    'Llama 3; convert the model from its Hugging Face folder')
  if factors is None or factors.shape != waves.shape:
    raise problem
  factor = float(factors.max())
  between = np.flatnonzero((factors > 1.001) & (factors < factor / 1.001))
  if not len(between):
    raise problem
  share = (1 / factors[between[0]] - 1 / factor) / (1 - 1 / factor)
  length = round(float(waves[between[0]] * (_LOW + share * (_HIGH - _LOW))))
  shares = np.clip((length / waves - _LOW) / (_HIGH - _LOW), 0, 1)
  if not np.allclose(factors, 1 / ((1 - shares) / factor + shares), rtol=1e-3):
    raise problem
  return {'rope_type': 'llama3', 'factor': factor, 'low_freq_factor': _LOW,
          'high_freq_factor': _HIGH, 'original_max_position_embeddings': length}
