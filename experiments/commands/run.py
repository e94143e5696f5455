"""Run what is missing of an experiment, then write its report.

Stop it whenever you like: the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from experiments.commands import cluster
from experiments.commands.parser import add_experiment, add_workers

if TYPE_CHECKING:
  from experiments.sweeps.plan import Plan


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_experiment(parser)
  add_workers(parser)
  cluster.fill(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Runs the experiment; the exit code."""
  return perform(options.plan(options), options)


def perform(plan: Plan, options: argparse.Namespace) -> int:
  """Runs what is missing of a plan and writes its report; the exit code."""
  import jax

  from experiments.commands import conclusion, execution, listing
  from experiments.machine import usage
  from experiments.runs import remaining
  from experiments.runs.store import Store
  mine = cluster.detect(options)
  several = mine or options.cpu_devices or options.local_processes
  code = cluster.enter(options, cluster.environment(
    options, execution.platform(plan)) if several else {})
  if code is not None:
    return code
  count, done = len(plan.run_ids()), remaining.done(plan, Store(plan.runs))
  if mine is None or mine.process <= 0:
    print(f'{plan.experiment.name} ({plan.preset}): {count} runs, {done} done '
          'already.', *listing.texts(plan), sep='\n', flush=True)
    if done < count:
      conclusion.seal(plan)
  if done < count:
    code = execution.run(plan, options.arguments, options.workers, mine)
  if mine and jax.process_index() > 0:
    return code or 0
  if code in (usage.USAGE, usage.DEVICE, usage.PREEMPTED):
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
  from experiments.machine import usage
  found = conclusion.conclude(plan)
  print(f'{found.title}: {found.headline.upper()}. {found.reason}\n'
        f'Report: {found.page}')
  return usage.FAILED if found.verdict == 'incomplete' else 0
