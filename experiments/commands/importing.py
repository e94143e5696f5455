"""Import a pretrained model into a folder, and prove that it is right.

PATH is a Hugging Face folder (config.json, *.safetensors) or a .gguf file;
nothing is fetched, and nothing in it is executed. DIR gets the parameters in
float32, the vocabulary, a hash of every tensor and a fingerprint of the whole.

Where transformers and torch are installed (pip install -e '.[parity]'), both
compute the same text, and what they give is compared. Exit code 1: they differ
by more than rounding.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.parser import path, read_text
from experiments.machine import memory, usage
from experiments.machine.usage import UsageError

if TYPE_CHECKING:
  from experiments.exchange.folder import Imported
  from experiments.exchange.original import Original


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('path', nargs='?', type=path, metavar='PATH',
                      help='the model')
  parser.add_argument('--out', type=path, metavar='DIR', help='where to write')
  parser.add_argument(
    '--text', type=path, metavar='FILE',
    help='to compare on (default: a page of the documentation of Python)')
  parser.add_argument('--no-parity', action='store_true',
                      help='do not compare with transformers')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Imports and compares; the exit code."""
  if not options.path:
    raise UsageError('name a model: fathom import PATH --out=DIR')
  if not options.out:
    raise UsageError('--out is missing; name the folder to write')
  from experiments.exchange import folder, parity
  from experiments.exchange.opening import opened
  from experiments.exchange.original import Original
  text = read_text('--text', options.text) if options.text else parity.PASSAGE
  started = time.monotonic()
  source = opened(options.path)
  if not isinstance(source, Original):
    raise UsageError(f'{options.path} is imported already; use it as it is')
  _check_tokenizer(source)
  model = _imported(source, options.out)
  seconds, peak = time.monotonic() - started, memory.peak_bytes()
  for name, value in _facts(source, model, seconds, peak).items():
    print(f'{name:<12} {value}')
  for sentence in folder.twins(model):
    print(f'WARNING      {sentence}')
  return 0 if options.no_parity else _compare(model, source, text)


def _imported(source: Original, out: Path) -> Imported:
  """The folder, which may be there already."""
  from experiments.exchange import folder
  from experiments.runs.display import Display
  if (out / folder.RECORD).exists():
    model = folder.read(out)
    if model.fingerprint != source.fingerprint:
      raise UsageError(f'--out={out} holds another model, imported from '
                       f'{model.source}; name another folder, or remove it')
    print('Done already.')
    return model
  with Display('import') as display:
    return folder.write(source, out, lambda share: display.update(
      share, f'{share:.0%} written', source.path.name))


def _facts(source: Original, model: Imported, seconds: float,
           peak: int) -> dict[str, str]:
  import humanize

  from model import count
  numbers = count.parameters(model.config).total
  size = 4 * numbers
  return {
    'family': model.family,
    'parameters': f'{numbers:,}',
    'stored as': model.stored,
    'left out': _listed(source.left_out),
    'tokenizer': source.unknown_vocabulary or _tokenizer(model),
    'fingerprint': model.fingerprint,
    'peak memory': f'{humanize.naturalsize(peak)}, {peak / size:.2f} times the '
                   f'parameters in float32 ({humanize.naturalsize(size)})',
    'time': f'{seconds:.1f} s',
    'folder': str(model.path)}


def _listed(names: tuple[str, ...]) -> str:
  if not names:
    return 'nothing'
  rest = f', and {len(names) - 4} more' if len(names) > 4 else ''
  return ', '.join(names[:4]) + rest


def _check_tokenizer(source: Original) -> None:
  """Refuses a damaged one before anything is written."""
  from data.errors import MissingPackage
  with contextlib.suppress(MissingPackage):
    if source.tokenizer:
      source.tokenizer.keeps  # noqa: B018


def _tokenizer(model: Imported) -> str:
  from data.errors import MissingPackage
  if model.tokenizer_file is None:
    return 'none'
  try:
    tokenizer = model.tokenizer
  except MissingPackage as error:
    return f'{model.tokenizer_file[0]}: {error}'
  assert tokenizer
  keeps = ('keeps every text' if tokenizer.keeps
           else 'alters texts, so there are no bits per byte')
  return (f'{model.tokenizer_file[0]}, {tokenizer.vocab_size:,} ids; {keeps}')


def _compare(model: Imported, source: Original, text: str) -> int:
  from data import durable
  from experiments.exchange import folder, parity
  if missing := parity.missing():
    print(f'{"parity":<12} not compared: {" and ".join(missing)} cannot be '
          "imported (pip install -e '.[parity]')")
    return 0
  print('Both compute the same text, which takes up to a minute.', flush=True)
  try:
    row = parity.compare(model, source, text)
  except parity.Unreadable as error:
    print(f'{"parity":<12} not compared: {error}')
    return 0
  durable.write_json(model.path / folder.PARITY,
                     {**row._asdict(), 'passed': row.passed})
  print(f'{"parity":<12} {row.sentence()}')
  return 0 if row.passed else usage.FAILED

