"""Instruments on one model: what they are handed, what it costs, the page."""

import argparse
import dataclasses
import hashlib
import re
import shlex
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import humanize
import jax

from data.text import corpus
from experiments.commands.parser import read_text
from experiments.instruments import (
  examination,
  held_out,
  instrument,
  jacobian_lens,
  lens_slice,
  texts,
)
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.judge import table
from experiments.machine import memory, usage
from experiments.machine.usage import UsageError
from experiments.report import probe
from experiments.runs import manifest
from experiments.runs.loaded import Model
from experiments.runs.subject import Subject

PROSE = 'the documentation of Python'
OWN = 'held-out examples of its own source'
OTHERS = 'other held-out examples'


def given_of(model: Model, text: str, options: argparse.Namespace) -> Given:
  """What the instruments are handed.

  Raises:
    UsageError: a text that the model cannot read.
  """
  other = (read_text('--calibration', options.calibration)
           if options.calibration else '\n\n'.join(corpus.read('')))
  return instrument.Given(
    Network(model.params, model.config, model.layout),
    texts.windows(model, f'--text={options.text}', text, options.tokens,
                  options.window),
    texts.windows(model, f'--calibration={options.calibration or PROSE}',
                  other, options.calibration_tokens, options.window),
    model.tokenizer, _folder(model, options), options.words,
    jacobian_tokens=options.jacobian_tokens or instrument.JACOBIAN_TOKENS)


def own(model: Model, subject: Subject, options: argparse.Namespace) -> Given:
  """What they are handed of a run that reads its own held-out examples."""
  return dataclasses.replace(
    held_out.given(subject), network=Network(
      model.params, model.config, model.layout), folder=_folder(model, options),
    words=options.words,
    **({'jacobian_tokens': options.jacobian_tokens}
       if options.jacobian_tokens else {}))


def _folder(model: Model, options: argparse.Namespace) -> Path:
  folder: Path = options.runs / 'probes' / model.content()[:12]
  return folder


def plan(given: Given, chosen: Sequence[Instrument]) -> dict[str, float]:
  """Prints what each instrument costs; the FLOPs of those that can be taken."""
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
  table.save(numbers, folder / probe.TABLE)
  slices = _slices(given, seen.rows)
  peak = memory.device_peak_bytes() or memory.peak_bytes()
  where = probe.write(folder, numbers, slices, probe.Facts(
    model.name, labels(model, options.model),
    options.text.name if options.text else OWN,
    given.passages.tokens, shlex.join(['fathom', *options.arguments]),
    jax.devices()[0].device_kind,
    [one for one in chosen if one.name in seen.rows],
    {name: probe.Cost(flops, seen.seconds.get(name))
     for name, flops in costs.items()}, peak, seen.refused,
    f'{given.calibration.tokens:,} tokens of '
    f'{(options.calibration or PROSE) if options.text else OTHERS}'
    if given.calibration else '',
    manifest.code()))
  print(f'Peak memory: {humanize.naturalsize(peak)}.',
        f'Table: {folder / probe.TABLE}', f'Page: {where}', sep='\n')
  return usage.FAILED if seen.failed else 0


def _slices(given: Given, taken: Collection[str]) -> Mapping[str, Any] | None:
  """What a reader explores by the lenses that were taken; None: by none."""
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
  size = sum(x.size for x in jax.tree.leaves(model.params))
  told = [f'{humanize.intword(size, "%.3g")} parameters']
  if model.pooling or model.config.mask != 'causal':
    told.insert(0, 'encoder')
  if 'instruct' in Path(place).resolve().name.lower():
    told.insert(0, 'instruct')
  if quantised := re.findall(r'\bI?Q\d\w*', model.stored):
    told.insert(0, f'quantised ({quantised[0]})')
  return ', '.join(told)
