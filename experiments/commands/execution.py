"""From a plan to finished runs: in this process, in workers, or with others.

Every command that trains or measures comes through here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.launch import workers
from experiments.machine import compiler, platforms, process, usage
from experiments.runs import remaining
from experiments.runs.display import Display
from experiments.runs.progress import SweepProgress
from experiments.runs.store import Store
from experiments.sweeps.plan import Plan
from train.distributed import Cluster

if TYPE_CHECKING:
  from experiments.runs.executor import Telling
  from experiments.runs.peers import Peers

# Opened where it is known which process this is.
Audience = Callable[[], AbstractContextManager['Telling']]

# How much XLA works on a program of a preset, if not as much as it can. A smoke
# test compiles much and computes little; the programs of `cpu` run as fast with
# one level less than the most.
COMPILER_LEVELS = {'smoke': 0, 'cpu': 1}


def run(plan: Plan, arguments: Sequence[str], requested: int | None,
        cluster: Cluster | None = None,
        tracker: type[SweepProgress] = SweepProgress) -> int:
  """Runs what is missing of a plan; the exit code.

  Args:
    plan: what is to be done.
    arguments: the plan as a command line, which each worker reads again.
    requested: worker processes; 0: this process; None: as the machine is.
    cluster: the processes of which this is one; all of them work together.
    tracker: shows how far it is.
  """
  store = Store(plan.runs)
  items = remaining.work(plan)
  left = [item for item in items if not item.done(store)]
  count = 0 if cluster else workers.worker_count(requested, len(left))
  if not count:
    return work(plan, lambda: _sweep(plan, tracker), cluster)
  with Display(plan.experiment.name) as display:
    code = workers.watch(arguments, count, plan.output / 'workers',
                         tracker(display, items, store))
  if code == usage.PREEMPTED:
    print('Told to stop: what was begun is saved; the same command goes on '
          'from there.', flush=True)
  return code


def work(plan: Plan, audience: Audience, cluster: Cluster | None = None,
         trace: tuple[int, int] | None = None) -> int:
  """Does a plan's work in this process; the exit code.

  Args:
    plan: what is to be done.
    audience: who is told how far it is.
    cluster: the processes of which this is one.
    trace: the steps to trace.
  """
  asked = platform(plan)
  if plan.preset in COMPILER_LEVELS:
    compiler.ask(COMPILER_LEVELS[plan.preset])
  platforms.claim(asked)
  # Imported here: they import what touches the devices.
  from experiments.runs import failure, together
  from experiments.runs.executor import Executor
  from experiments.runs.preemption import Preemption
  from experiments.runs.worker import work as work_off
  from train.stop import SaveError
  compiler.use_cache()

  def body(peers: Peers | None) -> int:
    platforms.check(asked)
    preemption = Preemption()
    with audience() as telling, preemption.listening():
      executor = Executor(Store(plan.runs), preemption, telling, peers, trace,
                          ['fathom', *sys.argv[1:]])
      return work_off(executor, remaining.work(plan))

  try:
    return together.run(cluster, plan.output / 'peers', body)
  except (SaveError, OSError) as error:
    if not failure.ends_all(error):
      raise
    print(f'fathom: {failure.message(error)}', file=sys.stderr)
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
  telling = Telling(FileProgress(progress), print) if progress else Telling()
  return work(plan, lambda: contextlib.nullcontext(telling))


def platform(plan: Plan) -> str:
  """The platform that the runs ask for; 'auto' where nothing is trained."""
  return next((config.mesh.platform for group in plan.groups()
               for config in group.configs), 'auto')


@contextlib.contextmanager
def _sweep(plan: Plan, tracker: type[SweepProgress]) -> Iterator[Telling]:
  """A person who looks at a sweep."""
  import jax

  from experiments.runs.executor import Telling
  store = Store(plan.runs)
  with Display(plan.experiment.name,
               visible=jax.process_index() == 0) as display:
    progress = tracker(display, remaining.work(plan), store)
    yield Telling(lambda state: progress.update([state]), display.say,
                  lambda: progress.update([]))
