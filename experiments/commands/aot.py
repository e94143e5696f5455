"""The command `fathom aot`: reads its arguments, prints its report."""

import dataclasses
import time
from collections.abc import Sequence

import humanize
from absl import flags

from experiments.foresight import prediction, topology
from experiments.foresight.prediction import DoesNotFit, Report
from experiments.machine import usage
from experiments.machine.usage import UsageError
from experiments.sweeps import overrides
from experiments.sweeps.configs import CONFIGS
from train.config import Config


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
  usage.choose('config', names[0], list(CONFIGS))
  config = CONFIGS[names[0]]
  config = overrides.replace(config, overrides.parse(config, texts))
  wanted = topology.parse(values.topology)
  topology.check_installed(wanted)
  print(f'{names[0]} on {wanted.name} ({wanted.devices} x {wanted.kind}); '
        'compiling takes a minute or more …', flush=True)
  started = time.perf_counter()
  try:
    report = prediction.report(config, wanted, values.corpus_tokens)
  except DoesNotFit as error:
    print(refusal(config, wanted, error.needed, error.available))
    return 1
  seconds = time.perf_counter() - started
  print(f'{page(report)}\nCompiled in {seconds:.0f} s.')
  if report.fits:
    return 0
  print(refusal(config, wanted, report.memory.peak, report.available))
  return 1


def refusal(config: Config, wanted: topology.Topology, needed: int | None,
            available: int | None) -> str:
  """Says that a step does not fit, and what to try."""
  available = available or prediction.available_memory(wanted)
  needs = _bytes(needed) if needed else f'more than {_bytes(available)}'
  return (f'does not fit: needs {needs}, has {_bytes(available)} on each '
          'device; try ' + ', or '.join(prediction.advice(config, wanted)))


def page(report: Report) -> str:
  """The report as text."""
  roof = report.roofline
  axes = ', '.join(f'{axis}={size}' for axis, size in report.mesh.items()
                   if size > 1) or 'one device'
  sizes = {f.name: getattr(report.memory, f.name)
           for f in dataclasses.fields(report.memory)}
  sizes |= {'peak': report.memory.peak, 'available': report.available}
  lines = [
    f'mesh: {axes}; {report.used} of {report.topology.devices} devices',
    f'{report.parameters:,} parameters, {report.tokens:,} tokens a step', '',
    'memory of a device',
    *(f'  {name:<12}{_bytes(size):>12}' for name, size in sizes.items()), '',
    'work of a device in a step',
    f'  {humanize.metric(report.flops, "FLOP")} of the model',
    f'  {_bytes(report.memory_bytes)} to and from memory',
    *(f'  {kind}, {total.times:,.0f} times: {_bytes(total.bytes)}, of which a '
      f'device sends {_bytes(total.wire_bytes)}'
      for kind, total in report.collectives.items()),
    *([] if report.collectives else ['  no collectives']), '',
    'least time for it',
    *(f'  {name:<12}{_seconds(getattr(roof, name)):>12}'
      for name in ('compute', 'memory', 'network')), '',
    f'A step takes {_seconds(roof.fastest)} at least, bound by {roof.bound}, '
    f'and {_seconds(roof.slowest)} if nothing overlaps.',
    f'MFU: at most {roof.mfu(roof.fastest):.1%}; {roof.mfu(roof.slowest):.1%} '
    f'if nothing overlaps. Tokens/s: at most '
    f'{report.tokens / roof.fastest:,.0f}.',
  ]
  if report.used < report.topology.devices:
    lines.append(f'{report.topology.devices - report.used} devices stay idle: '
                 'give an axis of --config.mesh more, or -1.')
  return '\n'.join(lines)


def _bytes(size: float) -> str:
  return humanize.naturalsize(size, binary=True, format='%.2f')


def _seconds(seconds: float) -> str:
  return humanize.metric(seconds, 's') if seconds else '0 s'
