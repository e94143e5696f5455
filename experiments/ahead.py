"""The command `fathom aot`: reads its arguments, prints its report."""

import dataclasses
import time
from collections.abc import Sequence

from absl import flags

from experiments import aot, overrides, plan, topology
from experiments.aot import DoesNotFit, Report
from experiments.configs import CONFIGS
from experiments.overrides import UsageError
from train.config import Config

GIB = 2**30


def main(arguments: Sequence[str]) -> int:
  """Prints what a config needs on a topology; 1 when it does not fit."""
  values = flags.FlagValues()
  flags.DEFINE_string('topology', '', 'Devices, such as v5e-16.',
                      flag_values=values)
  flags.DEFINE_integer('corpus_tokens', 2**24, 'Tokens of the text that lies '
                       'on every device.', lower_bound=1, flag_values=values)
  texts, rest = overrides.split(arguments)
  names = values(['fathom', *rest])[1:]
  if len(names) != 1:
    raise UsageError(f'name one config: {", ".join(CONFIGS)}')
  if not values.topology:
    raise UsageError('--topology is missing; use one of\n' + topology.known())
  plan.choose('config', names[0], list(CONFIGS))
  config = CONFIGS[names[0]]
  config = overrides.replace(config, overrides.parse(config, texts))
  wanted = topology.parse(values.topology)
  print(f'{names[0]} on {wanted.name} ({wanted.devices} x {wanted.kind}); '
        'compiling takes a minute or more …', flush=True)
  started = time.perf_counter()
  try:
    report = aot.report(config, wanted, values.corpus_tokens)
  except DoesNotFit as error:
    print(refusal(config, wanted, error.needed, error.available))
    return 1
  seconds = time.perf_counter() - started
  print(f'{page(report)}\ncompiled in {seconds:.0f} s')
  if report.fits:
    return 0
  print(refusal(config, wanted, report.memory.peak, report.available))
  return 1


def refusal(config: Config, wanted: topology.Topology, needed: int | None,
            available: int | None) -> str:
  """Says that a step does not fit, and what to try."""
  available = available or aot.available_memory(wanted)
  needs = f'{needed / GIB:.2f} GiB' if needed else 'more'
  return (f'does not fit: needs {needs}, has {available / GIB:.2f} GiB on each '
          'device; try ' + ', or '.join(aot.advice(config, wanted)))


def page(report: Report) -> str:
  """The report as text, 80 columns wide."""
  roof = report.roofline
  axes = ', '.join(f'{axis}={size}' for axis, size in report.mesh.items()
                   if size > 1) or 'one device'
  lines = [
    f'mesh: {axes}; {report.used} of {report.topology.devices} devices',
    f'{report.parameters:,} parameters, {report.tokens:,} tokens a step', '',
    'memory of a device, GiB',
    *(f'  {name:<12}{getattr(report.memory, name) / GIB:10.3f}'
      for name in (*(f.name for f in dataclasses.fields(report.memory)),
                   'peak')),
    f'  {"available":<12}{report.available / GIB:10.3f}', '',
    'work of a device in a step',
    f'  {report.flops / 1e12:.3f} TFLOP of the model',
    f'  {report.memory_bytes / GIB:.3f} GiB to and from memory',
    *(f'  {kind}: {total.count:.1f} times, {total.bytes / GIB:.4f} GiB, '
      f'{total.wire_bytes / GIB:.4f} GiB sent'
      for kind, total in report.collectives.items()),
    *([] if report.collectives else ['  no collectives']), '',
    'least time for it, ms',
    *(f'  {name:<12}{getattr(roof, name) * 1e3:10.3f}'
      for name in ('compute', 'memory', 'network')), '',
    f'a step: {roof.fastest * 1e3:.2f} ms, bound by {roof.bound}, if '
    f'everything overlaps; {roof.slowest * 1e3:.2f} ms if nothing does',
    f'MFU: at most {roof.mfu(roof.fastest):.1%}; {roof.mfu(roof.slowest):.1%} '
    'if nothing overlaps',
    f'tokens/s: at most {report.tokens / roof.fastest:,.0f}',
  ]
  if report.used < report.topology.devices:
    lines.append(f'{report.topology.devices - report.used} devices stay idle: '
                 'give an axis of --config.mesh more, or -1')
  return '\n'.join(lines)
