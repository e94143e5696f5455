"""What is done to get something that can be measured."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from experiments.exchange.opening import opened
from model import ModelConfig
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Train:
  """Train a model.

  Attributes:
    config: the run.
    start: whose parameters it starts from, instead of random ones; what of
      them is trained is `config.train.trainable`. Runs with one parent train
      it once.
  """

  config: Config
  start: Train | Pretrained | None = None


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """Take a model that somebody else has trained.

  Attributes:
    path: its file or folder; the model is known by their content.
    case: what of it is measured, where that is not all: a value as `Exact`
      takes it, that can be hashed.
  """

  path: str
  case: Any = None


@dataclasses.dataclass(frozen=True)
class Exact:
  """Train nothing: what is measured follows from the case alone.

  Attributes:
    case: a value that JSON can hold, tuples and frozen dataclasses included.
    key: the case as text. Cases are equal where it is: 1 and True are not.

  Raises:
    TypeError: the case holds something else.
  """

  case: Any = dataclasses.field(compare=False)
  key: str = dataclasses.field(init=False, repr=False)

  def __post_init__(self) -> None:
    """Works out the key."""
    object.__setattr__(self, 'key', json.dumps(plain(self.case),
                                               sort_keys=True))


Task = Train | Pretrained | Exact


def model_of(task: Task) -> ModelConfig | None:
  """What the parameters of a task are of; None where it has none.

  Raises:
    UnreadableModel: a pretrained one cannot be read.
  """
  match task:
    case Train():
      return task.config.model
    case Pretrained():
      return opened(task.path).config
  return None


def plain(value: Any) -> Any:
  """A case as JSON, different for different cases.

  Raises:
    TypeError: it holds something else than numbers, text, tuples, mappings and
      frozen dataclasses.
  """
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {type(value).__name__: {f.name: plain(getattr(value, f.name))
                                   for f in dataclasses.fields(value)}}
  if isinstance(value, Mapping):  # a list, which tells the keys 1 and '1' apart
    return {'mapping': sorted(
      ([plain(key), plain(item)] for key, item in value.items()), key=repr)}
  if isinstance(value, tuple | list):
    return [plain(item) for item in value]
  if value is None or isinstance(value, str | int | float):
    return value
  raise TypeError(f'{value!r} cannot be a case: use numbers, text, tuples, '
                  'dicts and frozen dataclasses')


def parents(task: Task) -> tuple[Task, ...]:
  """What has to be done before, the nearest last."""
  if not isinstance(task, Train) or task.start is None:
    return ()
  return (*parents(task.start), task.start)
