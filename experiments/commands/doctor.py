"""`fathom doctor`: devices, versions, and the traps this machine sets."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.machine import survey, usage
from experiments.machine.checks import CHECKS, Finding
from experiments.machine.survey import Environment


def main(arguments: Sequence[str]) -> int:
  """Prints the findings; 0: nothing fails, 3: a device is missing, else 1."""
  values = flags.FlagValues()
  flags.DEFINE_bool('json', False, 'Print JSON.', flag_values=values)
  flags.DEFINE_enum('platform', 'auto', ['auto', 'cpu', 'gpu', 'tpu'],
                    'Platform that must be there.', flag_values=values)
  flags.DEFINE_string('runs', 'runs', 'Folder of all results.',
                      flag_values=values)
  flags.DEFINE_float('seconds', 60.0, 'How long JAX may look for devices.',
                     lower_bound=1.0, flag_values=values)
  if values(['fathom', *arguments])[1:]:
    raise flags.Error('fathom doctor takes flags only')
  facts = survey.gather(Path(values.runs), values.platform, values.seconds)
  findings = examine(facts)
  print(as_json(facts, findings) if values.json else as_text(facts, findings))
  return exit_code(findings)


def examine(facts: Environment) -> list[Finding]:
  """The finding of every check."""
  return [check(facts) for check in CHECKS]


def exit_code(findings: Sequence[Finding]) -> int:
  """0 when nothing fails, 3 when a device is missing, 1 for the rest."""
  failed = [f for f in findings if f.level == 'FAIL']
  if any(f.device for f in failed):
    return usage.DEVICE
  return 1 if failed else 0


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
