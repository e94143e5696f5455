"""From a plan to finished runs: in this process, in workers, or with others.

Every command that trains or measures comes through here.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.launch import workers
from experiments.machine import platforms, process, usage
from experiments.runs import remaining
from experiments.runs.display import Display
from experiments.runs.progress import SweepProgress
from experiments.runs.store import Store
from experiments.sweeps.plan import Plan
from train.distributed import Cluster


def run(plan: Plan, arguments: Sequence[str], requested: int | None,
        cluster: Cluster | None = None) -> int:
  """Runs what is missing of a plan; the exit code.

  Args:
    plan: what is to be done.
    arguments: the plan as a command line, which each worker reads again.
    requested: worker processes; 0: this process; None: as the machine is.
    cluster: the processes of which this is one; all of them work together.
  """
  store = Store(plan.runs)
  items = remaining.work(plan)
  left = [item for item in items if not item.done(store)]
  if not left:
    return 0
  count = 0 if cluster else workers.worker_count(requested, len(left))
  with Display(plan.experiment.name, visible=_first(cluster)) as display:
    progress = SweepProgress(display, items, store)
    if count:
      return workers.watch(arguments, count, plan.output / 'workers', progress)
    from experiments.runs.executor import Telling
    telling = Telling(lambda state: progress.update([state]), display.say)
    return work(plan, telling, cluster)


def work(plan: Plan, telling: Any = None, cluster: Cluster | None = None,
         trace: tuple[int, int] | None = None) -> int:
  """Does a plan's work in this process; the exit code.

  Args:
    plan: what is to be done.
    telling: who is told how far it is; nobody when not given.
    cluster: the processes of which this is one.
    trace: the steps to trace.
  """
  platform = _platform(plan)
  platforms.claim(platform)
  # Imported here: they import what touches the devices.
  from experiments.machine import compiler
  from experiments.runs import together
  from experiments.runs.executor import Executor, Telling
  from experiments.runs.peers import Peers
  from experiments.runs.preemption import Preemption
  from experiments.runs.worker import work as work_off
  from train.stop import CheckpointError
  compiler.use_cache()

  def body(peers: Peers | None) -> int:
    platforms.check(platform)
    preemption = Preemption()
    executor = Executor(
      Store(plan.runs), preemption, telling or Telling(), peers, trace,
      ['fathom', *sys.argv[1:]])
    with preemption.listening():
      return work_off(executor, remaining.work(plan))

  try:
    return together.run(cluster, plan.output / 'peers', body)
  except CheckpointError as error:
    print(f'fathom: {error}', file=sys.stderr)
    sys.stdout.flush()
    # Threads of a save that failed can wait for one another at the exit.
    os._exit(usage.FAILED)


def work_as_worker(plan: Plan, progress: Path | None, core: int | None,
                   parent: int | None) -> int:
  """Does a plan's work as one of several workers (see `launch.workers`).

  Args:
    plan: what is to be done, by all of them.
    progress: the file to report to.
    core: the processor core to stay on.
    parent: the process to end with.
  """
  if core is not None and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {core})
  if parent is not None:
    process.end_with(parent)
  from experiments.runs.executor import Telling
  from experiments.runs.worker import FileProgress
  report = Telling(FileProgress(progress), print) if progress else None
  return work(plan, report)


def _platform(plan: Plan) -> str:
  """The platform that the runs ask for; 'auto' where nothing is trained."""
  return next((config.mesh.platform for group in plan.groups()
               for config in group.configs), 'auto')


def _first(cluster: Cluster | None) -> bool:
  return cluster is None or cluster.process <= 0
