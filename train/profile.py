"""A trace of a few steps, for xprof or TensorBoard's profile tab."""

from pathlib import Path

import jax


class NoProfile:
  """No steps are traced."""

  stops: tuple[int, ...] = ()

  def at(self, step: int) -> None:
    """Nothing starts or stops."""


class Profile:
  """Traces the steps [first, last) of a run.

  Every process has to have one, since all of them end their chunks together;
  only the first writes.

  Attributes:
    stops: where chunks have to end, so that the trace holds just these steps.
    taken: whether there is a trace.
  """

  def __init__(self, first: int, last: int, folder: Path):
    self.stops = (first, last)
    self.taken = False
    self._folder = folder
    self._running = False

  def at(self, step: int) -> None:
    """Starts or stops tracing before `step`, with no step in flight."""
    first, last = self.stops
    if self._running and step >= last:
      self.close()
    elif step == first and jax.process_index() == 0:
      jax.profiler.start_trace(self._folder)
      self._running = True

  def close(self) -> None:
    """Writes the trace, if one is being taken."""
    if self._running:
      self._running = False
      jax.profiler.stop_trace()
      self.taken = True
