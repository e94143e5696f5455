"""metrics.jsonl: the truth about a training run, one line per chunk."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import durable


class MetricsLog:
  """Appends lines; a line is whole or, after a crash, left out.

  A run that resumes from step s drops the lines beyond s first, so the file
  reads as if nothing had happened.

  A line of a chunk of training has, beside the means over the chunk, `seconds`
  of training and `data_wait`, the part of them spent waiting for data.

  Attributes:
    dropped: the lines that were taken back.
  """

  def __init__(self, path: Path, resume_step: int = 0):
    lines = list(read(path))
    kept = [line for line in lines if line['step'] <= resume_step]
    # What a process that was killed did after its last checkpoint.
    self.dropped = [line for line in lines if line['step'] > resume_step]
    durable.replace(path, ''.join(map(_encode, kept)))
    self._path = path
    self._file = path.open('a')

  def write(self, line: Mapping[str, Any]) -> None:
    """Adds one line; it must hold a `step`."""
    with durable.named(self._path):
      self._file.write(_encode(line))
      self._file.flush()

  def __enter__(self) -> 'MetricsLog':
    return self

  def __exit__(self, *_: object) -> None:
    with contextlib.suppress(OSError):  # what was not written has been told
      self._file.close()


class NoLog:
  """What every process but the first writes its metrics to."""

  dropped: Sequence[dict[str, Any]] = ()

  def write(self, line: Mapping[str, Any]) -> None:
    """Process 0 has written it."""


def read(path: Path) -> Iterator[dict[str, Any]]:
  """The whole lines of a metrics file; none when there is no file."""
  if not path.exists():
    return
  with path.open() as f:
    for line in f:
      if line.endswith('\n'):
        yield json.loads(line)


def _encode(line: Mapping[str, Any]) -> str:
  return json.dumps({k: _plain(v) for k, v in line.items()}) + '\n'


def _plain(value: Any) -> Any:
  """JSON has no infinities: a non-finite number is written as null."""
  if isinstance(value, list):
    return [_plain(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
