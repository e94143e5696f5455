"""List every run with its parameters, FLOPs and an estimate of time."""

import argparse

from experiments.commands.parser import add_experiment


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints it."""
  from experiments.commands import listing
  listing.print_plan(options.plan(options))
  return 0
