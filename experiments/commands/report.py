"""Write the report from what is finished."""

import argparse

from experiments.commands.parser import add_experiment


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Writes it; the exit code."""
  from experiments.commands import run
  return run.write_report(options.plan(options))
