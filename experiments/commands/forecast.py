"""What `fathom aot` prints: memory, work and time on devices elsewhere."""

import dataclasses
import time

import humanize

from experiments.foresight import prediction
from experiments.foresight.prediction import DoesNotFit, Report
from experiments.foresight.topology import Topology
from experiments.machine import usage
from train.config import Config


def tell(name: str, config: Config, there: Topology,
         corpus_tokens: int) -> int:
  """Prints what a config needs on a topology; 1 when it does not fit."""
  print(f'{name} on {there.name} ({there.devices} x {there.kind}); '
        'compiling takes a minute or more …', flush=True)
  started = time.perf_counter()
  try:
    report = prediction.report(config, there, corpus_tokens)
  except DoesNotFit as error:
    print(refusal(config, there, error.needed, error.available))
    return usage.FAILED
  seconds = time.perf_counter() - started
  print(f'{page(report)}\nCompiled in {seconds:.0f} s.')
  if report.fits:
    return 0
  print(refusal(config, there, report.memory.peak, report.available))
  return usage.FAILED


def refusal(config: Config, there: Topology, needed: int | None,
            available: int | None) -> str:
  """Says that a step does not fit, and what to try."""
  available = available or prediction.available_memory(there)
  needs = _bytes(needed) if needed else f'more than {_bytes(available)}'
  return (f'does not fit: needs {needs}, has {_bytes(available)} on each '
          'device; try ' + ', or '.join(prediction.advice(config, there)))


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
