"""Starts the workers of a sweep and watches them.

On a CPU each worker is a process pinned to one core: two such workers finish a
sweep of small models well before one process with two threads. An accelerator
is given to this process. Workers get a command line, never a closure.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data.durable import read_json
from experiments.machine import process, usage
from experiments.runs.preemption import Preemption
from experiments.runs.progress import SweepProgress

POLL_SECONDS = 0.3


def worker_count(requested: int | None, groups: int) -> int:
  """How many worker processes to start; 0 means this process does the work."""
  if requested is not None:
    return min(requested, groups)
  return 0 if process.accelerator_installed() else min(len(process.cores()),
                                                       groups)


def watch(arguments: Sequence[str], workers: int, folder: Path,
          progress: SweepProgress) -> int:
  """Runs a plan in workers.

  Args:
    arguments: the plan as a command line, which each worker reads again.
    workers: how many processes.
    folder: where they say how far they are, and keep their logs.
    progress: shows it.

  Returns:
    The exit code: 0 when every run finished.
  """
  folder.mkdir(parents=True, exist_ok=True)
  preemption = Preemption(lambda: 1)  # touches no device: workers do
  with preemption.listening():
    processes = [_start(i, arguments, folder) for i in range(workers)]
    try:
      told = False
      while any(p.poll() is None for p in processes):
        if preemption.told() and not told:
          told = True  # they save, and end
          _signal(processes, signal.SIGTERM)
        states = [read_json(folder / f'{i}.json') for i in range(workers)]
        progress.update([s for s in states if s])
        time.sleep(POLL_SECONDS)
      progress.update([])
    finally:
      _signal(processes, signal.SIGTERM)
      for each in processes:
        each.wait()
  codes = [p.returncode for p in processes]
  for i, code in enumerate(codes):
    if code and code != usage.PREEMPTED:
      said = (folder / f'{i}.log').read_text().strip().splitlines()
      print(f'Worker {i} ended with exit code {code}; see {folder / f"{i}.log"}'
            + ''.join(f'\n  {line}' for line in said[-1:]), file=sys.stderr)
  if progress.complete():
    return 0  # the others took over what a dead worker left
  return max((code if code > 0 else usage.FAILED for code in codes if code),
             default=0)


def _start(index: int, arguments: Sequence[str],
           folder: Path) -> 'subprocess.Popen[bytes]':
  progress = folder / f'{index}.json'
  progress.unlink(missing_ok=True)
  cores = process.cores()
  command = process.command(
    'work', *arguments, f'--progress={progress}', f'--parent={os.getpid()}',
    f'--core={cores[index % len(cores)]}')
  with (folder / f'{index}.log').open('w') as log:
    return subprocess.Popen(
      command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
      env={**os.environ, **process.ALLOCATOR},
      # Ctrl-C comes to this process alone, which passes it on.
      start_new_session=True)


def _signal(processes: Sequence['subprocess.Popen[bytes]'],
            number: signal.Signals) -> None:
  for each in processes:
    if each.poll() is None:
      each.send_signal(number)
