"""A GGUF file as metadata and stored tensors: all that needs the library.

The library trusts what a file says of itself. Here nothing is looked at beyond
the file's end, what it raises becomes one message, and stored blocks become
numbers only where they are asked for.
"""

import dataclasses
import itertools
import pathlib
import struct
from collections.abc import Mapping
from typing import Any

import gguf
import numpy as np
from gguf.quants import dequantize

from model.pretrained.checkpoint import UnreadableModel

_MAGIC = b'GGUF'
_VERSIONS = (2, 3)
# Llama 3's vocabulary and merges are about a million pieces.
_PIECES = 10_000_000


@dataclasses.dataclass(frozen=True)
class StoredTensor:
  """One tensor as it lies in the file.

  Attributes:
    shape: of the numbers, the last axis contiguous.
    kind: how they are stored.
    data: a view of the file: numbers, or the bytes of whole blocks, which run
      along the last axis.
    offset: its first byte in the file.
  """

  shape: tuple[int, ...]
  kind: gguf.GGMLQuantizationType
  data: np.ndarray
  offset: int

  def read(self, index: tuple[slice | np.ndarray, ...]) -> np.ndarray:
    """Numbers at an index, float32; no block is decoded but those it needs.

    Args:
      index: one of each axis: a slice without a step or, of any axis but the
        last, positions.
    """
    *outer, last = index
    assert isinstance(last, slice)
    start, stop, _ = last.indices(self.shape[-1])
    block, size = gguf.GGML_QUANT_SIZES[self.kind]
    unit = size if self.data.dtype == np.uint8 else 1
    first = start // block
    blocks = slice(first * unit, -(-stop // block) * unit)
    values = dequantize(
      np.ascontiguousarray(self.data[*outer, blocks]), self.kind)
    return values[..., start - first * block:stop - first * block]


class _Reader(gguf.GGUFReader):
  """The library's reader, kept inside the file.

  Past the end it gets empty arrays and goes on counting to whatever number
  the file gives; each of its looks goes through `_get`.
  """

  looks = 0

  def _get(self, offset: Any, dtype: Any, count: Any = 1,
           override_order: Any = None) -> np.ndarray:
    del override_order  # files of the other byte order are refused before
    self.looks += 1
    if self.looks == 1:
      self.data: Any = np.asarray(self.data)  # a plain view is faster
    stop = int(offset) + np.dtype(dtype).itemsize * int(count)
    if stop > len(self.data):
      raise ValueError(f'it speaks of byte {stop}, and has {len(self.data)}')
    if self.looks > _PIECES:
      raise ValueError(f'its metadata has more than {_PIECES} pieces')
    return self.data[int(offset):stop].view(dtype)


def opened(path: pathlib.Path,
           ) -> tuple[dict[str, Any], dict[str, StoredTensor]]:
  """What a file holds: metadata as plain values, and tensors by name.

  Raises:
    UnreadableModel: not a GGUF file that is whole, one of several parts, or a
      tensor of a kind that the library cannot decode.
  """
  _check_start(path)
  try:
    # Where offsets wrap round, numpy would only warn.
    with np.errstate(over='raise'):
      reader = _Reader(path)
      metadata = {name: field.contents()
                  for name, field in reader.fields.items()}
      tensors = {tensor.name: StoredTensor(
        tuple(int(size) for size in reversed(tensor.shape)),
        tensor.tensor_type, tensor.data, tensor.data_offset)
        for tensor in reader.tensors}
      _check_apart(tensors)
  except Exception as error:  # the library raises many kinds
    raise UnreadableModel(
      f'{path}: a GGUF file that is truncated or damaged ({error}); download '
      'or convert it again') from None
  parts = metadata.get('split.count', 1)
  if parts != 1:
    raise UnreadableModel(
      f'{path}: one of {parts} parts of a model; join them with '
      '`llama-gguf-split --merge` of llama.cpp and name the whole')
  _check_kinds(path, tensors)
  return metadata, tensors


def _check_start(path: pathlib.Path) -> None:
  """Raises for what the first bytes show."""
  try:
    with path.open('rb') as file:
      start = file.read(8)
  except OSError as error:
    raise UnreadableModel(f'{path}: cannot be read ({error.strerror}); name a '
                          '.gguf file') from None
  if start[:4] != _MAGIC:
    raise UnreadableModel(f'{path}: not a GGUF file (it does not begin with '
                          'GGUF); name a .gguf file, or download it again')
  if len(start) < 8:
    raise UnreadableModel(f'{path}: a GGUF file that is truncated (it has '
                          f'{len(start)} bytes); download it again')
  version, = struct.unpack('<I', start[4:])
  if version and version % 65536 == 0:
    raise UnreadableModel(
      f'{path}: a GGUF file in big-endian byte order; convert it with '
      '`gguf-convert-endian FILE little` of the gguf package')
  if version not in _VERSIONS:
    raise UnreadableModel(
      f'{path}: GGUF version {version}, and {_VERSIONS} are read; convert the '
      'model again with a current llama.cpp')


def _check_apart(tensors: Mapping[str, StoredTensor]) -> None:
  """Raises ValueError for tensors that share bytes."""
  ordered = sorted(tensors.items(), key=lambda item: item[1].offset)
  for (name, one), (other, next_one) in itertools.pairwise(ordered):
    if one.offset + one.data.nbytes > next_one.offset:
      raise ValueError(f'{name} and {other} lie on the same bytes')


def _check_kinds(path: pathlib.Path,
                 tensors: Mapping[str, StoredTensor]) -> None:
  """Raises for a kind that the library cannot decode, before any is read."""
  first = {tensor.kind: name for name, tensor in reversed([*tensors.items()])}
  for kind, name in first.items():
    _, size = gguf.GGML_QUANT_SIZES[kind]
    try:
      dequantize(np.zeros((1, size), np.uint8), kind)
    except NotImplementedError:
      raise UnreadableModel(
        f'{path}: {name} is stored as {kind.name}, which the gguf package '
        'cannot decode; take a file with F16, Q8_0, Q4_0, Q4_1 or K-quants'
      ) from None
