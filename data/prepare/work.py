"""What one process does with one part of the input: tokens on disk."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data import durable
from data.errors import InputError
from data.prepare import readers
from data.prepare.parts import Part
from data.prepare.readers import Advance, Line
from data.text import shards
from data.text.tokenizer import Tokenizer

# A longer document is encoded in stretches, which end after a line where one
# does, since an encoder's memory grows with its input.
STRETCH_CHARACTERS = 1 << 18

RECORDS = 'parts'  # the folder of what is finished

FIRST_MALFORMED = 100  # of each part are reported one by one


@dataclasses.dataclass(frozen=True)
class Job:
  """What all parts have in common.

  Attributes:
    folder: where the shards go.
    field: of JSON lines and Parquet.
    held_out: share of documents for validation.
    vocabulary: the tokenizer's file in `folder`; '': bytes.
    checksum: of that file.
  """

  folder: Path
  field: str
  held_out: float
  vocabulary: str
  checksum: str


def is_held_out(text: bytes, held_out: float) -> bool:
  """Whether a document is for validation: a hash of what it says decides.

  So neither its place nor the number of processes matters, and a document
  that is there twice is not in both splits.
  """
  digest = hashlib.blake2b(text, digest_size=8, person=b'fathom split').digest()
  return int.from_bytes(digest, 'big') < held_out * 2**64


@functools.lru_cache(1)
def open_tokenizer(job: Job) -> Tokenizer:
  """The tokenizer, opened once in each process."""
  return shards.open_tokenizer(job.folder, job.vocabulary)


def finished(folder: Path, part: Part, key: str) -> dict[str, Any] | None:
  """The record of a part, or None if it has to be done (again).

  Args:
    folder: where the shards are.
    part: which.
    key: of its input and settings, as they are now.
  """
  record = durable.read_json(_record(folder, part))
  if not record or record['key'] != key:
    return None
  for shard in record['shards'].values():
    path = folder / shard['file']
    if not path.exists() or path.stat().st_size != shard['size']:
      return None
  return record


def _record(folder: Path, part: Part) -> Path:
  return folder / RECORDS / f'{part.number:05}.json'


def run(job: Job, part: Part, key: str, advance: Advance) -> dict[str, Any]:
  """Reads, splits, encodes and writes one part, and its record last.

  Returns:
    The record: `key`; `shards`, {split: what an index says of a shard},
    without empty ones; `lines` of each piece; `malformed`, a count for each
    problem and the first few as [piece, line, problem, detail].

  Raises:
    InputError: a damaged file.
    OSError: a file cannot be read, or a shard not be written.
  """
  tokens = open_tokenizer(job)
  lines = [0] * len(part.pieces)
  problems: collections.Counter[str] = collections.Counter()
  first: list[tuple[int, int, str, str]] = []
  paths = {split: job.folder / shards.file_name(split, part.number)
           for split in shards.SPLITS}
  with contextlib.ExitStack() as stack:
    outputs = {
      split: _Shard(stack.enter_context(durable.written(path)), tokens)
      for split, path in paths.items()}
    for i, piece in enumerate(part.pieces):
      for line in readers.read(piece, job.field, advance):
        lines[i] = max(lines[i], line.number)
        if not line.problem:
          line = _encode(line, tokens, outputs, job.held_out)
        if line.problem:
          problems[line.problem] += 1
          if len(first) < FIRST_MALFORMED:
            first.append((i, line.number, line.problem, line.detail[:200]))
  for split, shard in outputs.items():
    if not shard.documents:
      paths[split].unlink()
  record = {
    'key': key,
    'shards': {split: shard.summary(paths[split].name)
               for split, shard in outputs.items() if shard.documents},
    'lines': lines,
    'malformed': {'problems': dict(problems), 'first': first}}
  durable.write_json(_record(job.folder, part), record)
  return record


def _encode(line: Line, tokens: Tokenizer, outputs: dict[str, '_Shard'],
            held_out: float) -> Line:
  """Adds a document to its split; says so if the tokenizer cannot keep it."""
  text = line.text.encode()
  try:
    ids = [tokens.encode(stretch) for stretch in stretches(line.text)]
  except InputError as error:
    return Line(line.number, '', 'changed by the tokenizer', str(error))
  split = 'validation' if is_held_out(text, held_out) else 'train'
  outputs[split].add(ids, len(text))
  return line


def stretches(text: str) -> list[str]:
  """Cuts a long text after the last line that fits, or anywhere."""
  found, at = [], 0
  while len(text) - at > STRETCH_CHARACTERS:
    end = at + STRETCH_CHARACTERS
    line = text.rfind('\n', at + 1, end) + 1
    end = line if line > at else end
    found.append(text[at:end])
    at = end
  return [*found, text[at:]]


class _Shard:
  """The tokens of one split of one part, on their way to a file.

  Attributes:
    documents: how many were added.
  """

  def __init__(self, file: BinaryIO, tokens: Tokenizer):
    self._file = file
    self._dtype = shards.dtype(tokens.vocab_size)
    self._separator = np.array([tokens.separator], np.int32)
    self._digest = hashlib.sha256()
    self._tokens = self._bytes = self.documents = 0

  def add(self, ids: list[np.ndarray], size: int) -> None:
    """Writes a document of `size` bytes, after a separator."""
    for stretch in (self._separator, *ids):
      raw = stretch.astype(self._dtype).tobytes()
      self._file.write(raw)
      self._digest.update(raw)
      self._tokens += len(stretch)
    self.documents += 1
    self._bytes += size

  def summary(self, name: str) -> dict[str, Any]:
    """What an index says of it."""
    return {'file': name, 'size': self._tokens * self._dtype.itemsize,
            'tokens': self._tokens, 'bytes': self._bytes,
            'documents': self.documents, 'sha256': self._digest.hexdigest()}
