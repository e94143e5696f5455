"""Being told to stop: SIGTERM from a scheduler, Ctrl-C from a person."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental import multihost_utils


class Preemption:
  """Whether to save and stop after this chunk; ask once in every chunk.

  With several processes JAX itself listens for SIGTERM and finds the chunk at
  which all of them can stop, so that they save the same step.
  """

  def __init__(self, processes: Callable[[], int] = jax.process_count):
    """Takes what counts the processes of a run; JAX asks the devices."""
    self._processes = processes
    self._told = False
    self._chunks = 0

  def told(self) -> bool:
    """Whether to stop here; the same in every process."""
    self._chunks += 1
    if self._processes() > 1:
      return multihost_utils.reached_preemption_sync_point(self._chunks)
    return self._told

  @contextmanager
  def listening(self) -> Iterator['Preemption']:
    """Takes over SIGTERM and Ctrl-C; a second one ends the process at once."""
    if self._processes() > 1:
      yield self
      return
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
      for number, handler in before.items():
        signal.signal(number, handler)

    def tell(*_: Any) -> None:
      self._told = True
      restore()

    for number in before:
      signal.signal(number, tell)
    try:
      yield self
    finally:
      restore()
