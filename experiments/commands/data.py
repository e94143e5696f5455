"""`fathom data`: prepares corpora, and checks prepared ones."""

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import humanize
from absl import flags
from rich.console import Console
from rich.progress import (
  BarColumn,
  DownloadColumn,
  Progress,
  TextColumn,
  TimeRemainingColumn,
  TransferSpeedColumn,
)

from data.errors import InputError
from data.prepare import run
from data.prepare.malformed import SHOWN_LINES
from data.prepare.run import Settings
from data.text import leak, shards
from experiments.machine import process
from experiments.machine.usage import UsageError, choose

USAGE = '''\
usage: fathom data prepare INPUT... --out=FOLDER [--flag=value ...]
       fathom data verify FOLDER

Writes text into a folder that --config.data.text_path=FOLDER trains on. INPUT:
text, .jsonl or .parquet files, or folders of them; text and .jsonl also .gz or
.zst. The same command again goes on where it was stopped.

  --tokenizer=bytes    or unigram, bpe (trained on a sample), a SentencePiece
                       .model, a Hugging Face tokenizer.json
  --vocab-size=8192    of a tokenizer that is trained here
  --field=text         the field or column of the text
  --held-out=0.1       share of the documents that go to validation
  --max-bad=0.01       share of the lines that may be malformed and left out
  --workers=N          processes; by default one for each core
  --shard-bytes=N      least input of a shard; by default a 256th of all, at
                       least 16 MiB

verify compares every file with its checksum, and names those that are damaged;
exit code 2 if there are any.
'''

LINE_SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
  """Runs `fathom data`; returns the exit code."""
  if not arguments or arguments[0] in ('-h', '--help', 'help'):
    print(USAGE, end='')
    return 0 if arguments else 2
  choose('data command', arguments[0], list(COMMANDS))
  return COMMANDS[arguments[0]](arguments[1:])


def _prepare(arguments: Sequence[str]) -> int:
  names, folder, settings, workers, max_bad = _parse(arguments)
  started = time.monotonic()
  try:
    with Display() as display:
      malformed = run.prepare(names, folder, settings, workers, max_bad,
                              display.update)
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


def _verify(arguments: Sequence[str]) -> int:
  if len(arguments) != 1 or arguments[0].startswith('-'):
    raise UsageError('name one folder: fathom data verify FOLDER')
  folder = Path(arguments[0]).expanduser()
  problems = shards.verify(folder)
  if problems:
    raise InputError(f'{folder} is damaged:\n  ' + '\n  '.join(problems)
                     + '\nCopy these again, or remove the folder and prepare '
                     'it again')
  print(f'{folder}: every file is as it was written.')
  print(*leak.sentences(shards.facts(shards.read_index(folder))), sep='\n')
  return 0


COMMANDS = {'prepare': _prepare, 'verify': _verify}


def _parse(arguments: Sequence[str]
           ) -> tuple[list[str], Path, Settings, int, float]:
  default = Settings()
  values = flags.FlagValues()
  flags.DEFINE_string('out', '', 'Folder to write.', flag_values=values)
  flags.DEFINE_string('tokenizer', default.tokenizer, 'Kind or file.',
                      flag_values=values)
  flags.DEFINE_integer('vocab-size', default.vocab_size, 'Ids.', lower_bound=1,
                       flag_values=values)
  flags.DEFINE_string('field', default.field, 'Of the text.',
                      flag_values=values)
  flags.DEFINE_float('held-out', default.held_out, 'Share of documents.',
                     flag_values=values)
  flags.DEFINE_float('max-bad', 0.01, 'Share of lines.', lower_bound=0.0,
                     upper_bound=1.0, flag_values=values)
  flags.DEFINE_integer('workers', len(process.cores()), 'Processes.',
                       lower_bound=1, flag_values=values)
  flags.DEFINE_integer('shard-bytes', None, 'Least input of a shard.',
                       lower_bound=1, flag_values=values)
  names = values(['fathom', *arguments])[1:]
  if not names:
    raise UsageError('name the files or folders to prepare')
  if not values.out:
    raise UsageError('--out is missing; name the folder to write')
  given = values.flag_values_dict()
  held_out = given['held-out']
  if not 0 < held_out < 1:
    raise UsageError(f'--held-out={held_out} must lie between 0 and 1, both '
                     'excluded')
  settings = Settings(given['tokenizer'], given['vocab-size'], given['field'],
                      held_out, given['shard-bytes'])
  return (names, Path(os.path.expanduser(values.out)), settings,
          given['workers'], given['max-bad'])


def _as_flags(message: str) -> str:
  """A message of the data room in the words of this command."""
  return re.sub(r'\bdata\.source\.(tokenizer|vocab_size)',
                lambda m: '--' + m[1].replace('_', '-'), message)


class Display:
  """Bytes of input that were read: a bar on a terminal, else plain lines."""

  def __init__(self) -> None:
    self._bar: Progress | None = None
    self._last_line = self._started = time.monotonic()

  def __enter__(self) -> 'Display':
    if sys.stdout.isatty():
      self._bar = Progress(
        TextColumn('reading'), BarColumn(), DownloadColumn(binary_units=True),
        TransferSpeedColumn(), TimeRemainingColumn(), console=Console())
      self._bar.start()
      self._task = self._bar.add_task('reading', total=None)
    return self

  def __exit__(self, *_: object) -> None:
    if self._bar:
      self._bar.stop()

  def update(self, done: int, total: int) -> None:
    """Shows how many bytes are done."""
    if self._bar:
      self._bar.update(self._task, completed=done, total=total)
      return
    now = time.monotonic()
    if now - self._last_line < LINE_SECONDS:
      return
    self._last_line = now
    print(f'{humanize.naturalsize(done, binary=True)} of '
          f'{humanize.naturalsize(total, binary=True)} read, '
          f'{now - self._started:.0f} s gone', flush=True)
