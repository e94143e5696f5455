"""Who of several processes is still there: heartbeats in the run's folder.

JAX notices a process that died or hangs, and then aborts the others, some of
them with a message from deep inside a library. So that a person learns which
process it was, each one counts in a file of its own, and watches the others
count. What is compared is always the time since *this* process saw a count
change, so the hosts' clocks need not agree.
"""

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from data import durable

BEAT_SECONDS = 0.5
ENDED = ('done', 'failed')


class Peers:
  """Beats for this process and watches the others, from a thread of its own.

  A process that never comes, or falls silent for `timeout` seconds, ends this
  one with exit code 1 and a message that names it.
  """

  def __init__(self, folder: Path, process: int, processes: int, timeout: int):
    self._folder = folder
    self._process = process
    self._timeout = timeout
    self._count = 0
    self._step = -1
    self._state, self._reason = 'starting', ''
    self._lock = threading.Lock()
    # By process: what it said last, and when that last changed.
    self._heard: dict[int, tuple[dict[str, Any], float]] = {}
    self._others = [i for i in range(processes) if i != process]
    self._first: dict[int, Any] = {}  # left over from an earlier start
    self._started = time.monotonic()
    self._stop = threading.Event()
    folder.mkdir(parents=True, exist_ok=True)

  def start(self) -> None:
    """Begins to beat and to watch."""
    self._first = {i: durable.read_json(self._path(i)) for i in self._others}
    self._beat()
    threading.Thread(target=self._watch, name='peers', daemon=True).start()

  def at(self, step: int) -> None:
    """Notes how far this process has come."""
    self._step = step
    self._state = 'training'

  def end(self, state: str, reason: str = '') -> None:
    """Says goodbye: the others need not wait for this process.

    Args:
      state: 'done', or 'failed' with the reason.
      reason: what the others should tell.
    """
    self._stop.set()
    self._state, self._reason = state, reason
    self._beat()

  def absent(self, patience: float = 4 * BEAT_SECONDS) -> str:
    """Who is gone or failed, after listening for a moment; '' for nobody."""
    self._listen()  # to what was said before, and is no sign of life now
    asked = time.monotonic()
    while time.monotonic() < asked + patience:
      self._listen()
      time.sleep(BEAT_SECONDS / 2)
    silent, failed = [], []
    for i in self._others:
      said, when = self._heard.get(i, ({}, 0.0))
      if said.get('state') == 'failed':
        failed.append(f'process {i} ({_where(said)}) failed: {said["reason"]}')
      elif said.get('state') != 'done' and when < asked:
        silent.append(self._describe(i))
    # Those that failed did so because of the silent, where there are any.
    return '; '.join(silent or failed)

  def _watch(self) -> None:
    while not self._stop.wait(BEAT_SECONDS):
      self._beat()
      self._listen()
      late = [i for i in self._others if self._is_late(i)]
      if late:
        gone = '; '.join(map(self._describe, late))
        self.end('failed', f'gave up on {late}')
        message = (f'fathom: process {self._process} ends after waiting '
                   f'{self._timeout} s: {gone}')
        sys.stderr.write(message + '\n')
        sys.stderr.flush()
        os._exit(1)  # the main thread may be stuck in a collective

  def _is_late(self, i: int) -> bool:
    said, when = self._heard.get(i, ({}, self._started))
    return (said.get('state') not in ENDED
            and time.monotonic() - when > self._timeout)

  def _describe(self, i: int) -> str:
    if i not in self._heard:
      return f'process {i} never came'
    said, when = self._heard[i]
    where = f'at step {said["step"]}' if said['step'] >= 0 else 'at its start'
    return (f'process {i} ({_where(said)}) was last heard of {where}, '
            f'{time.monotonic() - when:.0f} s ago')

  def _beat(self) -> None:
    with self._lock:
      self._count += 1
      durable.replace(self._path(self._process), json.dumps({
        'count': self._count, 'host': socket.gethostname(), 'pid': os.getpid(),
        'step': self._step, 'state': self._state, 'reason': self._reason}))

  def _listen(self) -> None:
    for i in self._others:
      said = durable.read_json(self._path(i))
      last = self._heard[i][0] if i in self._heard else self._first.get(i)
      if said and said != last:
        self._heard[i] = (said, time.monotonic())

  def _path(self, process: int) -> Path:
    return self._folder / f'process-{process}.json'


def _where(said: dict[str, Any]) -> str:
  return f'{said["host"]}, pid {said["pid"]}'
