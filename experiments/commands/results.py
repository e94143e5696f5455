"""Write the results table and print where it is."""

import argparse
from pathlib import Path

from experiments.commands.parser import add_experiment


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.add_argument(
    '--beside', type=Path, metavar='FILE',
    help='print our means beside the published numbers of a CSV with the '
    'columns metric, value and any of ours (arm, n_layers, hops, …)')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Writes it."""
  from experiments.commands import conclusion
  from experiments.runs import remaining
  from experiments.runs.store import Store
  plan = options.plan(options)
  rows = conclusion.tabulate(plan)
  print(f'{rows.height} rows from {remaining.tally(plan, Store(plan.runs))} in '
        f'{plan.output / "results.parquet"} and .csv')
  if options.beside:
    from experiments.commands import listing
    from experiments.judge.beside import beside
    listing.print_beside(beside(rows, options.beside))
  return 0
