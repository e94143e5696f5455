"""Prepared corpora: token shards on disk, read through memory maps.

`fathom data prepare` writes a folder:

    corpus.index.json      what is here; written last, so a folder with one is
                           complete
    train-00000.bin …      token ids, nothing else, little-endian, uint16 where
    validation-00000.bin   the vocabulary fits, else uint32
    scored.bin             for each held-out token a byte, 1 where it stands for
                           text that is not in the training text, see `leak`
    tokenizer.model|json   the vocabulary; none for bytes
    corpus.report.json     the input, and which lines were malformed
    corpus.request.json    what was asked for, so that it can be resumed

A shard is raw, without a header as in .npy, because its length is not known
before its last token is written; the index knows it, and a checksum. The
shards of a split, in order, are one stream: every document after a separator.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from data.errors import InputError
from data.text import tokenizer as tokenizers
from data.text.tokenizer import Tokenizer

SCHEMA = 2
SPLITS = ('train', 'validation')
SCORED = 'scored.bin'
INDEX = 'corpus.index.json'
REQUEST = 'corpus.request.json'
REPORT = 'corpus.report.json'


class Stream:
  """The tokens of one split: many shards as one array that stays on disk.

  Attributes:
    dtype: of the tokens.
    shards: the tokens of each, (tokens,).
  """

  def __init__(self, folder: Path, shards: list[dict[str, Any]],
               dtype: np.dtype):
    """Maps the shards; their sizes have been checked."""
    self.dtype = dtype
    self.shards = [np.memmap(folder / shard['file'], dtype, mode='r')
                   for shard in shards]
    self._ends = list(itertools.accumulate(map(len, self.shards)))

  def __len__(self) -> int:
    return self._ends[-1]

  def whole(self) -> np.ndarray:
    """All tokens in memory, (tokens,)."""
    return np.concatenate(self.shards)

  def windows(self, start_B: np.ndarray, length: int) -> np.ndarray:
    """Stretches of the stream, which may lie across shards.

    Args:
      start_B: int64, where each begins; 0 or more.
      length: tokens in each.

    Returns:
      int32, (B, length). Past the end the last token is repeated.
    """
    window_BT = np.empty((len(start_B), length), np.int32)
    for row, start in zip(window_BT, start_B.tolist()):
      self._read(start, row)
    return window_BT

  def _read(self, start: int, row: np.ndarray) -> None:
    filled = 0
    shard = np.searchsorted(self._ends, start, side='right')
    while filled < len(row):
      if shard == len(self.shards):
        row[filled:] = self.shards[-1][-1]
        return
      at = start + filled - (self._ends[shard] - len(self.shards[shard]))
      found = self.shards[shard][at:at + len(row) - filled]
      row[filled:filled + len(found)] = found
      filled += len(found)
      shard += 1


class Corpus:
  """A prepared corpus.

  Attributes:
    index: the content of `corpus.index.json`.
    tokenizer: text to ids and back.
    streams: the tokens of each split.
    scored: bool, of each held-out token whether it has bytes, and none that
      are in the training text too.
    fingerprint: sha256 over the index, and so over every token, the tokenizer
      and all that shaped them.
  """

  def __init__(self, folder: Path):
    """Opens a folder, and checks the size of each file against the index.

    Raises:
      InputError: no prepared corpus, one of another version, or a file that
        is missing, cut off, or has something appended.
    """
    self.index = read_index(folder)
    self.fingerprint: str = self.index['fingerprint']
    for shard in _files(self.index):
      if problem := _wrong_size(folder, shard):
        _refuse(folder, problem)
    self.tokenizer = open_tokenizer(folder, self.index['vocabulary'])
    if self.tokenizer.vocab_size != self.index['vocab_size']:
      _refuse(folder, f'{self.index["vocabulary"]} has '
              f'{self.tokenizer.vocab_size} ids, and the index says '
              f'{self.index["vocab_size"]}')
    kind = dtype(self.index['vocab_size'])
    self.streams = {split: Stream(folder, self.index['shards'][split], kind)
                    for split in SPLITS}
    self.scored = np.memmap(folder / SCORED, bool, mode='r')


def is_prepared(path: str) -> bool:
  """Whether a path is a prepared corpus, be it unfinished or damaged."""
  if not path:
    return False
  # Those of os.path say no, where those of Path raise.
  folder = os.path.expanduser(path)
  return any(os.path.exists(os.path.join(folder, name))
             for name in (INDEX, REQUEST))


def dtype(vocab_size: int) -> np.dtype:
  """How token ids are stored."""
  return np.dtype('<u2' if vocab_size <= 2**16 else '<u4')


def file_name(split: str, number: int) -> str:
  """What a shard is called."""
  return f'{split}-{number:05}.bin'


def open_tokenizer(folder: Path, vocabulary: str) -> Tokenizer:
  """The tokenizer of a prepared corpus; '' stands for bytes.

  Raises:
    InputError: its file is missing or damaged.
  """
  if not vocabulary:
    return tokenizers.ByteTokenizer()
  return tokenizers.opened(*tokenizers.read_model(str(folder / vocabulary)))


def fingerprint(index: Mapping[str, Any]) -> str:
  """The hash of an index, without the fingerprint that it holds."""
  rest = {k: v for k, v in index.items() if k != 'fingerprint'}
  return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_index(folder: Path) -> dict[str, Any]:
  """The index of a prepared corpus.

  Raises:
    InputError: it is missing, damaged, or of another version.
  """
  path = folder / INDEX
  try:
    index = json.loads(path.read_bytes())
  except FileNotFoundError:
    if (folder / REQUEST).exists():
      _refuse(folder, 'the preparation is not finished', 'run the same '
              '`fathom data prepare` again')
    if not folder.exists():
      raise InputError(f'{folder}: no such folder; fathom data prepare makes '
                       'one') from None
    _refuse(folder, f'{INDEX} is missing')
  except OSError as error:
    _refuse(folder, f'{INDEX} cannot be read: {error.strerror}')
  except ValueError:
    _refuse(folder, f'{INDEX} is damaged')
  if not isinstance(index, dict) or 'schema' not in index:
    _refuse(folder, f'{INDEX} is damaged')
  if index['schema'] != SCHEMA:
    _refuse(folder, f'{INDEX} has schema {index["schema"]}, and this version '
            f'of fathom reads {SCHEMA}')
  if index.get('fingerprint') != fingerprint(index):
    _refuse(folder, f'{INDEX} is damaged')
  return index


def verify(folder: Path) -> list[str]:
  """Compares every file of a prepared corpus with its checksum.

  Returns:
    One sentence for each file that is missing or damaged.

  Raises:
    InputError: there is no index to compare with.
  """
  index = read_index(folder)
  problems = []
  for file in _files(index):
    problem = _wrong_size(folder, file)
    if not problem and checksum(folder / file['file']) != file['sha256']:
      problem = f'{file["file"]} is damaged: its checksum differs'
    problems += [problem] if problem else []
  if name := index['vocabulary']:
    path = folder / name
    if not path.is_file():
      problems.append(f'{name} is missing')
    elif checksum(path) != index['tokenizer']:
      problems.append(f'{name} is damaged: its checksum differs')
  return problems


def facts(index: Mapping[str, Any]) -> dict[str, Any]:
  """What a manifest keeps of a prepared corpus, as it does of other text."""
  each = [shard for split in SPLITS for shard in index['shards'][split]]
  return {
    'sha256': index['fingerprint'], 'tokenizer': index['tokenizer'],
    **{name: sum(shard[name] for shard in each)
       for name in ('documents', 'bytes')},
    **{name: index['scored'][name] for name in ('held_out_bytes', 'left_out')}}


def _files(index: Mapping[str, Any]) -> list[dict[str, Any]]:
  return [*(shard for split in SPLITS for shard in index['shards'][split]),
          index['scored']]


def _wrong_size(folder: Path, file: Mapping[str, Any]) -> str:
  """What is wrong with the size of a file; '' if nothing is."""
  try:
    size = (folder / file['file']).stat().st_size
  except FileNotFoundError:
    return f'{file["file"]} is missing'
  if size == file['size']:
    return ''
  verb = 'is cut off' if size < file['size'] else 'is too long'
  return f'{file["file"]} {verb}: {size} bytes, not {file["size"]}'


def checksum(path: Path) -> str:
  """The sha256 of a file, which is never in memory as a whole."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _refuse(folder: Path, problem: str, fix: str = 'copy it again, or remove '
            'the folder and prepare it again') -> NoReturn:
  raise InputError(f'{folder}: {problem}; {fix}') from None
