"""List every run with its parameters, FLOPs and an estimate of time."""

import argparse

from experiments.commands.parser import add_experiment


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints it, where it can show what is declared."""
  from experiments.commands import conclusion, listing
  plan = options.plan(options)
  conclusion.check(plan)
  listing.print_plan(plan)
  return 0
