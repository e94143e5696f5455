"""Write the results table and print where it is."""

import argparse

from experiments.commands.parser import add_experiment


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Writes it."""
  from experiments.commands import conclusion
  from experiments.runs import remaining
  from experiments.runs.store import Store
  plan = options.plan(options)
  rows = conclusion.tabulate(plan)
  done = remaining.done(plan, Store(plan.runs))
  print(f'{rows.height} rows from {done}/{len(plan.run_ids())} runs in '
        f'{plan.output / "results.parquet"} and .csv')
  return 0
