"""Models in GGUF, the format of llama.cpp, read as Hugging Face's.

llama.cpp renames tensors, and rearranges rows for its own kernels. Here names,
shapes and order are those of the family's `*.safetensors`, so that the same
table reads them.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from model.pretrained.checkpoint import Tensor, UnreadableModel
from model.pretrained.gguf.architectures import ARCHITECTURES
from model.pretrained.gguf.fields import Fields

_LAYER = re.compile(r'blk\.(\d+)\.')


class GGUFCheckpoint:
  """A Checkpoint in one `.gguf` file.

  Quantised tensors are decoded as they are read, to float32: what is held is a
  view of the file.

  Attributes:
    path: the file.
    metadata: what the file says, raw, the tokenizer included.
    theirs: the same as a `config.json` of the family would say it.
    tensors: shape and stored type by the family's names.
    readable: the stored types; one that cannot be decoded is refused before.
  """

  def __init__(self, path: str | pathlib.Path):
    """Opens a file; reads its metadata.

    Raises:
      UnreadableModel: no package `gguf`; not a GGUF file that is whole; an
        architecture, or a setting of one, that is not known here.
    """
    self.path = pathlib.Path(path)
    try:
      from model.pretrained.gguf import file  # here: needs an extra
    except ImportError:
      raise UnreadableModel(
        f'{self.path}: needs the package gguf; install the extra gguf '
        "(pip install -e '.[gguf]')") from None
    self.metadata, stored = file.opened(self.path)
    fields = Fields(str(self.path), self.metadata)
    if fields.architecture not in ARCHITECTURES:
      raise fields.refuse(
        'general.architecture', f'{fields.architecture!r} is not known; known '
        f'are {", ".join(ARCHITECTURES)}')
    architecture = ARCHITECTURES[fields.architecture]
    _check_layers(fields, stored)
    self.theirs: Mapping[str, Any] = architecture.theirs(fields, stored)
    fields.check_rest()
    if self.theirs['tie_word_embeddings']:
      stored.pop('output.weight', None)
    stored.pop('rope_freqs.weight', None)  # in `theirs`
    self._stored = {architecture.name(name): tensor
                    for name, tensor in stored.items()}
    self._rows: dict[str, np.ndarray] = {}
    self._transposed: set[str] = set()
    self.tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
      their_name, shape = architecture.name(name), tensor.shape
      rows = architecture.rows(name, shape[0] if shape else 0, self.theirs)
      if rows is not None:
        self._rows[their_name] = rows
      if architecture.is_transposed(name) and len(shape) == 2:
        self._transposed.add(their_name)
        shape = shape[::-1]
      self.tensors[their_name] = Tensor(shape, tensor.kind.name)
    self.readable = frozenset(
      tensor.dtype for tensor in self.tensors.values())

  def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
    """A slice of a tensor, float32, in the order of Hugging Face's file."""
    stored = self._stored[name]
    if name in self._transposed:
      return stored.read(index[::-1]).T
    if name not in self._rows:
      return stored.read(index)
    rows = self._rows[name][index[0]]
    if len(stored.shape) == 1:
      return stored.read((slice(None),))[rows]
    return stored.read((rows, *index[1:]))


def _check_layers(fields: Fields, stored: Mapping[str, Any]) -> None:
  """Raises unless there are tensors of just as many layers as is said."""
  layers = {int(found[1]) for name in stored if (found := _LAYER.match(name))}
  count = fields.count('block_count')
  # No list of what is expected: the number may be absurd.
  if len(layers) != count or max(layers, default=-1) != count - 1:
    raise fields.refuse(
      'block_count', f'it is {count}, and there are tensors of {len(layers)} '
      'layers; download or convert the file again')
