"""Prepares a corpus: parts, processes, and what survives an interruption.

Each part (`parts.py`) is finished when its record, `parts/00007.json`, is there
and its shards have the sizes that it says. Then the training shards are
searched once for what is held out (`data/text/leak.py`), and the index is
written last. So the same command, after a kill at any moment, does the missing
parts and that search, and ends in the same bytes as without it, with any number
of processes.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock

from data import durable
from data.errors import InputError
from data.prepare import malformed, parts, pool, readers, work
from data.prepare.malformed import Malformed
from data.prepare.parts import Input, Part
from data.prepare.pool import Progress
from data.prepare.work import Job
from data.text import leak, sentence_piece, shards, tokenizer

# Raised when the same input makes other tokens than before.
VERSION = 1

LOCK = '.lock'
SAMPLE = 'tokenizer.sample'  # hash of what the tokenizer was trained on


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides which tokens come out of an input.

  Attributes:
    tokenizer: bytes, unigram, bpe, or the path of a .model or tokenizer.json.
    vocab_size: of a tokenizer that is trained here.
    field: of JSON lines and Parquet, the one that holds the text.
    held_out: share of the documents that go to validation.
    shard_bytes: least input of a shard; None: a 256th, at least 16 MiB.
  """

  tokenizer: str = 'bytes'
  vocab_size: int = 8192
  field: str = 'text'
  held_out: float = 0.1
  shard_bytes: int | None = None


def prepare(names: Sequence[str], folder: Path, settings: Settings,
            workers: int, max_bad: float,
            progress: Progress = lambda *_: None) -> Malformed:
  """Writes the corpus of some files to a folder, or goes on with it.

  Args:
    names: files and folders; see `readers` for what is read.
    folder: where to; new, or what an interrupted call left.
    settings: what decides the tokens.
    workers: processes; with 1, this one does the work.
    max_bad: the share of lines that may be malformed.
    progress: is called about twice a second.

  Returns:
    What was left out.

  Raises:
    InputError: input, settings or a folder that cannot be used, or more
      malformed lines than allowed; finished parts are kept.
    OSError: the disk is full, for example; finished parts are kept.
  """
  files = parts.find(names)
  planned = parts.plan(files, settings.shard_bytes)
  folder.mkdir(parents=True, exist_ok=True)
  lock = filelock.FileLock(folder / LOCK)
  try:
    with lock.acquire(timeout=0):
      _sweep(folder)
      if _is_finished(folder, files, settings):
        progress(1, 1)
      else:
        vocabulary = _vocabulary(folder, planned, settings)
        job = Job(folder, settings.field, settings.held_out, vocabulary,
                  vocabulary and shards.checksum(folder / vocabulary))
        records = _records(job, planned, files, settings, workers, max_bad,
                           progress)
        malformed.write(folder, files, malformed.add(planned, records))
        _write_index(job, settings, records, workers, progress)
      _tidy(folder)
      return malformed.read(folder)
  except filelock.Timeout:
    raise InputError(f'--out={folder}: another process is preparing this '
                     'corpus; wait for it, or choose another folder') from None


def _is_finished(folder: Path, files: Sequence[Input],
                 settings: Settings) -> bool:
  """Whether there is nothing left to do; notes what is asked for if there is.

  Raises:
    InputError: the folder holds something else.
  """
  request = {'version': VERSION, 'settings': _identity(settings),
             'files': [[str(f.path.resolve()), f.size, f.modified]
                       for f in files]}
  request = json.loads(json.dumps(request))
  known = durable.read_json(folder / shards.REQUEST)
  finished = (folder / shards.INDEX).exists()
  begun = finished or any((folder / work.RECORDS).glob('*.json'))
  if known == request:
    return finished
  if known is None and any(
      name.name != LOCK and not name.name.endswith(durable.PARTIAL)
      for name in folder.iterdir()):
    raise InputError(f'--out={folder} is not empty; choose another folder')
  if known is not None:
    differs = [name for name, value in request['settings'].items()
               if known.get('settings', {}).get(name) != value]
    if known.get('version') != VERSION:
      differs = ['version of fathom']
    if finished:
      differs = differs or ['input']
    if differs and begun:
      raise InputError(
        f'--out={folder} holds a corpus that was prepared with another '
        f'{differs[0]}; choose another folder, or remove this one')
  durable.write_json(folder / shards.REQUEST, request)
  return False


def _identity(settings: Settings) -> dict[str, Any]:
  """The settings by what they mean: a vocabulary's content, not its path."""
  values = dataclasses.asdict(settings)
  if settings.tokenizer not in ('bytes', *tokenizer.TRAINED):
    model, _ = tokenizer.read_model(settings.tokenizer)
    values['tokenizer'] = hashlib.sha256(model).hexdigest()
  if settings.tokenizer not in tokenizer.TRAINED:
    del values['vocab_size']
  return values


def _vocabulary(folder: Path, planned: Sequence[Part],
                settings: Settings) -> str:
  """Puts the tokenizer's file into the folder; returns its name."""
  if settings.tokenizer == 'bytes':
    return ''
  if settings.tokenizer in tokenizer.TRAINED:
    name, sample = 'tokenizer.model', _sample(planned, settings)
    digest = hashlib.sha256('\0'.join(sample).encode()).hexdigest()
    mark = folder / SAMPLE
    if (folder / name).exists() and durable.read_json(mark) == digest:
      return name
    model = sentence_piece.train(
      sample, settings.tokenizer, settings.vocab_size)
  else:
    model, origin = tokenizer.read_model(settings.tokenizer)
    tokenizer.opened(model, origin)  # raises what is wrong with it
    name = ('tokenizer.json' if origin.endswith('.json') else 'tokenizer.model')
  with durable.written(folder / name) as file:
    file.write(model)
  if settings.tokenizer in tokenizer.TRAINED:
    durable.write_json(mark, digest)
  return name


