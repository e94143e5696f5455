"""What names a model's content, whatever form it lies there in.

The same values under the same config are the same model: in one file or many,
in float32 or in a dtype that float32 holds, with any prefix of the names.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping

import numpy as np

from model.config import ModelConfig
from model.pretrained import buffers
from model.pretrained.checkpoint import Checkpoint
from train import serialization


def tensors(names: Mapping[str, str],
            checkpoint: Checkpoint) -> dict[str, str]:
  """The sha256 of every tensor's float32 values in C order.

  Args:
    names: what each is called in the checkpoint, by its name in the table.
    checkpoint: where they are read.

  Returns:
    {name in the table: hex digits}.
  """
  return {name: sha256(checkpoint.tensors[own].shape,
                       functools.partial(checkpoint.read, own))
          for name, own in names.items()}


def sha256(shape: tuple[int, ...],
           read: Callable[[tuple[slice, ...]], np.ndarray]) -> str:
  """The hash of an array's float32 values in C order, read in blocks.

  Args:
    shape: of the whole.
    read: gives a slice of it.
  """
  found = hashlib.sha256()
  for index in buffers.blocks(shape, buffers.BLOCK):
    found.update(np.asarray(read(index), '<f4').tobytes())
  return found.hexdigest()


def fingerprint(config: ModelConfig, hashes: Mapping[str, str]) -> str:
  """Sixteen hex digits that name a config and tensors."""
  text = json.dumps([serialization.differing(config), dict(hashes)],
                    sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
