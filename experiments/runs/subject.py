"""What can be measured, and what a measurement gives."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from data.batch import Batch, Instance, Source, StreamedSource
from data.text.tokenizer import Tokenizer
from experiments.exchange.opening import opened
from experiments.sweeps import overrides
from experiments.sweeps.task import Pretrained, Task, Train, model_of
from model import ModelConfig
from model.language_model import Params
from train import programs, writing
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Row:
  """One measured number, a row of the results table.

  Attributes:
    metric: its name.
    value: the number.
    where: at which places in the subject it was taken, by any names: layer,
      level, hops, step, …
  """

  metric: str
  value: float
  where: Mapping[str, int | float | str] = dataclasses.field(
    default_factory=dict)


def tokenizer_of(config: Config) -> Tokenizer | None:
  """What the ids of a run's source stand for; None where they are no text."""
  found: Tokenizer | None = getattr(programs.source_of(config), 'tokenizer',
                                    None)
  return found


class Subject:
  """A model, or an exact case, whatever it came from.

  Attributes:
    id: of the task it came from.
    task: how it came about.
    scores: of a trained run: held-out loss, accuracy (and bits_per_byte), each
      of shape (groups,), by name; see `train.evaluate`.
    others: the same on further sources (`data.evaluate`), by source.
  """

  def __init__(self, run_id: str, task: Task,
               scores: Mapping[str, np.ndarray] | None = None,
               others: Mapping[str, Mapping[str, np.ndarray]] | None = None,
               points: Sequence[Mapping[str, Any]] = (),
               params: Callable[[], Params] | None = None,
               initial: Callable[[], Params] | None = None):
    """Describes a subject; parameters are fetched when they are asked for."""
    self.id = run_id
    self.task = task
    self.scores = scores or {}
    self.others = others or {}
    self._points = points
    self._params, self._initial = params, initial

  @property
  def case(self) -> Any:
    """What an exact task is about, or what of a pretrained model is asked.
    """
    return getattr(self.task, 'case', None)

  @functools.cached_property
  def curve(self) -> Mapping[str, np.ndarray]:
    """The held-out scores in the course of training, on its own source.

    Returns:
      `step`, (points,), the updates taken at each evaluation
      (`train.evaluate_every`) and at the last, which has `scores`; and each
      score by its name, (points, groups).
    """
    own = [point for point in self._points if 'source' not in point]
    steps = [*(point['step'] for point in own), self.config.train.steps]
    return {'step': np.array(steps),
            **{name: np.array([*(point[name] for point in own), last])
               for name, last in self.scores.items()}}

  @functools.cached_property
  def config(self) -> Config:
    """The run's config, complete; its layers looped and never unrolled, since
    instruments compile for a few passes.
    """
    assert isinstance(self.task, Train), f'{self.task} has no config'
    return overrides.replace(self.task.config, {'model.unroll': 1})

  @functools.cached_property
  def model(self) -> ModelConfig:
    """What its parameters are of, trained here or elsewhere."""
    found = self.config.model if isinstance(self.task, Train) else model_of(
      self.task)
    assert found, f'{self.task} has no model'
    return found

  @functools.cached_property
  def tokenizer(self) -> Tokenizer | None:
    """What its tokens stand for; None where they are no text."""
    if isinstance(self.task, Pretrained):
      return opened(self.task.path).tokenizer
    return tokenizer_of(self.config)

  @functools.cached_property
  def params(self) -> Params:
    """The parameters after the last update, or as others have trained them."""
    assert self._params, f'{self.task} has no parameters'
    return self._params()

  @functools.cached_property
  def initial(self) -> Params:
    """The parameters before the first update: the random-init baseline."""
    assert self._initial, f'{self.task} has no parameters before training'
    return self._initial()

  @property
  def untrained(self) -> Params | None:
    """The same where nothing has trained them; None where another run has, or
    nobody knows.
    """
    if not self._initial or (isinstance(self.task, Train) and self.task.start):
      return None
    return self.initial

  @property
  def source(self) -> Source:
    """Where the run's batches came from."""
    return programs.own_source(self.config)

  @functools.cached_property
  def instance(self) -> Instance:
    """The constants of that source (the grammar, the corpus)."""
    return writing.instance(self.config, self.source, lambda: self.initial)

  def held_out(self, examples: int) -> Batch:
    """The first held-out examples, the same for every run."""
    if self.source.streams:
      assert isinstance(self.source, StreamedSource)
      return self.source.host_batch(0, 'validation', 0, examples)
    return _held_out(self.source, self.instance, examples)


# Compiled whole: one operation after the other costs more.
@functools.partial(jax.jit, static_argnums=(0, 2))
def _held_out(source: Source, instance: Instance, examples: int) -> Batch:
  return source.batch(instance, 0, 'validation', 0, examples)
