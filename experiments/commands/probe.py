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
import dataclasses
import hashlib
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
  from collections.abc import Collection, Mapping, Sequence

  from experiments.instruments.instrument import Given, Instrument
  from experiments.runs.loaded import Model
  from experiments.runs.subject import Subject
  from experiments.sweeps.plan import Plan

TOKENS = 2000
WINDOW = 256
CALIBRATION = 4096  # enough for linear maps between some hundred dimensions
WORDS = Path('models/words')
ALL = 'all'
PROSE = 'the documentation of Python'
OWN = 'held-out examples of its own source'
OTHERS = 'other held-out examples'
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
      help=f'other text, which lenses are fitted on (default: {PROSE})')
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
  from experiments.machine import compiler, platforms
  platforms.check('auto')
  compiler.use_cache()
  model = origin.load(options.model, options.runs, options.mesh)
  print(model, flush=True)
  given = (own(model, subject, options) if subject else
           given_of(model, text, options))
  costs = plan(given, chosen)
  if options.dry:
    return 0
  if not costs:
    raise UsageError('none of these instruments can be taken; name others '
                     '(--instruments; fathom probe --list)')
  return perform(options, model, given, chosen, costs)


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
    texts.windows(model, f'--text={options.text}', text,
                  options.tokens or TOKENS, options.window or WINDOW),
    texts.windows(model, f'--calibration={options.calibration or PROSE}',
                  other, options.calibration_tokens or CALIBRATION,
                  options.window or WINDOW),
    model.tokenizer, _folder(model, options), _words(options),
    jacobian_tokens=options.jacobian_tokens or instrument.JACOBIAN_TOKENS)


def own(model: Model, subject: Subject, options: argparse.Namespace) -> Given:
  """What they are handed of a run that reads its own held-out examples."""
  from experiments.instruments import held_out
  from experiments.instruments.network import Network
  return dataclasses.replace(
    held_out.given(subject), network=Network(
      model.params, model.config, model.layout), folder=_folder(model, options),
    words=_words(options),
    **({'jacobian_tokens': options.jacobian_tokens}
       if options.jacobian_tokens else {}))


def _folder(model: Model, options: argparse.Namespace) -> Path:
  folder: Path = options.runs / 'probes' / model.content()[:12]
  return folder


def _words(options: argparse.Namespace) -> Path | None:
  return options.words or (WORDS if WORDS.is_dir() else None)


def plan(given: Given, chosen: Sequence[Instrument]) -> dict[str, float]:
  """Prints what each instrument costs; the FLOPs of those that can be taken."""
  from experiments.instruments import texts
  rate = texts.rate(given.network, given.passages)
  print(f'{given.passages.tokens:,} tokens in {len(given.passages.tokens_BT)} '
        f'windows; the model reads them at {rate / 1e9:,.0f} GFLOP/s here. At '
        'that rate:')
  costs: dict[str, float] = {}
  for one in chosen:
    if refused := one.refusal(given):
      print(f'  {one.name:<20} cannot be taken: {refused}')
      continue
    costs[one.name] = one.cost(given)
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

  from experiments.instruments import examination, jacobian_lens
  from experiments.judge import table
  from experiments.machine import memory
  from experiments.report import probe as page
  from experiments.runs import manifest
  folder = _writable(options, given)
  seen = examination.examine(
    given, chosen, lambda one: print(f'{one.title} …', flush=True))
  for name, reason in seen.refused.items():
    print(f'{name}: left out: {reason}')
  if not seen.rows and not seen.failed:
    raise UsageError('nothing could be taken, for the reasons above, and no '
                     'page is written')
  if agreed := jacobian_lens.summary(
      seen.rows.get(jacobian_lens.INSTRUMENT.name, ())):
    print(agreed)
  numbers = examination.table(seen.rows)
  table.save(numbers, folder / page.TABLE)
  slices = _slices(given, seen.rows)
  peak = memory.device_peak_bytes() or memory.peak_bytes()
  where = page.write(folder, numbers, slices, page.Facts(
    model.name, labels(model, options.model),
    options.text.name if options.text else OWN,
    given.passages.tokens, shlex.join(['fathom', *options.arguments]),
    jax.devices()[0].device_kind,
    [one for one in chosen if one.name in seen.rows],
    {name: page.Cost(flops, seen.seconds.get(name))
     for name, flops in costs.items()}, peak, seen.refused,
    f'{given.calibration.tokens:,} tokens of '
    f'{(options.calibration or PROSE) if options.text else OTHERS}'
    if given.calibration else '',
    manifest.code()))
  print(f'Peak memory: {humanize.naturalsize(peak)}.',
        f'Table: {folder / page.TABLE}', f'Page: {where}', sep='\n')
  return usage.FAILED if seen.failed else 0


def _slices(given: Given, taken: Collection[str]) -> Mapping[str, Any] | None:
  """What a reader explores by the lenses that were taken; None: by none."""
  from experiments.instruments import lens_slice
  lenses = [name for name in lens_slice.TRANSPORTS if f'{name}-lens' in taken]
  return lens_slice.read(given, lenses) if lenses else None


def _output(given: Given) -> Path:
  assert given.folder
  ids = given.passages.tokens_BT.tobytes()
  return given.folder / hashlib.sha256(ids).hexdigest()[:12]


def _writable(options: argparse.Namespace, given: Given) -> Path:
  """The folder to write to, made before minutes are spent.

  Raises:
    UsageError: it cannot be written to.
  """
  place: Path = options.out or _output(given)
  flag = f'--out={place}' if options.out else f'--runs={options.runs}'
  try:
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=place):
      pass
  except OSError as error:
    raise UsageError(f'{flag} cannot be written to ({error.strerror}); name '
                     'another folder') from None
  return place


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
