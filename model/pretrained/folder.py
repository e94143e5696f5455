"""A folder of Hugging Face's: what it says it is, before anything is read."""

from pathlib import Path
from typing import Any, NamedTuple

from model import pretrained
from model.config import ConfigError, ModelConfig
from model.pretrained.checkpoint import (
  SafetensorsCheckpoint,
  UnreadableModel,
  inside,
  json_object,
)
from model.pretrained.family import Family
from model.pretrained.loading import matched
from model.pretrained.settings import Settings

CONFIG = 'config.json'


class Folder(NamedTuple):
  """What a folder holds, all of its names and shapes checked.

  Attributes:
    family: whose table reads it.
    config: in our words.
    checkpoint: its tensors.
    theirs: `config.json`.
  """

  family: Family
  config: ModelConfig
  checkpoint: SafetensorsCheckpoint
  theirs: dict[str, Any]


def read(path: str | Path) -> Folder:
  """Opens a folder with `config.json` and safetensors.

  Code that a folder brings (`auto_map`) is not looked at.

  Raises:
    UnreadableModel: anything about it is not as it should be.
  """
  folder = Path(path)
  checkpoint = SafetensorsCheckpoint(folder)
  theirs = json_object(inside(folder, CONFIG))
  try:
    if theirs.get('quantization_config') is not None:
      raise Settings(theirs).refuse(
        'quantization_config', 'weights quantised so are not read; take the '
        'original model, or a GGUF file')
    family = pretrained.family(theirs.get('model_type'))
    config = family.config(theirs)
    config.validate()
    matched(family, config, checkpoint)
  except ConfigError as error:
    # Only the headers of the tensors' files have been read by now.
    raise UnreadableModel(f'{folder}: {error}') from None
  return Folder(family, config, checkpoint, theirs)
