"""Look inside every layer of a model, and write a page to explore it.

MODEL is a run's folder or id, a folder that `fathom import` wrote, a Hugging
Face folder, or a .gguf file. A run without --text reads held-out examples of
its own source. What each instrument costs is said before it is taken (--plan:
and none is). A table, figures and report.html, one file that needs no network,
go to RUNS/probes/.

MODEL can also be an experiment (fathom list), a .py file of one, or the folder
where a sweep's results are: then the instruments are taken of each of its
finished runs, on held-out examples of its own source, and shown by n. What was
taken of a run is kept beside it, so the same command goes on where it was:
  fathom run depth && fathom probe depth
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.parser import (
  add_config,
  add_runs,
  add_size,
  add_workers,
  names,
  path,
  read_text,
  whole,
)
from experiments.machine import usage
from experiments.machine.usage import UsageError

if TYPE_CHECKING:
  from collections.abc import Mapping, Sequence

  from experiments.instruments.instrument import Instrument
  from experiments.sweeps.plan import Plan

TOKENS = 2000
WINDOW = 256
CALIBRATION = 4096  # enough for linear maps between some hundred dimensions
WORDS = Path('models/words')
ALL = 'all'
# Flags that say how a text is read.
OF_TEXT = ('tokens', 'window', 'calibration', 'calibration_tokens')


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add = parser.add_argument
  add('model', nargs='?', default='', metavar='MODEL', help='where it is')
  add('--text', type=path, metavar='FILE', help='what it is to read')
  add('--tokens', type=whole(2), metavar='N',
      help=f'of the text, from its beginning (default: {TOKENS})')
  add('--window', type=whole(8), metavar='N',
      help='tokens that are read in one go, and no more than the model can '
      f'(default: {WINDOW})')
  add('--instruments', type=names, default=(), metavar='A,B',
      help='which; all: every one (default: those with a * in --list)')
  add('--list', action='store_true', help='list the instruments, and stop')
  add('--plan', '--dry-run', action='store_true', dest='dry',
      help='say what they cost, and stop')
  add('--calibration', type=path, metavar='FILE',
      help='other text, which lenses are fitted on (default: the documentation '
      'of Python)')
  add('--calibration-tokens', type=whole(2), metavar='N',
      help=f'of it (default: {CALIBRATION})')
  add('--jacobian-tokens', type=whole(2), metavar='N',
      help='of these, for the Jacobian lens (default: 128)')
  add('--words', type=path, metavar='DIR',
      help='with simlex999.txt and wordsim353.tsv, for word-similarity '
      f'(default: {WORDS}, which `make models` fills)')
  add('--mesh', type=axes, default={}, metavar='AXIS=N,…',
      help='devices to split the model over, such as fsdp=4,tensor=2')
  add('--out', type=path, metavar='DIR', help='where to write')
  add_size(parser)
  add_workers(parser)
  add('--parent', type=int, help=argparse.SUPPRESS)  # of a worker
  add_runs(parser)
  add_config(parser)
  parser.set_defaults(act=act, plan=measurements)


def act(options: argparse.Namespace) -> int:
  """Takes the instruments and writes the page; the exit code."""
  from experiments.instruments import catalogue
  if options.list:
    print(*map(_line, catalogue.INSTRUMENTS), sep='\n')
    return 0
  if not options.model:
    raise UsageError('name a model: fathom probe MODEL --text=FILE')
  chosen = choose(options.instruments, catalogue.INSTRUMENTS)
  from experiments.commands import finished, probe_runs
  if finished.has_runs(options.model):
    return probe_runs.act(options, chosen)
  from experiments.commands import probe_model
  from experiments.runs import origin
  for flag in ('preset', 'strata', 'texts', 'workers'):
    if getattr(options, flag) not in (None, '', (), {}):
      raise UsageError(f'--{flag.replace("texts", "config")} belongs to an '
                       f'experiment, and {options.model} is none')
  if not origin.exists(options.model, options.runs):
    from experiments import claims
    raise UsageError(
      f'{options.model}: nothing is there; give {origin.WHAT}, or an '
      f'experiment{usage.nearest(options.model, claims.names())}')
  subject = None if options.text else origin.subject(options.model,
                                                     options.runs)
  if options.text is None and subject is None:
    raise UsageError('--text is missing; name a UTF-8 file that the model is '
                     'to read')
  for flag in OF_TEXT if subject else ():
    if getattr(options, flag):
      raise UsageError(f'--{flag.replace("_", "-")} goes with --text; without, '
                       'a run reads held-out examples of its own source')
  text = read_text('--text', options.text) if options.text else ''
  options.tokens = options.tokens or TOKENS
  options.window = options.window or WINDOW
  options.calibration_tokens = options.calibration_tokens or CALIBRATION
  options.words = options.words or (WORDS if WORDS.is_dir() else None)
  from experiments.machine import compiler, platforms
  platforms.check('auto')
  compiler.use_cache()
  model = origin.load(options.model, options.runs, options.mesh)
  print(model, flush=True)
  given = (probe_model.own(model, subject, options) if subject else
           probe_model.given_of(model, text, options))
  costs = probe_model.plan(given, chosen)
  if options.dry:
    return 0
  if not costs:
    raise UsageError('none of these instruments can be taken; name others '
                     '(--instruments; fathom probe --list)')
  return probe_model.perform(options, model, given, chosen, costs)


def measurements(options: argparse.Namespace) -> Plan:
  """What is taken of the runs of an experiment, for its workers."""
  from experiments.commands import probe_runs
  from experiments.instruments import catalogue
  return probe_runs.plan(options, choose(options.instruments,
                                         catalogue.INSTRUMENTS))


def choose(asked: Sequence[str],
           instruments: Sequence[Instrument]) -> list[Instrument]:
  """The instruments of these names, in the catalogue's order.

  Raises:
    UsageError: there is none of a name.
  """
  known = [one.name for one in instruments]
  for name in asked:
    usage.choose('instrument', name, [*known, ALL])
  return [one for one in instruments if (
    one.name in asked or ALL in asked or (not asked and one.default))]


def axes(text: str) -> Mapping[str, int]:
  """'fsdp=4,tensor=2' → {'fsdp': 4, 'tensor': 2}."""
  sizes: dict[str, int] = {}
  for part in names(text):
    axis, _, size = part.partition('=')
    if not size or axis in sizes:
      raise argparse.ArgumentTypeError(
        f'{part}: give each axis once, and its devices, as in fsdp=4,tensor=2')
    sizes[axis] = whole(1)(size)
  return sizes


def _line(one: Instrument) -> str:
  mark = '*' if one.default else ' '
  return f'{mark} {one.name:<20} {one.title} ({one.source})'
