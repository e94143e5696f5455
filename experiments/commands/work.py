"""Work on a plan as one of several processes; started by the launcher."""

import argparse
import dataclasses
from pathlib import Path

from experiments.commands import probe, run, sweep
from experiments.commands.parser import whole


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the command whose plan it is, with what the launcher adds."""
  served = parser.add_subparsers(required=True, metavar='run|sweep|probe')
  for name, verb in (('run', run), ('sweep', sweep), ('probe', probe)):
    command = served.add_parser(name)
    verb.fill(command)
    command.add_argument('--progress', type=Path, help='file to report to')
    command.add_argument('--core', type=whole(0), help='core to stay on')
    command.add_argument('--only', help='the one run to do')
    command.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Works; the exit code."""
  from experiments.commands import execution
  from experiments.sweeps.identity import run_id
  plan = options.plan(options)
  if options.only:
    plan = dataclasses.replace(plan, cells=tuple(
      cell for cell in plan.cells if run_id(cell.task) == options.only))
  return execution.work_as_worker(plan, options.progress, options.core,
                                  options.parent)
