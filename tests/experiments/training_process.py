"""`fathom train` as a person starts it: real processes on a tiny run."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from experiments.commands import cluster, main
from experiments.machine import compiler, process

ROOT = Path(__file__).parents[2]
SECONDS = 900  # a hang, on a machine however slow
TINY = [
  'lm-small', '--config.model.n_layers=1', '--config.model.d_model=16',
  '--config.model.n_heads=2', '--config.data.length=16',
  '--config.data.batch_size=4', '--config.train.steps=60',
  '--config.train.chunk_steps=5', '--config.train.checkpoint_every=10',
  '--config.train.evaluate_every=20', '--config.train.evaluation_batches=2']


class Train:
  """One running command; what it says is read as it says it."""

  def __init__(self, runs, *arguments, config=(), bare=False):
    """Starts it.

    Args:
      runs: its folder.
      arguments: beside those of every test.
      config: of the run, likewise.
      bare: leaves it to the command to set what it needs in the environment,
        for which it starts itself again.
    """
    arguments = [*TINY, *config, f'--runs={runs}', *arguments]
    environment = {
      k: v for k, v in os.environ.items()
      if k not in ('NPROC', 'JAX_NUM_CPU_DEVICES')}
    environment |= {
      'JAX_PLATFORMS': 'cpu', 'PYTHONUNBUFFERED': '1',
      # Tests compile much and compute little.
      'XLA_FLAGS': compiler.flags(level=0)}
    if not bare:
      environment |= cluster.environment(
        main.parse(['train', *arguments]), 'auto')
    self.lines = []
    self._process = subprocess.Popen(
      process.command('train', *arguments),
      cwd=ROOT, env=environment, stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True, start_new_session=True)
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()

  @property
  def pid(self):
    return self._process.pid

  def _read(self):
    for line in self._process.stdout:
      self.lines.append(line.rstrip())

  def signal(self, number):
    with contextlib.suppress(ProcessLookupError):
      self._process.send_signal(number)

  def until(self, text, seconds=SECONDS):
    """Waits for a line that holds `text`, or for the end."""
    deadline = time.monotonic() + seconds
    while not any(text in line for line in self.lines):
      assert time.monotonic() < deadline, self.said()
      if self._process.poll() is not None:
        return
      time.sleep(0.02)

  def code(self, seconds=SECONDS):
    """Waits for the end; the exit code."""
    code = self._process.wait(timeout=seconds)
    self._reader.join(timeout=seconds)
    return code

  def said(self):
    return '\n'.join(self.lines)

  def saved(self):
    """The steps that it reported as saved."""
    return [int(line.rsplit(' ', 1)[1]) for line in self.lines
            if line.startswith('saved step')]

  def __enter__(self):
    return self

  def __exit__(self, *_):
    # Children of a --local-processes parent end with it.
    if self._process.poll() is None:
      self.signal(signal.SIGKILL)
    self._process.wait(timeout=SECONDS)
    self._reader.join(timeout=SECONDS)
    self._process.stdout.close()


def folder(runs):
  """That of the one run."""
  found, = runs.glob('trained/*/')
  return found


def lines(runs):
  """What metrics.jsonl says, without what the clock says."""
  text = (folder(runs) / 'metrics.jsonl').read_text()
  clock = ('seconds', 'data_wait')
  return [{k: v for k, v in json.loads(line).items() if k not in clock}
          for line in text.splitlines()]


def goodput(runs):
  return json.loads((folder(runs) / 'goodput.json').read_text())
