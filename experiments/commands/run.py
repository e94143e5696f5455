"""Run what is missing of an experiment, then write its report.

Stop it whenever you like: the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from experiments.commands import cluster
from experiments.commands.parser import add_experiment, add_workers
from experiments.machine import usage

if TYPE_CHECKING:
  from experiments.sweeps.plan import Plan

# Whoever told one to stop does not want the next.
STOPS = (usage.USAGE, usage.DEVICE, usage.PREEMPTED)


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  parser.add_argument('others', nargs='*', metavar='EXPERIMENT',
                      help='further ones, one after the other')
  add_workers(parser)
  cluster.fill(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Runs the experiments; the exit code, of the first that did not end well."""
  names = (options.experiment, *options.others)
  flags = list(options.arguments)
  for name in filter(None, names):
    flags.remove(name)
  each = [argparse.Namespace(**{
    **vars(options), 'experiment': name, 'others': [],
    'arguments': [*flags, name]}) for name in names]
  plans = [one.plan(one) for one in each]  # whatever is wrong, before any runs
  codes = []
  for plan, one in zip(plans, each):
    codes.append(perform(plan, one))
    if codes[-1] in STOPS:
      break
  return next(filter(None, codes), 0)


def perform(plan: Plan, options: argparse.Namespace) -> int:
  """Runs what is missing of a plan and writes its report; the exit code."""
  import jax

  from experiments.commands import conclusion, execution, listing
  from experiments.runs import remaining
  from experiments.runs.store import Store
  mine = cluster.detect(options)
  several = mine or options.cpu_devices or options.local_processes
  code = cluster.enter(options, cluster.environment(
    options, execution.platform(plan)) if several else {})
  if code is not None:
    return code
  store = Store(plan.runs)
  missing = remaining.done(plan, store) < len(plan.run_ids())
  if mine is None or mine.process <= 0:
    if plan.parts:
      print(f'{plan.experiment.name} ({plan.preset}): '
            f'{remaining.tally(plan, store)} done.', *listing.absences(plan),
            *listing.texts(plan), sep='\n', flush=True)
    if missing:
      conclusion.seal(plan)
  if missing:
    code = execution.run(plan, options.arguments, options.workers, mine)
  if mine and jax.process_index() > 0:
    return code or 0
  if code in STOPS:
    return code  # too little was done to tell of
  for failure in failures(plan):
    print(f'fathom: {failure}', file=sys.stderr)
  return write_report(plan) or code or 0


def failures(plan: Plan) -> list[str]:
  """Why groups of a plan could not be finished the last time."""
  from experiments.runs import remaining
  from experiments.runs.store import Store
  store = Store(plan.runs)
  found = []
  for item in remaining.work(plan):
    failure = None if item.done(store) else remaining.failure(store, item.group)
    if failure:
      where = store.group(remaining.untrained(item.group, store) or item.group)
      found.append(f'{failure["while"]} failed: {failure["error"]}; see '
                   f'{where / "failure.json"}')
  return found


def write_report(plan: Plan) -> int:
  """Writes the report and says what it says; the exit code."""
  from experiments.commands import conclusion
  found = conclusion.conclude(plan)
  print(*found.lines, sep='\n')
  return usage.FAILED if found.verdict == 'incomplete' else 0
