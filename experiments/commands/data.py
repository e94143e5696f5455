"""Prepare a corpus of any size to train on, or verify one.

prepare writes text into a folder that --config.data.text_path=FOLDER trains on.
INPUT: text, .jsonl or .parquet files, or folders of them; text and .jsonl also
.gz or .zst. The same command again goes on where it was stopped.

verify compares every file of such a folder with its checksum, and names those
that are damaged; exit code 2 if there are any.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.commands.parser import whole
from experiments.machine import process
from experiments.machine.usage import UsageError, choose

if TYPE_CHECKING:
  from data.prepare.run import Settings

COMMANDS = ('prepare', 'verify')


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the actions."""
  parser.add_argument(
    'command', nargs='?', metavar='prepare|verify',
    help='fathom data prepare INPUT... --out=FOLDER, or '
    'fathom data verify FOLDER')
  parser.add_argument('inputs', nargs='*', metavar='INPUT',
                      help='files or folders to prepare; folder to verify')
  parser.add_argument('--out', type=_path, metavar='FOLDER',
                      help='where to write')
  parser.add_argument(
    '--tokenizer', metavar='NAME', help='bytes; unigram or bpe (trained on a '
    'sample); a SentencePiece .model, a Hugging Face tokenizer.json '
    '(default: bytes)')
  parser.add_argument(
    '--vocab-size', type=whole(1), metavar='N',
    help='of a tokenizer that is trained here (default: 8192)')
  parser.add_argument('--field', metavar='NAME',
                      help='field or column of the text (default: text)')
  parser.add_argument(
    '--held-out', type=float, metavar='SHARE',
    help='of the documents, that goes to validation (default: 0.1)')
  parser.add_argument(
    '--max-bad', type=_share, default=0.01, metavar='SHARE',
    help='of the lines, that may be malformed and left out (default: 0.01)')
  parser.add_argument(
    '--workers', type=whole(1), default=len(process.cores()), metavar='N',
    help='processes (default: one for each core)')
  parser.add_argument(
    '--shard-bytes', type=whole(1), metavar='N',
    help='least input of a shard (default: a 256th of all, at least 16 MiB)')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prepares or verifies; the exit code."""
  if options.command is None:
    raise UsageError('say what to do: fathom data prepare INPUT... '
                     '--out=FOLDER, or fathom data verify FOLDER')
  choose('data command', options.command, COMMANDS)
  return _prepare(options) if options.command == 'prepare' else _verify(options)


def _prepare(options: argparse.Namespace) -> int:
  from data.errors import InputError
  from data.prepare import run
  from data.prepare.malformed import SHOWN_LINES
  from data.text import leak, shards
  settings = _settings(options)
  folder, started = options.out, time.monotonic()
  try:
    malformed = _shown(lambda update: run.prepare(
      options.inputs, folder, settings, options.workers, options.max_bad,
      update))
  except InputError as error:
    raise InputError(_as_flags(str(error))) from None
  except OSError as error:
    raise OSError(f'{error}; what is finished is kept, so mend this and run '
                  'the same command again') from None
  index = shards.read_index(folder)
  for split in shards.SPLITS:
    print(f'{split}: ' + ', '.join(
      f'{sum(shard[unit] for shard in index["shards"][split]):,} {unit}'
      for unit in ('documents', 'tokens', 'bytes')))
  print(*leak.sentences(shards.facts(index)), sep='\n')
  if malformed.count:
    print(f'{malformed.count:,} of {malformed.lines:,} lines were malformed '
          f'and left out; {folder / shards.REPORT} names them. The first:')
    print(*(f'  {line}' for line in malformed.first[:SHOWN_LINES]),
          sep='\n')
  print(f'Prepared in {time.monotonic() - started:.1f} s: '
        f'--config.data.text_path={folder}')
  return 0


def _verify(options: argparse.Namespace) -> int:
  from data.errors import InputError
  from data.text import leak, shards
  if len(options.inputs) != 1:
    raise UsageError('name one folder: fathom data verify FOLDER')
  folder = _path(options.inputs[0])
  problems = shards.verify(folder)
  if problems:
    raise InputError(f'{folder} is damaged:\n  ' + '\n  '.join(problems)
                     + '\nCopy these again, or remove the folder and prepare '
                     'it again')
  print(f'{folder}: every file is as it was written.')
  print(*leak.sentences(shards.facts(shards.read_index(folder))), sep='\n')
  return 0


def _settings(options: argparse.Namespace) -> Settings:
  from data.prepare.run import Settings
  if not options.inputs:
    raise UsageError('name the files or folders to prepare')
  if not options.out:
    raise UsageError('--out is missing; name the folder to write')
  if options.held_out is not None and not 0 < options.held_out < 1:
    raise UsageError(f'--held-out={options.held_out} must lie between 0 and 1, '
                     'both excluded')
  given = {name: getattr(options, name) for name in (
    'tokenizer', 'vocab_size', 'field', 'held_out', 'shard_bytes')}
  return Settings(**{k: v for k, v in given.items() if v is not None})


def _shown(prepare: Any) -> Any:
  """What prepares gives, shown while it goes on."""
  import humanize

  from experiments.runs.display import Display

  def size(number: int) -> str:
    return humanize.naturalsize(number, binary=True)

  with Display('reading') as display:
    return prepare(lambda done, total: display.update(
      done / max(total, 1), f'{size(done)} of {size(total)}', 'read'))


def _as_flags(message: str) -> str:
  """A message of the data room in the words of this command."""
  return re.sub(r'\bdata\.source\.(tokenizer|vocab_size)',
                lambda m: '--' + m[1].replace('_', '-'), message)


def _path(text: str) -> Path:
  return Path(text).expanduser()


def _share(text: str) -> float:
  if not 0 <= float(text) <= 1:
    raise argparse.ArgumentTypeError(f'{text}: a share lies in 0 to 1')
  return float(text)
