"""Sentence encoders: how one vector is made of a text."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from model.pretrained.checkpoint import (
  UnreadableModel,
  inside,
  json_object,
  json_value,
)

Pooling = Literal['', 'mean', 'cls']
MODULES = 'modules.json'
SETTINGS = 'sentence_bert_config.json'
STEPS = {'Transformer', 'Pooling', 'Normalize'}
# What changes a text before it is read, by the file that says it.
CHANGES = {SETTINGS: 'do_lower_case',
           'config_sentence_transformers.json': 'default_prompt_name'}


class Vector(NamedTuple):
  """How one vector is made of a text.

  Attributes:
    pooling: 'mean' over its positions, 'cls', its first, or '' for none.
    normalized: whether the vector gets length 1.
    longest: tokens of a text at most, marks included; 0: what the model reads.
  """

  pooling: Pooling = ''
  normalized: bool = False
  longest: int = 0


NONE = Vector()


def read(path: Path) -> Vector:
  """What sentence-transformers keeps beside an encoder.

  Where it has a step that we do not compute (a dense layer, another pooling, a
  prompt before each text) there is no such vector.

  Raises:
    UnreadableModel: a file is damaged, or a name leads out of the folder.
  """
  if not os.path.lexists(path / MODULES):
    return NONE
  modules = inside(path, MODULES)
  try:
    steps = {str(step['type']).rpartition('.')[2]: str(step['path'])
             for step in json_value(modules)}
  except (KeyError, TypeError) as error:
    raise UnreadableModel(f'{modules}: not a list of modules ({error!r}); '
                          'fetch the file again') from None
  if 'Pooling' not in steps or not steps.keys() <= STEPS:
    return NONE
  if any(os.path.lexists(path / file) and
         json_object(inside(path, file)).get(key)
         for file, key in CHANGES.items()):
    return NONE
  place = path / steps['Pooling']
  if place.resolve().parent != path.resolve():
    raise UnreadableModel(f'{modules}: {steps["Pooling"]!r} is not the plain '
                          'name of a folder, and is not opened')
  kinds = {name for name, value in json_object(
    inside(place, 'config.json')).items()
    if name.startswith('pooling_mode_') and value is True}
  found: Pooling = ('mean' if kinds == {'pooling_mode_mean_tokens'} else
                    'cls' if kinds == {'pooling_mode_cls_token'} else '')
  if not found:
    return NONE
  return Vector(found, 'Normalize' in steps, _longest(path))


def _longest(path: Path) -> int:
  if not os.path.lexists(path / SETTINGS):
    return 0
  file = inside(path, SETTINGS)
  found = json_object(file).get('max_seq_length')
  if found is None:
    return 0
  if type(found) is not int or found < 1:
    raise UnreadableModel(f'{file}: max_seq_length is {found!r}, and not a '
                          'number of tokens; fetch the file again')
  return found


def pooled(x_BTD: np.ndarray, valid_BT: np.ndarray, pooling: Pooling,
           normalized: bool) -> np.ndarray:
  """One vector of each text.

  Args:
    x_BTD: what the last layer gives.
    valid_BT: which positions are of the text, and not padding.
    pooling: 'mean' over the text, or 'cls', its first position.
    normalized: whether the vector gets length 1.

  Returns:
    (B, D).
  """
  if pooling == 'cls':
    x_BD = x_BTD[:, 0]
  else:
    x_BD = np.einsum('BTD,BT->BD', x_BTD, valid_BT) / valid_BT.sum(
      1, keepdims=True)
  return x_BD / np.linalg.norm(x_BD, axis=1, keepdims=True) if normalized else (
    x_BD)
