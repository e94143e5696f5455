"""Whether a checkpoint holds just what its config makes of it."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from model.config import ModelConfig
from model.pretrained import buffers, table
from model.pretrained.checkpoint import Checkpoint, UnreadableModel
from model.pretrained.family import Family


class Contents(NamedTuple):
  """What a config and a checkpoint hold together, names and shapes checked.

  Attributes:
    family: whose table reads it.
    config: in our words.
    checkpoint: the tensors.
    names: what each tensor of the table is called there.
  """

  family: Family
  config: ModelConfig
  checkpoint: Checkpoint
  names: Mapping[str, str]


def names(family: Family, config: ModelConfig,
          checkpoint: Checkpoint) -> Mapping[str, str]:
  """What each tensor of a family's table is called in a checkpoint.

  Raises:
    UnreadableModel: one is missing, left over, of another shape, stored in a
      way that cannot be read, or no copy of what it should repeat.
  """
  own: dict[str, str] = {}
  for name in checkpoint.tensors:
    spelled = family.spelled(name)
    if spelled in own:
      raise UnreadableModel(f'tensor {name!r} is there as {own[spelled]!r} '
                            'too; remove one')
    own[spelled] = name
  expected = table.tensors(family.table(config), config)
  for copy, original in family.copies.items():
    # A file keeps one of two names of what is one tensor, not always the same.
    if copy in own and copy not in expected and original not in own:
      own[original] = own.pop(copy)
  for name, shape in expected.items():
    if name not in own:
      raise UnreadableModel(
        f'tensor {name!r} is missing{_nearest(name, own)}; fetch all files '
        'again, or correct the config')
    found = checkpoint.tensors[own[name]]
    if found.shape != shape:
      raise UnreadableModel(
        f'tensor {own[name]!r} has shape {found.shape}, and the config makes '
        f'it {shape}; files and config are of different models')
    if found.dtype not in checkpoint.readable:
      raise UnreadableModel(
        f'tensor {own[name]!r} is stored as {found.dtype}; convert it to one '
        f'of {", ".join(sorted(checkpoint.readable))}')
  for spelled, name in own.items():
    if spelled not in expected and spelled not in family.copies and (
        not family.ignores(spelled)):
      raise UnreadableModel(
        f'tensor {name!r} has no place in a {family.name} model of this config '
        f'({config.n_layers} layers); correct the config, or remove it')
  _check_copies(family, checkpoint, own, expected)
  return {name: own[name] for name in expected}


def _nearest(name: str, names: Mapping[str, str]) -> str:
  """A tensor that ends in the same words, or nothing."""
  ending = name.rsplit('.', 2)[-2:]
  same = [own for key, own in names.items() if key.split('.')[-2:] == ending]
  return f' (there is {same[0]!r})' if same else ''


def _check_copies(family: Family, checkpoint: Checkpoint,
                  names: Mapping[str, str], expected: Collection[str]) -> None:
  """Refuses a tensor that should repeat another and does not."""
  for copy, original in family.copies.items():
    if copy not in names or copy in expected:
      continue
    copy, original = names[copy], names[original]
    found, other = checkpoint.tensors[copy], checkpoint.tensors[original]
    if found.shape != other.shape or not all(
        np.array_equal(checkpoint.read(copy, part),
                       checkpoint.read(original, part))
        for part in buffers.blocks(found.shape, buffers.BLOCK)):
      raise UnreadableModel(
        f'tensor {copy!r} is not {original!r}, to which the config ties it; '
        'set tie_word_embeddings to false')
