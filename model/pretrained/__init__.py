"""Models that others trained, in their files: one table for each family."""

import difflib
from collections.abc import Mapping
from typing import Any

from model.pretrained.bert import BERT
from model.pretrained.checkpoint import (
  Checkpoint,
  SafetensorsCheckpoint,
  Tensor,
  UnreadableModel,
)
from model.pretrained.family import Family
from model.pretrained.gpt2 import GPT2
from model.pretrained.llama import LLAMA
from model.pretrained.loading import load, unload
from model.pretrained.neox import NEOX
from model.pretrained.table import Entry

FAMILIES: Mapping[str, Family] = {known.name: known for known in (
  LLAMA, GPT2, NEOX, BERT)}

__all__ = [
  'FAMILIES', 'Checkpoint', 'Entry', 'Family', 'SafetensorsCheckpoint',
  'Tensor', 'UnreadableModel', 'family', 'load', 'unload',
]


def family(model_type: Any) -> Family:
  """Whose table reads what a config calls `model_type`.

  Raises:
    UnreadableModel: nobody's; the message lists the nearest.
  """
  types = {kind: known for known in FAMILIES.values()
           for kind in known.model_types}
  if isinstance(model_type, str) and model_type in types:
    return types[model_type]
  near = difflib.get_close_matches(str(model_type), types, n=3, cutoff=0.4)
  raise UnreadableModel(
    f'model_type: {str(model_type)[:40]!r} is not read; '
    + (f'the nearest that are: {", ".join(near)}; ' if near else '')
    + f'all: {", ".join(types)}')
