"""Starts the workers of a sweep and watches them.

On a CPU each worker is a process pinned to one core: two such workers finish a
sweep of small models well before one process with two threads. An accelerator
is given to this process. Workers get a command line, never a closure.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments.runs.display import Display
from experiments.runs.store import read_json
from experiments.sweeps.packing import Group, missing
from experiments.sweeps.plan import Plan


def huge_pages(tunables: str) -> str:
  """Adds huge pages to what a person has set in GLIBC_TUNABLES."""
  name = 'glibc.malloc.hugetlb'
  return tunables if name in tunables else f'{tunables}:{name}=1'.strip(':')


# glibc hands every large buffer back to the kernel and pays the page faults
# again at each step; these keep the memory. Huge pages are looked up sooner,
# above all on a virtual machine, which looks up twice.
ALLOCATOR = {
  'GLIBC_TUNABLES': huge_pages(os.environ.get('GLIBC_TUNABLES', '')),
  'MALLOC_ARENA_MAX': '1',
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '100000000000',
  'MALLOC_TOP_PAD_': '268435456',
}
POLL_SECONDS = 0.3


def worker_count(requested: int | None, groups: int) -> int:
  """How many worker processes to start; 0 means this process does the work."""
  if requested is not None:
    return min(requested, groups)
  return 0 if accelerator_installed() else min(len(cores()), groups)


def accelerator_installed() -> bool:
  """Whether a GPU or TPU and its JAX plugin are there; touches no device."""
  if os.environ.get('JAX_PLATFORMS', '') == 'cpu':
    return False
  plugins = ('jax_cuda12_plugin', 'jax_cuda13_plugin')
  nvidia = Path('/dev/nvidiactl').exists() and any(
    importlib.util.find_spec(p) for p in plugins)
  tpu = importlib.util.find_spec('libtpu') is not None and (
    Path('/dev/accel0').exists() or Path('/dev/vfio/0').exists())
  return nvidia or tpu


def cores() -> list[int]:
  """The processor cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def virtual_devices(count: int) -> dict[str, str]:
  """The environment in which a CPU is as many devices."""
  wanted = {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(count)}
  if count > 1:
    # With fewer threads than this XLA's rendezvous can dead-lock.
    wanted['NPROC'] = str(2 * count)
  return wanted


def launch(plan: Plan, workers: int, arguments: Sequence[str]) -> int:
  """Runs what is missing of a plan.

  Args:
    plan: the sweep.
    workers: worker processes; 0 to work in this process.
    arguments: the plan as a command line, which each worker reads again.

  Returns:
    The exit code: 0 when every run finished.
  """
  wanted = plan.groups()
  left = [g for g in (missing(g, plan.store) for g in wanted) if g]
  if not left:
    return 0
  with Display(plan, left) as display:
    if workers == 0:
      # Only the process that works may import what touches the devices.
      from experiments.runs import worker
      worker.use_compilation_cache()
      failed = worker.work(
        plan.experiment, wanted, plan.store,
        lambda state: display.update([state], _done(plan, left)))
      return 1 if failed else 0
    return _watch(plan, left, workers, arguments, display)


def _watch(plan: Plan, left: list[Group], workers: int,
           arguments: Sequence[str], display: Display) -> int:
  logs = plan.folder / 'workers'
  logs.mkdir(parents=True, exist_ok=True)
  available = cores()
  processes = []
  for i in range(workers):
    progress = logs / f'{i}.json'
    progress.unlink(missing_ok=True)
    command = [sys.executable, '-m', 'experiments', 'work', *arguments,
               f'--progress={progress}', f'--parent={os.getpid()}',
               f'--core={available[i % len(available)]}']
    with (logs / f'{i}.log').open('w') as log:
      processes.append(subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, **ALLOCATOR}))
  try:
    while any(p.poll() is None for p in processes):
      states = [read_json(logs / f'{i}.json') for i in range(workers)]
      display.update([s for s in states if s], _done(plan, left))
      time.sleep(POLL_SECONDS)
    display.update([], _done(plan, left))
  finally:
    for process in processes:
      if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    for process in processes:
      process.wait()
  codes = [p.returncode for p in processes]
  bad = [(i, code) for i, code in enumerate(codes) if code]
  for i, code in bad:
    said = (logs / f'{i}.log').read_text().strip().splitlines()
    print(f'Worker {i} ended with exit code {code}; see {logs / f"{i}.log"}'
          + ''.join(f'\n  {line}' for line in said[-1:]), file=sys.stderr)
  if all(map(plan.store.done, plan.run_ids())):
    return 0  # the others took over what a dead worker left
  return max((code if code > 0 else 1 for _, code in bad), default=0)


def failures(plan: Plan) -> list[str]:
  """What went wrong in each group that failed, in one line."""
  found = []
  for group in plan.groups():
    left = missing(group, plan.store)
    path = plan.store.group(left.id) / 'failure.json' if left else None
    failure = read_json(path) if path else None
    if failure:
      found.append(f'{failure["stratum"]}, {len(failure["runs"])} runs: '
                   f'{failure["error"]} (see {path})')
  return found


def _done(plan: Plan, groups: Sequence[Group]) -> list[str]:
  return [g.id for g in groups if all(map(plan.store.done, g.ids))]
