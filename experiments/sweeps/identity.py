"""What makes two runs the same run: a hash of everything that shapes them."""

import functools
import hashlib
import json
from typing import Any

from experiments.exchange.opening import opened
from experiments.sweeps.task import Exact, Pretrained, Task, Train, plain
from train import programs, serialization
from train.config import Config

# A run is known by the fields that differ from their defaults, so a new field
# makes no old run another one. A default that changes does, and must raise
# this: `tests/experiments/sweeps/test_identity.py` holds the defaults.
VERSION = 2


@functools.cache
def run_id(task: Task) -> str:
  """Twelve hex digits that name a task.

  Fields that only change how fast the result comes are left out. A text is
  known by its content, not by its path; so is a pretrained model. What starts
  from another run is another run for another parent.
  """
  return digest(content(task))


def content(task: Task) -> dict[str, Any]:
  """What identifies a task, as plain values."""
  match task:
    case Train():
      start = {'start': content(task.start)} if task.start else {}
      return {'version': VERSION, **fields(task.config), **start}
    case Pretrained():
      own = {} if task.case is None else {'case': plain(task.case)}
      return {'version': VERSION, 'pretrained': opened(task.path).fingerprint,
              **own}
    case Exact():
      return {'version': VERSION, 'exact': plain(task.case)}
    case _:
      raise TypeError(f'{task!r} is no task')


def fields(config: Config) -> dict[str, Any]:
  """The semantic fields that differ from their defaults, by dotted path.

  What a data source reads from files is there as the source's fingerprint. Of
  several texts the names count too: scores are kept by them.
  """
  found = serialization.differing(config)
  source, others = programs.source_of(config), programs.others_of(config)
  fingerprints = [each.fingerprint for each in (source, *others.values())]
  if not any(fingerprints):
    return found
  names = [*(source.groups if len(source.groups) > 1 else ()), *others]
  return {**found, 'fingerprints': fingerprints,
          **({'names': names} if names else {})}


def digest(value: Any) -> str:
  """Twelve hex digits of a value that JSON can hold."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]
