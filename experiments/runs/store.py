"""Where runs keep their results: folders and files, nothing else.

    runs/<experiment>/
      runs/<run id>/result.json      a finished run; written by atomic rename
      groups/<group id>/             runs trained together: metrics, checkpoints
      <sweep>/                       results table, report, manifest

No database and no daemon: a worker that dies leaves nothing to clean up, and a
file that is there is whole.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from data import durable
from data.durable import read_json

SCHEMA = 1


class Store:
  """The finished and running work of one experiment."""

  def __init__(self, root: Path):
    self.root = root
    self._done: set[str] = set()

  def run(self, run_id: str) -> Path:
    """The folder of one run."""
    return self.root / 'runs' / run_id

  def group(self, group_id: str) -> Path:
    """The folder of runs that train together."""
    return self.root / 'groups' / group_id

  def result(self, run_id: str) -> dict[str, Any] | None:
    """A finished run's result, or None."""
    result = read_json(self.run(run_id) / 'result.json')
    return result if result and result.get('schema') == SCHEMA else None

  def done(self, run_id: str) -> bool:
    """Whether a run is finished; cheap to ask again and again."""
    if run_id not in self._done and self.result(run_id) is not None:
      self._done.add(run_id)
    return run_id in self._done

  def begun(self) -> Iterator[list[str]]:
    """The run ids of every group that was begun, in its order."""
    for path in sorted(self.root.glob('groups/*/members.json')):
      members = read_json(path)
      if members:
        yield members['runs']

  def publish(self, run_id: str, result: dict[str, Any]) -> None:
    """Declares a run done."""
    write_json(self.run(run_id) / 'result.json', {'schema': SCHEMA, **result})

  @contextmanager
  def lease(self, group_id: str) -> Iterator[bool]:
    """Whether this process may work on a group; released when it dies."""
    folder = self.group(group_id)
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / 'lease')
    try:
      lock.acquire(timeout=0)
    except filelock.Timeout:
      yield False
      return
    try:
      yield True
    finally:
      lock.release()


def write_json(path: Path, content: Any) -> None:
  """Writes a file that is whole or not there."""
  write_text(path, json.dumps(content, indent=1))


def write_text(path: Path, text: str) -> None:
  """Writes a file that is whole or not there."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with durable.written(path) as file:
    file.write(text.encode())
