"""A trace of a few steps, for xprof or TensorBoard's profile tab."""

from pathlib import Path

import jax
from absl import logging


class Profile:
  """Traces the steps [first, last) of a run.

  Attributes:
    stops: where chunks have to end, so that the trace holds just these steps.
  """

  def __init__(self, first: int, last: int, folder: Path):
    self.stops = (first, last)
    self._folder = folder
    self._running = False

  def at(self, step: int) -> None:
    """Starts or stops tracing before `step`, with no step in flight."""
    first, last = self.stops
    if self._running and step >= last:
      self.close()
    elif step == first:
      jax.profiler.start_trace(self._folder)
      self._running = True

  def close(self) -> None:
    """Writes the trace, if one is being taken."""
    if self._running:
      self._running = False
      jax.profiler.stop_trace()
      logging.info('Trace written to %s', self._folder)
