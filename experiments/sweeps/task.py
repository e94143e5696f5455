"""What is done to get something that can be measured."""

from __future__ import annotations

import dataclasses
from typing import Any

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
  """

  path: str


@dataclasses.dataclass(frozen=True)
class Exact:
  """Train nothing: what is measured follows from the case alone.

  Attributes:
    case: a value that JSON can hold, tuples and frozen dataclasses included.
  """

  case: Any


Task = Train | Pretrained | Exact


def parents(task: Task) -> tuple[Task, ...]:
  """What has to be done before, the nearest last."""
  if not isinstance(task, Train) or task.start is None:
    return ()
  return (*parents(task.start), task.start)
