"""Documents out of files, one at a time, and what cannot be read of them.

| file | a document is |
|---|---|
| `.jsonl`, `.ndjson` | the string under a field of the object on a line |
| `.parquet` | the string in a column of a row, which counts as a line |
| the rest | a file of at most 64 KiB; of a larger one, a stretch of lines |

A text file of more than 64 KiB is cut after the first blank line that makes a
document of at least a 64th of the file (4 KiB at least, 64 KiB at most), after
any line once it has four times that, and between any two characters at 1 MiB.
Each part of the input (`parts.py`) ends a document too. All but Parquet may be
compressed. Nothing is normalised: line endings and byte order marks of text
files stay.

Memory stays bounded, whatever the size of a file, of its lines, or of the row
groups of a Parquet file: see the constants.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from data.errors import InputError
from data.prepare import compressed, parts
from data.prepare.parts import Piece

WHOLE_FILE_BYTES = 64 << 10
LEAST_DOCUMENT_BYTES, LARGEST_DOCUMENT_BYTES = 4 << 10, 64 << 10
DOCUMENTS_PER_FILE = 64

TEXT_CHUNK_BYTES = 1 << 20  # a longer line of text comes in several chunks
JSON_LINE_BYTES = 32 << 20  # a longer line of JSON is malformed
PARQUET_SLICE_BYTES = 16 << 20  # rows that are decoded at a time

Advance = Callable[[int], None]  # is told of bytes on disk that were read


class Line(NamedTuple):
  """A document, or a line that holds none.

  Attributes:
    number: of the line, or of the last line of the document, counted from 1
      at the beginning of the piece.
    text: the document; '' if there is a problem.
    problem: '', or why the line is malformed, in one of a few wordings.
    detail: the rest of what there is to say.
  """

  number: int
  text: str
  problem: str = ''
  detail: str = ''


# Lines that begin in a piece: (number, bytes, whether they end the line).
Chunks = Iterator[tuple[int, bytes, bool]]


def read(piece: Piece, field: str, advance: Advance) -> Iterator[Line]:
  """Yields the documents and the malformed lines of a piece, in order.

  Args:
    piece: what to read.
    field: the field, or column, that holds the text.
    advance: called again and again with the bytes read since.

  Raises:
    InputError: the file is damaged, or has no such column.
    OSError: it cannot be read any more.
  """
  kind = parts.kind(piece.path)
  if kind == parts.PARQUET:
    yield from _rows(piece, field, advance)
    return
  with piece.path.open('rb') as raw:
    stream = compressed.opened(piece.path, raw)
    seen = 0
    limit = (JSON_LINE_BYTES if kind in parts.JSON_LINES else TEXT_CHUNK_BYTES)
    chunks = _chunks(stream, piece, limit)
    lines = (_objects(chunks, field) if kind in parts.JSON_LINES
             else _documents(chunks, piece.size))
    begin = piece.start
    try:
      for line in lines:
        seen = line.number
        yield line
        if (at := raw.tell()) != begin:
          advance(at - begin)
          begin = at
    except compressed.errors() as error:
      raise InputError(f'{piece.path} is damaged after line {seen} ({error}); '
                       'mend it or leave it out') from None


def _chunks(stream: BinaryIO, piece: Piece, limit: int) -> Chunks:
  position = piece.start
  if position:  # the line that lies across the start is of the piece before
    position -= 1
    stream.seek(position)
    ended = False
    while not ended:
      chunk = stream.readline(limit)
      position += len(chunk)
      ended = _ends(chunk, limit)
  number = 0
  while piece.stop < 0 or position < piece.stop:
    number, ended = number + 1, False
    while not ended:
      chunk = stream.readline(limit)
      position += len(chunk)
      ended = _ends(chunk, limit)
      if not chunk and ended:
        return
      yield number, chunk, ended


def _ends(chunk: bytes, limit: int) -> bool:
  return len(chunk) < limit or chunk.endswith(b'\n')


def _documents(chunks: Chunks, file_size: int) -> Iterator[Line]:
  """Cuts text into documents; see the head of this file."""
  size = min(max(file_size // DOCUMENTS_PER_FILE, LEAST_DOCUMENT_BYTES),
             LARGEST_DOCUMENT_BYTES)
  if file_size <= WHOLE_FILE_BYTES:
    size = TEXT_CHUNK_BYTES
  held: list[tuple[int, bytes]] = []
  length, rest = 0, b''
  for number, chunk, ended in chunks:
    chunk, rest = rest + chunk, b''
    if not ended:
      chunk, rest = _whole_characters(chunk)
    held.append((number, chunk))
    length += len(chunk)
    if (not ended or length >= TEXT_CHUNK_BYTES or length >= 4 * size
        or (length >= size and not chunk.strip())):
      yield from _document(held)
      held, length = [], 0
  if rest:
    held.append((number, rest))
  if held:
    yield from _document(held)


def _document(held: list[tuple[int, bytes]]) -> Iterator[Line]:
  """One document without its lines that are not UTF-8, after these."""
  try:
    yield Line(held[-1][0], b''.join(chunk for _, chunk in held).decode())
    return
  except UnicodeDecodeError:
    pass
  kept = []
  for number, chunk in held:
    try:
      kept.append(chunk.decode())
    except UnicodeDecodeError as error:
      yield _not_utf8(number, error)
  if kept:
    yield Line(held[-1][0], ''.join(kept))


def _whole_characters(chunk: bytes) -> tuple[bytes, bytes]:
  """Splits off a UTF-8 character at the end that may be cut short."""
  for back in range(1, min(4, len(chunk)) + 1):
    if chunk[-back] < 0x80:
      break
    if chunk[-back] >= 0xc0:
      return chunk[:-back], chunk[-back:]
  return chunk, b''


def _not_utf8(number: int, error: UnicodeDecodeError) -> Line:
  return Line(number, '', 'not UTF-8', f'byte {error.start + 1} of the line')


def _objects(chunks: Chunks, field: str) -> Iterator[Line]:
  too_long = False
  for number, chunk, ended in chunks:
    if ended:
      yield (Line(number, '', 'too long', f'over {JSON_LINE_BYTES} bytes')
             if too_long else _object(number, chunk, field))
    too_long = not ended


def _object(number: int, line: bytes, field: str) -> Line:
  try:
    text = line.decode()
  except UnicodeDecodeError as error:
    return _not_utf8(number, error)
  if not text.strip():
    return Line(number, '', 'empty', 'the line is blank')
  try:
    value = json.loads(text.removeprefix('\ufeff'))
  except (ValueError, RecursionError) as error:
    return Line(number, '', 'not JSON', str(error))
  if not isinstance(value, dict) or field not in value:
    return Line(number, '', 'no such field', repr(field))
  return _value(number, value[field], field)


def _value(number: int, value: Any, field: str) -> Line:
  """A line out of what its field holds."""
  if isinstance(value, bytes):
    try:
      value = value.decode()
    except UnicodeDecodeError as error:
      return _not_utf8(number, error)
  if not isinstance(value, str):
    found = 'null' if value is None else type(value).__name__
    return Line(number, '', 'not a string', f'{field!r} is {found}')
  if not value.strip():
    return Line(number, '', 'empty', f'{field!r} is blank')
  try:
    value.encode()
  except UnicodeEncodeError:  # JSON can spell half a surrogate pair
    return Line(number, '', 'not UTF-8', f'{field!r} has a lone surrogate')
  return Line(number, value)


def rows(path: Path) -> int:
  """The number of rows of a Parquet file.

  Raises:
    InputError: it is not one, or is damaged.
  """
  import polars as pl
  try:
    return pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
  except pl.exceptions.PolarsError as error:
    raise _damaged(path, error) from None


def _rows(piece: Piece, field: str, advance: Advance) -> Iterator[Line]:
  """Rows, some megabytes of them at a time, whatever a row group holds."""
  import polars as pl
  start, count = piece.start, 256
  try:
    table = pl.scan_parquet(piece.path, glob=False)
    schema = table.collect_schema()
    if schema.get(field) not in (pl.String, pl.Binary):
      raise InputError(
        f'{piece.path} has no column {field!r} of strings; --field names one '
        f'of {", ".join(schema.names())}')
    while start < piece.stop:
      taken = min(count, piece.stop - start)
      column = table.slice(start, taken).select(field).collect()[field]
      for i, value in enumerate(column):
        yield _value(start - piece.start + i + 1, value, field)
      start += taken
      advance(piece.cost * taken // (piece.stop - piece.start))
      size = max(int(column.estimated_size()), 1)
      count = max(1, min(PARQUET_SLICE_BYTES * taken // size, 4 * count))
  except pl.exceptions.PolarsError as error:
    raise _damaged(piece.path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
  reason = str(error).partition('\n')[0]
  return InputError(f'{path} is not a Parquet file, or is damaged ({reason})')
