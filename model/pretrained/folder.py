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
  if not folder.is_dir():
    raise UnreadableModel(f'{folder}: no such folder; give one with {CONFIG} '
                          'and *.safetensors')
  place = folder / CONFIG
  if not place.exists() and not any(folder.iterdir()):
    raise UnreadableModel(f'{folder}: the folder is empty; give one with '
                          f'{CONFIG} and *.safetensors')
  theirs = json_object(inside(folder, CONFIG))
  if theirs.get('quantization_config') is not None:
    raise UnreadableModel(
      f'{place}: quantization_config: quantised weights of this kind are not '
      'read; take the original model, or a GGUF file')
  try:
    family = pretrained.family(theirs.get('model_type'))
    config = family.config(theirs)
    config.validate()
    checkpoint = SafetensorsCheckpoint(folder)
    matched(family, config, checkpoint)
  except ConfigError as error:
    raise _located(folder, error) from None
  return Folder(family, config, checkpoint, theirs)


def _located(folder: Path, error: ConfigError) -> UnreadableModel:
  """The error with the folder in front, where it does not name it yet."""
  text = str(error)
  return UnreadableModel(text if text.startswith(str(folder))
                         else f'{folder}: {text}')
