"""How the input is cut into parts, each the work of one process.

The cuts depend on the files alone, never on the number of processes, so what
comes out does not either.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.prepare import compressed
from data.text import corpus

JSON_LINES = ('.jsonl', '.ndjson')
PARQUET = '.parquet'

# Where nothing else is asked for, the input is cut into about PARTS, so that
# processes share it evenly and an interruption costs little, but not into
# crumbs. Each part makes a file for each split, which a reader holds open.
PARTS = 256
LEAST_PART_BYTES = 16 << 20
MOST_PARTS = 400


class Input(NamedTuple):
  """One input file; `size` in bytes, `modified` in nanoseconds."""

  path: Path
  size: int
  modified: int


class Piece(NamedTuple):
  """A stretch of one file.

  Attributes:
    path: the file.
    size: bytes of the whole file.
    start: the first byte (of Parquet: row), and
    stop: the one after the last; -1: up to the end. The lines of text that
      begin in the stretch belong to it.
    cost: bytes on disk, to measure progress by.
  """

  path: Path
  size: int
  start: int
  stop: int
  cost: int


class Part(NamedTuple):
  """Pieces that become one shard of each split."""

  number: int
  pieces: tuple[Piece, ...]

  @property
  def cost(self) -> int:
    """Bytes on disk."""
    return sum(piece.cost for piece in self.pieces)


def find(names: Sequence[str]) -> list[Input]:
  """The files that the command line names, those of folders in path order.

  Raises:
    InputError: nothing there, or of a kind that is not read.
  """
  found: list[Input] = []
  for name in names:
    try:
      path = Path(name).expanduser()
      files = corpus.walk(path, _readable) if path.is_dir() else [path]
      for file in files:
        status = file.stat()
        if not file.is_file():
          raise InputError(f'{file} is neither a file nor a folder; save the '
                           'text in a file')
        found.append(Input(file, status.st_size, status.st_mtime_ns))
    except (OSError, RuntimeError) as error:
      raise InputError(f'{name} cannot be read: '
                       f'{getattr(error, "strerror", None) or error}') from None
    if not files:
      raise InputError(f'{name} is a folder without a '
                       f'{", ".join(_suffixes())} file (each also .gz or .zst)')
  seen: set[Path] = set()
  for source in found:
    if kind(source.path) == '.json':
      raise InputError(f'{source.path}: a .json file is one value, not a line '
                       'for each document; convert it to JSON lines (.jsonl)')
    if (real := source.path.resolve()) in seen:
      raise InputError(f'{source.path} is named twice; its documents would '
                       'count twice')
    seen.add(real)
  return found


def kind(path: Path) -> str:
  """The suffix of a file without that of its compression, in lower case."""
  plain = path.with_suffix('') if is_compressed(path) else path
  return plain.suffix.lower()


def is_compressed(path: Path) -> bool:
  """Whether a file can only be read from its beginning."""
  return path.suffix.lower() in compressed.SUFFIXES


def plan(files: Sequence[Input], part_bytes: int | None) -> list[Part]:
  """Cuts files into parts.

  Small files share a part; a file that is larger than one is cut into equal
  stretches, unless it is compressed.

  Args:
    files: the input.
    part_bytes: least size of a part; None: see `PARTS`.

  Raises:
    InputError: more than `MOST_PARTS`, or a damaged Parquet file.
  """
  total = sum(file.size for file in files)
  size = part_bytes or max(LEAST_PART_BYTES, total // PARTS)
  parts = [Part(i, pieces) for i, pieces in enumerate(_grouped(files, size))]
  if len(parts) > MOST_PARTS:
    raise InputError(f'--shard-bytes={size} makes {len(parts)} shards; use at '
                     f'least {math.ceil(total / PARTS)}, or leave it out')
  return parts


def _grouped(files: Sequence[Input], size: int) -> Iterator[tuple[Piece, ...]]:
  """The pieces of each part."""
  group: list[Piece] = []
  held = 0
  for file in files:
    pieces = list(_pieces(file, size))
    if len(pieces) > 1 and group:  # stretches keep to themselves
      yield tuple(group)
      group, held = [], 0
    for piece in pieces:
      group.append(piece)
      held += piece.cost
      if held >= size or len(pieces) > 1:
        yield tuple(group)
        group, held = [], 0
  if group:
    yield tuple(group)


def _pieces(file: Input, size: int) -> Iterator[Piece]:
  """One piece, or as many as the file has times `size`; none if empty."""
  if kind(file.path) == PARQUET:
    from data.prepare import readers  # polars takes a while to import
    length = readers.rows(file.path)
  else:
    length = file.size
  if not length:
    return
  if is_compressed(file.path):
    yield Piece(file.path, file.size, 0, -1, file.size)
    return
  count = min(length, math.ceil(file.size / size)) if file.size > size else 1
  cuts = [length * i // count for i in range(count + 1)]
  for start, stop in itertools.pairwise(cuts):
    yield Piece(file.path, file.size, start, stop,
                file.size * (stop - start) // length)


def key(part: Part, files: Sequence[Input], settings: object) -> str:
  """What a finished part is recognised by: its input and the settings."""
  modified = {file.path: file.modified for file in files}
  pieces = [[str(p.path.resolve()), p.size, p.start, p.stop, modified[p.path]]
            for p in part.pieces]
  text = json.dumps([part.number, pieces, settings], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _readable(name: str) -> bool:
  for suffix in compressed.SUFFIXES:
    name = name.removesuffix(suffix)
  return name.endswith(_suffixes())


def _suffixes() -> tuple[str, ...]:
  return (*corpus.SUFFIXES, *JSON_LINES, PARQUET)
