"""Where results are kept: folders and files, nothing else.

    <runs>/trained/<run id>/          one run, shared by all experiments
      config.json, result.json        what it is, and that it is finished
      params.safetensors              its parameters
      tokenizer.json or .model        what its ids stand for, where a file says
      measurements/<digest>.json      rows that an instrument took of it
    <runs>/together/<group id>/       runs that train side by side: metrics,
                                      checkpoints (of one run: in its folder)
    <runs>/<experiment>/<preset>/     seal, table, report, manifest

No database and no daemon: a worker that dies leaves nothing to clean up, and a
file that is there is whole. A result that is another run's, or of which a digit
was changed, is refused.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data import durable
from experiments.machine.usage import UsageError
from experiments.sweeps.packing import Group
from model.language_model import Params

SCHEMA = 3
PARAMS = 'params.safetensors'


class Store:
  """The finished and running work below one folder."""

  def __init__(self, root: Path):
    self.root = root
    self._done: set[str] = set()
    self._measured: set[tuple[str, str]] = set()

  def run(self, run_id: str) -> Path:
    """The folder of one run."""
    return self.root / 'trained' / run_id

  def group(self, group: Group) -> Path:
    """The folder of runs that train together."""
    if len(group.ids) == 1:
      return self.run(group.ids[0])
    return self.root / 'together' / group.id

  def result(self, run_id: str) -> dict[str, Any] | None:
    """A finished run's result, or None.

    Raises:
      UsageError: there is a file, and it is not what was written.
    """
    return _read(self.run(run_id) / 'result.json', run_id)

  def done(self, run_id: str) -> bool:
    """Whether a run is finished; cheap to ask again and again."""
    if run_id not in self._done and self.result(run_id) is not None:
      self._done.add(run_id)
    return run_id in self._done

  def begun(self) -> Iterator[list[str]]:
    """The run ids of every group that was begun, in its order."""
    for path in sorted(self.root.glob('together/*/members.json')):
      if members := durable.read_json(path):
        yield members['runs']

  def publish(self, run_id: str, result: dict[str, Any]) -> None:
    """Declares a run done; what was measured of an earlier training goes."""
    for path in self.run(run_id).glob('measurements/*.json'):
      path.unlink()
    self._measured = {each for each in self._measured if each[0] != run_id}
    _write(self.run(run_id) / 'result.json', run_id, result)

  def measurement(self, run_id: str, digest: str) -> list[Any] | None:
    """The rows that an instrument took of a run, or None."""
    path = self._measurement(run_id, digest)
    content = _read(path, run_id)
    if content is None:
      return None
    if content['instrument'] != digest:
      raise UsageError(f'{path} is of another instrument; restore it, or '
                       f'remove {path} to have it made again')
    rows: list[Any] = content['rows']
    return rows

  def measured(self, run_id: str, digest: str) -> bool:
    """Whether an instrument was taken of a run; cheap to ask again and again.
    """
    key = run_id, digest
    if key not in self._measured and self.measurement(*key) is not None:
      self._measured.add(key)
    return key in self._measured

  def keep_measurement(self, run_id: str, digest: str,
                       rows: Sequence[Any]) -> None:
    """Keeps the rows that an instrument took of a run."""
    _write(self._measurement(run_id, digest), run_id, {
      'instrument': digest, 'rows': list(rows)})

  def _measurement(self, run_id: str, digest: str) -> Path:
    return self.run(run_id) / 'measurements' / f'{digest}.json'

  def keep_params(self, run_id: str, params: Params) -> str:
    """Writes a run's parameters; their sha256, for its result."""
    from safetensors.numpy import save
    path = self.run(run_id) / PARAMS
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save({path: np.ascontiguousarray(x)
                    for path, x in flatten_dict(params, sep='/').items()})
    with durable.written(path) as file:
      file.write(content)
    return hashlib.sha256(content).hexdigest()

  def keep_tokenizer(self, run_id: str, name: str, content: bytes) -> None:
    """Writes the file of a run's tokenizer, whatever becomes of the original.

    Args:
      run_id: whose.
      name: of the file.
      content: its bytes; their sha256 is the tokenizer's name in the result.
    """
    with durable.written(self.run(run_id) / name) as file:
      file.write(content)

  def params(self, run_id: str) -> Params:
    """A finished run's parameters.

    Raises:
      UsageError: they were not kept, or are not what was written.
    """
    from safetensors.numpy import load
    path = self.run(run_id) / PARAMS
    again = f'remove {path.parent} to train this run again'
    try:
      content = path.read_bytes()
    except OSError as error:
      raise UsageError(f'{path} cannot be read ({error.strerror}); {again}'
                       ) from None
    result = self.result(run_id) or {}
    if hashlib.sha256(content).hexdigest() != result.get('parameters'):
      raise UsageError(
        f'{path} is not what was written; restore it, or {again}')
    tree: Params = unflatten_dict(load(content), sep='/')
    return tree

  @contextlib.contextmanager
  def lease(self, run_ids: Sequence[str]) -> Iterator[bool]:
    """Whether this process may work on these runs; released when it dies."""
    with contextlib.ExitStack() as stack:
      for run_id in sorted(run_ids):
        folder = self.run(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / 'lease')
        try:
          lock.acquire(timeout=0)
        except filelock.Timeout:
          stack.close()
          yield False
          return
        stack.callback(lock.release)
      yield True


def check_layout(root: Path, experiment: str) -> None:
  """Raises UsageError where results lie as they did in earlier versions."""
  for old in (root / experiment / 'runs', root / experiment / 'groups',
              root / 'train'):
    if old.is_dir():
      raise UsageError(
        f'{old} holds results of an earlier layout, which are not read: '
        'measurements are now kept apart from runs. Remove it, or name another '
        'folder with --runs')


def _read(path: Path, run_id: str) -> dict[str, Any] | None:
  try:
    text = path.read_text()
  except FileNotFoundError:
    return None
  again = f'restore it, or remove {path} to have it made again'
  try:
    content = json.loads(text)
    checksum = content.pop('checksum', None)
    schema, held = content.pop('schema', None), content.pop('run', None)
  except (ValueError, AttributeError, TypeError):
    raise UsageError(f'{path} is damaged; {again}') from None
  if schema != SCHEMA:
    raise UsageError(f'{path} is of another version of Fathom; {again}')
  if held != run_id:
    raise UsageError(f'{path} belongs to run {held}; {again}')
  if checksum != _checksum(run_id, content):
    raise UsageError(f'{path} is not what was written; {again}')
  return content


def _write(path: Path, run_id: str, content: dict[str, Any]) -> None:
  content = json.loads(json.dumps(content))  # as it will be read
  path.parent.mkdir(parents=True, exist_ok=True)
  durable.write_json(path, {
    'schema': SCHEMA, 'run': run_id, **content,
    'checksum': _checksum(run_id, content)})


def _checksum(run_id: str, content: dict[str, Any]) -> str:
  text = json.dumps([SCHEMA, run_id, content], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
