"""Models as Hugging Face writes them: what they are, before they are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model import pretrained
from model.config import ConfigError
from model.pretrained import agreement
from model.pretrained.agreement import Contents
from model.pretrained.checkpoint import (
  Checkpoint,
  SafetensorsCheckpoint,
  UnreadableModel,
  inside,
  json_object,
)
from model.pretrained.settings import Settings

CONFIG = 'config.json'


def read(path: str | Path) -> Contents:
  """Opens a folder with `config.json` and safetensors.

  Code that a folder brings (`auto_map`) is not looked at.

  Raises:
    UnreadableModel: anything about it is not as it should be.
  """
  folder = Path(path)
  checkpoint = SafetensorsCheckpoint(folder)
  theirs = json_object(inside(folder, CONFIG))
  try:
    return contents(theirs, checkpoint)
  except ConfigError as error:
    # Only the headers of the tensors' files have been read by now.
    raise UnreadableModel(f'{folder}: {error}') from None


def contents(theirs: Mapping[str, Any], checkpoint: Checkpoint) -> Contents:
  """What a checkpoint holds by its `config.json`.

  Raises:
    ConfigError: they do not fit, or are not read here.
  """
  if theirs.get('quantization_config') is not None:
    raise Settings(theirs).refuse(
      'quantization_config', 'weights quantised so are not read; take the '
      'original model, or a GGUF file')
  family = pretrained.family(theirs.get('model_type'))
  config = family.config(theirs)
  config.validate()
  return Contents(family, config, checkpoint,
                  agreement.names(family, config, checkpoint))
