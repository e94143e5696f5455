"""Look for what keeps JAX from working well on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.commands.parser import add_runs, one_of
from experiments.machine import usage

if TYPE_CHECKING:
  from experiments.machine.checks import Finding
  from experiments.machine.survey import Environment

PLATFORMS = ('auto', 'cpu', 'gpu', 'tpu')


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('--json', action='store_true', help='print JSON')
  parser.add_argument(
    '--platform', type=one_of('platform', PLATFORMS), default='auto',
    metavar='NAME', help='that must be there: cpu, gpu or tpu')
  parser.add_argument(
    '--seconds', type=_seconds, default=60.0, metavar='SECONDS',
    help='how long JAX may look for devices (default: 60)')
  add_runs(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints the findings; 0: nothing fails, 3: a device is missing, else 1."""
  from experiments.machine import survey
  facts = survey.gather(options.runs, options.platform, options.seconds)
  findings = examine(facts)
  print(as_json(facts, findings) if options.json else as_text(facts, findings))
  return exit_code(findings)


def _seconds(text: str) -> float:
  seconds = float(text)
  if seconds < 1:
    raise argparse.ArgumentTypeError(f'{text}: wait for a second at least')
  return seconds


def examine(facts: Environment) -> list[Finding]:
  """The finding of every check."""
  from experiments.machine.checks import CHECKS
  return [check(facts) for check in CHECKS]


def exit_code(findings: Sequence[Finding]) -> int:
  """0 when nothing fails, 3 when a device is missing, 1 for the rest."""
  failed = [f for f in findings if f.level == 'FAIL']
  if any(f.device for f in failed):
    return usage.DEVICE
  return usage.FAILED if failed else 0


def as_text(facts: Environment, findings: Sequence[Finding]) -> str:
  """The page for a terminal."""
  versions = ', '.join(f'{name} {version}'
                       for name, version in facts.packages.items())
  lines = [f'Python {facts.python}, {versions}', '']
  for finding in findings:
    lines.append(f'{finding.level}  {finding.check}: {finding.message}')
    if finding.fix:
      lines.append(f'      → {finding.fix}')
  return '\n'.join(lines)


def as_json(facts: Environment, findings: Sequence[Finding]) -> str:
  """The same for programs."""
  return json.dumps({
    'python': facts.python, 'packages': dict(facts.packages),
    'devices': [{'platform': p, 'kind': k} for p, k in facts.devices],
    'findings': [dataclasses.asdict(f) for f in findings],
    'exit_code': exit_code(findings)}, indent=2)
