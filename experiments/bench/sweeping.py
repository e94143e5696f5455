"""The part `sweep`: a sweep's wall-clock against one process for each run."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.bench import turns
from experiments.claims import depth
from experiments.machine import process
from experiments.sweeps import plan

PLAN = ('depth', '--preset=smoke', '--strata=text')


def report() -> None:
  """Prints the wall-clock of both."""
  with tempfile.TemporaryDirectory() as folder:
    cache = {**os.environ, 'XDG_CACHE_HOME': f'{folder}/cache'}
    runs = plan.make(depth.EXPERIMENT, 'smoke', ['text'], {},
                     Path(folder) / 'count').run_ids()
    together = command(['run', *PLAN, f'--runs={folder}/together'], cache)
    apart = sum(command(['work', 'run', *PLAN, f'--runs={folder}/apart',
                         f'--only={run}'],
                        {**cache, 'XDG_CACHE_HOME': f'{folder}/{i}'})
                for i, run in enumerate(runs))
  print(f'\nsweep: {len(runs)} runs of `fathom run {" ".join(PLAN)}`, seconds, '
        'report included\n\n'
        '   together   one process a run   apart/together\n'
        f'{together:11.1f} {apart:19.1f} {apart / together:16.2f}\n'
        'aim: together takes less '
        f'({turns.verdict([together < apart])})', flush=True)


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
  """Seconds that a `fathom` command takes.

  Raises:
    ChildProcessError: it failed.
  """
  start = time.perf_counter()
  code = subprocess.run(process.command(*arguments),
                        env=environment, stdout=subprocess.DEVNULL,
                        check=False).returncode
  if code:
    raise ChildProcessError(f'fathom {" ".join(arguments)} ended with {code}')
  return time.perf_counter() - start
