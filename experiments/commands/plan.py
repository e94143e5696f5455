"""List every run with its parameters, FLOPs and an estimate of time."""

import argparse

from experiments.commands.parser import add_experiment, draft


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.add_argument(
    '--device', default='', metavar='NAME',
    help='estimate the time on one of these instead: h100, v5e, a100-40gb, …')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints it, where it can show what is declared."""
  from experiments.commands import conclusion, listing
  from experiments.machine import accelerators
  device = accelerators.named(options.device) if options.device else None
  plan = draft(options)
  conclusion.check(plan)
  listing.print_plan(plan, device)
  return 0
