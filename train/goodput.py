"""Goodput: where the seconds of a run go, over all its restarts."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data import durable

# start: until the first chunk is asked for, restoring included; lost: steps
# that were taken after the last checkpoint and had to be taken again.
PARTS = ('start', 'compile', 'data_wait', 'step', 'evaluate', 'checkpoint',
         'lost')
WRITE_SECONDS = 1.0


class Goodput:
  """Adds up seconds by part; with a file, over every process of a run.

  What a killed process did after its last line of metrics is in no part.

  Attributes:
    seconds: by part, of this process.
    restarts: how often the run was begun before.
  """

  def __init__(self, path: Path | None = None):
    self._path = path
    before = (path and durable.read_json(path)) or {}
    self.restarts = before.get('starts', 0)
    self._before = {p: before.get('seconds', {}).get(p, 0.0) for p in PARTS}
    self.seconds = dict.fromkeys(PARTS, 0.0)
    self._lap = 0.0
    self._written = time.monotonic()

  @contextmanager
  def part(self, name: str) -> Iterator[None]:
    """Counts the time inside towards `name`; not to be nested."""
    started = time.perf_counter()
    try:
      yield
    finally:
      self.seconds[name] += time.perf_counter() - started

  def lap(self) -> float:
    """Seconds of training since the last call: steps and waiting for data."""
    spent = self.seconds['step'] + self.seconds['data_wait']
    lap, self._lap = spent - self._lap, spent
    return lap

  def lose(self, lines: Iterable[Mapping[str, Any]]) -> None:
    """Moves the time of metrics lines that are taken back to `lost`."""
    for line in lines:
      if line['split'] == 'train':
        waited = line.get('data_wait', 0.0)
        self._before['data_wait'] -= waited
        self._before['step'] -= line.get('seconds', 0.0) - waited
        self._before['lost'] += line.get('seconds', 0.0)

  def total(self) -> dict[str, float]:
    """Seconds by part, over all processes that worked on the run."""
    return {p: max(0.0, self._before[p] + self.seconds[p]) for p in PARTS}

  def share(self) -> float:
    """Goodput: the share of all time in which kept steps were taken."""
    total = self.total()
    return total['step'] / max(sum(total.values()), 1e-9)

  def write(self, at_once: bool = False) -> None:
    """Keeps the totals; at most once a second unless `at_once`."""
    now = time.monotonic()
    if not self._path or (now - self._written < WRITE_SECONDS and not at_once):
      return
    self._written = now
    durable.replace(self._path, json.dumps({
      'starts': self.restarts + 1, 'goodput': self.share(),
      'seconds': self.total()}, indent=1))
