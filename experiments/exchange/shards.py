"""Parameters in files of about one size, written and read in slices.

A parameter that is larger than a file is cut along its first axis into pieces,
so that neither side ever holds more than a file.
"""

import bisect
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data import durable
from experiments.exchange import content
from model.pretrained import buffers
from model.pretrained.checkpoint import (
  Tensor,
  UnreadableModel,
  access,
  headers,
  inside,
)
from model.pretrained.loading import Parameter

SHARD = 2**28  # numbers in a file, about: 1 GiB


@dataclasses.dataclass(frozen=True)
class Piece:
  """Some rows of a parameter, as one tensor of a file.

  Attributes:
    file: its plain name.
    key: the tensor's.
    first: the first of the rows.
    shape: of the tensor.
    sha256: of its float32 values in C order.
  """

  file: str
  key: str
  first: int
  shape: tuple[int, ...]
  sha256: str


Pieces = Mapping[str, Sequence[Piece]]


def write(folder: Path, parameters: Mapping[str, Parameter],
          tell: Callable[[int], None] = lambda _: None) -> Pieces:
  """Writes parameters file by file.

  Args:
    folder: where.
    parameters: by their paths.
    tell: told how many numbers are written so far.

  Returns:
    What each parameter is made of.
  """
  pieces: dict[str, list[Piece]] = {path: [] for path in parameters}
  held: dict[str, np.ndarray] = {}
  count, done = 1, 0

  def finish() -> None:
    nonlocal count, done
    save(folder / _file(count), held)
    count, done = count + 1, done + sum(rows.size for rows in held.values())
    held.clear()
    tell(done)

  for path, parameter in parameters.items():
    for index in buffers.blocks(parameter.shape, SHARD):
      size = sum(rows.size for rows in held.values())
      rows = [i.stop - i.start for i in index]
      if held and size + np.prod(rows) > SHARD:
        finish()
      first = index[0].start
      key = f'{path}:{first}' if first else path
      held[key] = np.ascontiguousarray(parameter.read(index))
      pieces[path].append(Piece(_file(count), key, first, tuple(rows),
                                content.sha256(held[key].shape,
                                               held[key].__getitem__)))
  finish()
  return pieces


def save(path: Path, tensors: Mapping[str, np.ndarray],
         metadata: dict[str, str] | None = None) -> None:
  """Writes a file of safetensors, which is on disk then."""
  with durable.named(path):
    try:
      save_file(dict(tensors), path, metadata)
    except SafetensorError as error:
      # A full disk, in words alone.
      if not (number := re.search(r'os error (\d+)', str(error))):
        raise
      raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
    path.chmod(0o644)  # it was made for its owner alone
    durable.sync(path)


def _file(number: int) -> str:
  return f'parameters-{number:05d}.safetensors'


def parameters(folder: Path, pieces: Pieces) -> dict[str, Parameter]:
  """Parameters of which slices can be read."""
  return {path: _parameter(folder, own) for path, own in pieces.items()}


def _parameter(folder: Path, pieces: Sequence[Piece]) -> Parameter:
  rows, *rest = pieces[-1].shape
  shape = (pieces[-1].first + rows, *rest)
  starts = [piece.first for piece in pieces]

  def read(index: tuple[slice, ...]) -> np.ndarray:
    asked, *others = (range(*part.indices(size))
                      for part, size in zip(index, shape))
    columns = tuple(slice(each.start, each.stop) for each in others)
    out = buffers.empty([len(each) for each in (asked, *others)])
    for block, *_ in buffers.blocks(out.shape, buffers.BLOCK):
      rows = asked[block]
      for piece in pieces[bisect.bisect(starts, rows.start) - 1:]:
        start = max(rows.start, piece.first)
        stop = min(rows.stop, piece.first + piece.shape[0])
        if start < stop:
          out[start - asked.start:stop - asked.start] = _rows(folder, piece, (
            slice(start - piece.first, stop - piece.first), *columns))
    return out

  return Parameter(shape, read)


def _rows(folder: Path, piece: Piece,
          index: tuple[slice, ...]) -> np.ndarray:
  # Opened anew, so that what was mapped of the file is given back.
  path = folder / piece.file
  with access(path), safe_open(path, framework='numpy') as file:
    rows: np.ndarray = file.get_slice(piece.key)[index]
  return rows


def check(folder: Path, pieces: Pieces,
          shapes: Mapping[str, tuple[int, ...]]) -> None:
  """Holds pieces to the parameters of a model, and files to the pieces.

  Raises:
    UnreadableModel: a name is missing or one too many, or a shape is another.
  """
  for path in sorted(shapes.keys() ^ pieces.keys()):
    said = 'is missing' if path in shapes else 'is no parameter of this config'
    raise UnreadableModel(f'{folder}: {path!r} {said}')
  found: dict[str, dict[str, Tensor]] = {}
  for path, own in pieces.items():
    _check_cut(folder, path, own, shapes[path])
    for piece in own:
      if piece.file not in found:
        found[piece.file] = headers(inside(folder, piece.file))
      tensor = found[piece.file].pop(piece.key, None)
      if tensor != Tensor(piece.shape, 'F32'):
        said = (f'is {tensor.dtype} of shape {tensor.shape}' if tensor
                else 'is missing')
        raise UnreadableModel(
          f'{folder / piece.file}: {piece.key!r} {said}, and was written '
          f'as F32 of shape {piece.shape}')
  for file, rest in found.items():
    for key in rest:
      raise UnreadableModel(f'{folder / file}: {key!r} is one tensor too many')


def _check_cut(folder: Path, path: str, pieces: Sequence[Piece],
               shape: tuple[int, ...]) -> None:
  """Whether the pieces of a parameter, joined, have its shape."""
  row = 0
  for piece in pieces:
    if piece.first != row or piece.shape[1:] != shape[1:]:
      break
    row += piece.shape[0]
  else:
    if row == shape[0]:
      return
  raise UnreadableModel(f'{folder}: the pieces of {path!r} do not make an '
                        f'array of shape {shape}')


def verify(folder: Path, pieces: Pieces) -> None:
  """Reads everything once, and holds it to its hashes.

  Raises:
    UnreadableModel: naming the file and the tensor that has changed.
  """
  for own in pieces.values():
    for piece in own:
      read = functools.partial(_rows, folder, piece)
      if content.sha256(piece.shape, read) != piece.sha256:
        raise UnreadableModel(f'{folder / piece.file}: the bytes of '
                              f'{piece.key!r} are not those that were written')
