"""Look inside every layer of a model, and write a page to explore it.

MODEL is a run's folder or id, a folder that `fathom import` wrote, a Hugging
Face folder, or a .gguf file. What each instrument costs is said before it is
taken (--plan: and none is). A table, figures and report.html, one file that
needs no network, go to RUNS/probes/.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.parser import (
  add_runs,
  names,
  path,
  read_text,
  whole,
)
from experiments.machine import usage
from experiments.machine.usage import UsageError

if TYPE_CHECKING:
  from collections.abc import Mapping, Sequence

  from experiments.instruments.instrument import Given, Instrument
  from experiments.runs.loaded import Model

TOKENS = 2000
WINDOW = 256
CALIBRATION = 4096  # enough for linear maps between some hundred dimensions
WORDS = Path('models/words')
ALL = 'all'
PROSE = 'the documentation of Python'


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add = parser.add_argument
  add('model', nargs='?', default='', metavar='MODEL', help='where it is')
  add('--text', type=path, metavar='FILE', help='what it is to read')
  add('--tokens', type=whole(2), default=TOKENS, metavar='N',
      help=f'of the text, from its beginning (default: {TOKENS})')
  add('--window', type=whole(8), default=WINDOW, metavar='N',
      help=f'tokens that are read in one go (default: {WINDOW})')
  add('--instruments', type=names, default=(), metavar='A,B',
      help='which; all: every one (default: those with a * in --list)')
  add('--list', action='store_true', help='list the instruments, and stop')
  add('--plan', action='store_true', help='say what they cost, and stop')
  add('--calibration', type=path, metavar='FILE',
      help=f'other text, which lenses are fitted on (default: {PROSE})')
  add('--calibration-tokens', type=whole(2), default=CALIBRATION, metavar='N',
      help=f'of it (default: {CALIBRATION})')
  add('--jacobian-tokens', type=whole(2), metavar='N',
      help='of these, for the Jacobian lens (default: 128)')
  add('--words', type=path, metavar='DIR',
      help='with simlex999.txt and wordsim353.tsv, for word-similarity '
      f'(default: {WORDS}, which `make models` fills)')
  add('--mesh', type=axes, default={}, metavar='AXIS=N,…',
      help='devices to split the model over, such as fsdp=4,tensor=2')
  add('--out', type=path, metavar='DIR', help='where to write')
  add_runs(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Takes the instruments and writes the page; the exit code."""
  from experiments.instruments import catalogue
  if options.list:
    print(*map(_line, catalogue.INSTRUMENTS), sep='\n')
    return 0
  if not options.model:
    raise UsageError('name a model: fathom probe MODEL --text=FILE')
  chosen = choose(options.instruments, catalogue.INSTRUMENTS)
  if options.text is None:
    raise UsageError('--text is missing; name a UTF-8 file that the model is '
                     'to read')
  text = read_text('--text', options.text)
  from experiments.machine import compiler, platforms
  platforms.check('auto')
  compiler.use_cache()
  from experiments.runs import origin
  model = origin.load(options.model, options.runs, options.mesh)
  print(model, flush=True)
  given = given_of(model, text, options)
  costs = plan(given, chosen)
  return 0 if options.plan else perform(options, model, given, chosen, costs)


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
  pairs = [part.partition('=') for part in names(text)]
  return {axis: whole(1)(size) for axis, _, size in pairs}


def _line(one: Instrument) -> str:
  mark = '*' if one.default else ' '
  return f'{mark} {one.name:<20} {one.title} ({one.source})'


