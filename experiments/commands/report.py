"""Write the report from what is finished; of `claims`, that on all of them."""

import argparse

from experiments.commands.parser import add_experiment


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Writes it; the exit code."""
  from experiments.commands import claims, run
  if options.experiment == claims.ALL:
    return claims.write_report(options.runs)
  return run.write_report(options.plan(options))