def _sample(planned: Sequence[Part], settings: Settings) -> list[str]:
  """Training documents from the beginning of every part, in equal shares."""
  sample = []
  share = sentence_piece.TRAINING_BYTES // max(len(planned), 1)
  for part in planned:
    room = share
    for line in (line for piece in part.pieces
                 for line in readers.read(piece, settings.field, _ignore)):
      text = line.text.encode()
      if text and not work.is_held_out(text, settings.held_out):
        sample.append(line.text)
        room -= len(text)
      if room <= 0:
        break
  if not sample:
    raise InputError(f'--tokenizer={settings.tokenizer}: there is no text to '
                     'train it on; name files that hold some')
  return sample


def _ignore(_: int) -> None:
  """The sample is a small part of the work."""


def _records(job: Job, planned: Sequence[Part], files: Sequence[Input],
             settings: Settings, workers: int, max_bad: float,
             progress: Progress) -> list[dict[str, Any]]:
  """Finishes the parts that are missing; returns the record of each.

  Raises:
    InputError: more than `max_bad` of the lines up to a part are malformed.
      Parts are judged in order, so this does not depend on `workers`.
  """
  shaping = [VERSION, _identity(settings), job.checksum]
  (job.folder / work.RECORDS).mkdir(exist_ok=True)
  keys = [parts.key(part, files, shaping) for part in planned]
  done = [work.finished(job.folder, part, key)
          for part, key in zip(planned, keys)]
  missing = [(part, key) for part, key, record in zip(planned, keys, done)
             if record is None]
  records: list[dict[str, Any]] = []
  with contextlib.closing(pool.run(
      job, missing, workers, sum(part.cost for part in planned),
      progress)) as prepared:
    for record in done:
      records.append(next(prepared) if record is None else record)
      malformed.judge(job.folder, files, malformed.add(planned, records),
                      max_bad, complete=len(records) == len(planned))
  return records


def _write_index(job: Job, settings: Settings,
                 records: Sequence[dict[str, Any]], workers: int,
                 progress: Progress) -> None:
  """Declares the corpus complete.

  Raises:
    InputError: a split that no document fell into, or nothing to score.
  """
  tokens = work.open_tokenizer(job)
  found = {split: [record['shards'][split] for record in records
                   if split in record['shards']] for split in shards.SPLITS}
  for split, its in found.items():
    if not its:
      documents = sum(shard['documents'] for other in found.values()
                      for shard in other)
      raise InputError(
        f'--held-out={settings.held_out}: of {documents} documents none went '
        f'to {split}; give more text, or another share')
  index = {
    'schema': shards.SCHEMA, 'version': VERSION,
    'settings': _identity(settings), 'vocabulary': job.vocabulary,
    'tokenizer': tokens.name, 'vocab_size': tokens.vocab_size, 'shards': found,
    'scored': _write_scored(job, found, workers, progress)}
  durable.write_json(job.folder / shards.INDEX, {
    **index, 'fingerprint': shards.fingerprint(index)})


def _write_scored(job: Job, files: dict[str, list[dict[str, Any]]],
                  workers: int, progress: Progress) -> dict[str, Any]:
  """Writes which held-out tokens are scored; returns what an index says of it.

  Here `workers` are threads, since they share what is held out, and `progress`
  is told bytes of shards.

  Raises:
    InputError: all held-out text is in the training text.
  """
  tokens = work.open_tokenizer(job)
  kind = shards.dtype(tokens.vocab_size)
  training, held_out = (shards.Stream(job.folder, files[split], kind)
                        for split in shards.SPLITS)
  done = 0

  def advance(count: int) -> None:
    nonlocal done
    done += count * kind.itemsize
    progress(done, len(training) * kind.itemsize)

  scored = leak.scored(tokens, held_out.shards, training.shards, workers,
                       advance)
  if not scored.any():
    raise InputError(
      'every held-out byte lies in a copy of training text, of '
      f'{leak.SHINGLE} bytes or more, so there is nothing to score; give other '
      'text, or another --held-out')
  path = job.folder / shards.SCORED
  with durable.written(path) as file:
    file.write(scored.tobytes())
  return {'file': path.name, 'size': len(scored),
          'sha256': shards.checksum(path),
          **leak.share(tokens, held_out.shards, scored)}


def _sweep(folder: Path) -> None:
  """Removes what a killed process was writing."""
  for path in folder.rglob(f'.*{durable.PARTIAL}'):
    path.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
  """Removes what a finished corpus has no use for."""
  index = shards.read_index(folder)
  kept = {shard['file'] for its in index['shards'].values() for shard in its}
  for split in shards.SPLITS:
    for path in folder.glob(f'{split}-*.bin'):
      if path.name not in kept:
        path.unlink()
  (folder / SAMPLE).unlink(missing_ok=True)
  shutil.rmtree(folder / work.RECORDS, ignore_errors=True)