def given_of(model: Model, text: str, options: argparse.Namespace) -> Given:
  """What the instruments are handed.

  Raises:
    UsageError: a text that the model cannot read.
  """
  from data.text import corpus
  from experiments.instruments import instrument, texts
  from experiments.instruments.network import Network
  other = (read_text('--calibration', options.calibration)
           if options.calibration else '\n\n'.join(corpus.read('')))
  return instrument.Given(
    Network(model.params, model.config, model.layout),
    texts.windows(model, f'--text={options.text}', text, options.tokens,
                  options.window),
    texts.windows(model, f'--calibration={options.calibration or PROSE}',
                  other, options.calibration_tokens, options.window),
    model.tokenizer, options.runs / 'probes' / model.content()[:12],
    options.words or (WORDS if WORDS.is_dir() else None),
    jacobian_tokens=options.jacobian_tokens or instrument.JACOBIAN_TOKENS)


def plan(given: Given, chosen: Sequence[Instrument]) -> dict[str, float]:
  """Prints what each instrument costs; the FLOPs of those that can be taken."""
  from experiments.instruments import texts
  rate = texts.rate(given.network, given.passages)
  fitted = given.calibration.tokens if given.calibration else 0
  print(f'{given.passages.tokens:,} tokens in {len(given.passages.tokens_BT)} '
        f'windows; the model reads them at {rate / 1e9:,.0f} GFLOP/s here. At '
        'that rate:')
  costs: dict[str, float] = {}
  for one in chosen:
    if refused := one.refusal(given):
      print(f'  {one.name:<20} cannot be taken: {refused}')
      continue
    costs[one.name] = one.flops(given.network.config, given.passages.tokens,
                                fitted)
    print(_cost(one.name, costs[one.name], rate))
  print(_cost('in all', sum(costs.values()), rate), flush=True)
  return costs


def _cost(name: str, flops: float, rate: float) -> str:
  seconds = flops / rate
  time = f'{seconds:.0f} s' if seconds < 100 else f'{seconds / 60:.1f} min'
  return f'  {name:<20} {flops:8.1e} FLOPs, {time}'


def perform(options: argparse.Namespace, model: Model, given: Given,
            chosen: Sequence[Instrument], costs: Mapping[str, float]) -> int:
  """Takes the instruments, and writes what they say; the exit code."""
  import humanize
  import jax

  from experiments.instruments import examination
  from experiments.machine import memory
  from experiments.report import probe as page
  from experiments.runs import manifest
  seen = examination.examine(
    given, chosen, lambda one: print(f'{one.title} …', flush=True))
  for name, reason in seen.refused.items():
    print(f'{name}: left out: {reason}')
  folder = options.out or _output(given)
  folder.mkdir(parents=True, exist_ok=True)
  table = examination.table(seen.rows)
  table.write_parquet(folder / page.TABLE)
  peak = memory.peak_bytes()
  where = page.write(folder, table, None, page.Facts(
    model.name, labels(model, options.model), options.text.name,
    given.passages.tokens, shlex.join(['fathom', *options.arguments]),
    jax.devices()[0].device_kind,
    [one for one in chosen if one.name in seen.rows],
    {name: page.Cost(flops, seen.seconds.get(name))
     for name, flops in costs.items()}, peak, seen.refused,
    f'{given.calibration.tokens:,} tokens of '
    f'{options.calibration or PROSE}' if given.calibration else '',
    manifest.code()))
  print(f'Peak memory: {humanize.naturalsize(peak)}.',
        f'Table: {folder / page.TABLE}', f'Page: {where}', sep='\n')
  return usage.FAILED if seen.failed else 0


def _output(given: Given) -> Path:
  assert given.folder
  ids = given.passages.tokens_BT.tobytes()
  return given.folder / hashlib.sha256(ids).hexdigest()[:12]


def labels(model: Model, place: str) -> str:
  """What must be said beside every number of a model."""
  import humanize
  import jax
  size = sum(x.size for x in jax.tree.leaves(model.params))
  told = [f'{humanize.intword(size, "%.3g")} parameters']
  if model.pooling or model.config.mask != 'causal':
    told.insert(0, 'encoder')
  if 'instruct' in Path(place).resolve().name.lower():
    told.insert(0, 'instruct')
  if quantised := re.findall(r'\bI?Q\d\w*', model.stored):
    told.insert(0, f'quantised ({quantised[0]})')
  return ', '.join(told)
