"""Measurements: taken once of each subject, and kept beside it.

A measurement is known by the digest of its own source and constants, so a
changed instrument measures again, and nothing is trained again for it.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import train
from data.batch import Source
from experiments.exchange.opening import opened
from experiments.runs import digest
from experiments.runs.store import Store
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Part
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Pretrained, Task, Train
from model.language_model import Params
from train import programs
from train.start import Load

Measure = Callable[[Subject], Sequence[Row]]


def held_out(subject: Subject) -> list[Row]:
  """The held-out scores themselves: what is measured where nothing is said."""
  rows = _scored(subject.scores, subject.source, {})
  for name, source in programs.others_of(subject.config).items():
    rows += _scored(subject.others[name], source, {'source': name})
  return rows


def _scored(scores: Mapping[str, np.ndarray], source: Source,
            where: Mapping[str, str]) -> list[Row]:
  groups = source.groups
  return [Row(metric, float(value),
              {**where, **({'group': group} if len(groups) > 1 else {})})
          for metric, values in scores.items()
          for group, value in zip(groups, values)]


def of(part: Part) -> Measure:
  """What measures the subjects of a part."""
  return part.measure or held_out


@functools.cache
def name(measure: Measure) -> str:
  """What the files of a measurement are called: sixteen hex digits."""
  return digest.digest(measure)[:16]


def planned(parts: Iterable[Part],
            cells: Iterable[Cell]) -> dict[str, list[Measure]]:
  """The measures of each run, by its id; those that strata share, once."""
  measures = {part.name: of(part) for part in parts}
  found: dict[str, list[Measure]] = {}
  for cell in cells:
    own = found.setdefault(run_id(cell.task), [])
    if measures[cell.stratum] not in own:
      own.append(measures[cell.stratum])
  return found


def missing(store: Store, run: str,
            measures: Sequence[Measure]) -> list[Measure]:
  """Those that have not been taken of a run; none where it diverged."""
  result = store.result(run)
  if result and result['status'] == 'diverged':
    return []
  return [m for m in measures if not store.measured(run, name(m))]


def take(store: Store, subject: Subject, measure: Measure) -> None:
  """Measures a subject and keeps the rows."""
  # As plain numbers: instruments count and average in arrays.
  rows = [{'metric': row.metric, 'value': float(row.value),
           'where': {place: value.item() if hasattr(value, 'item') else value
                     for place, value in row.where.items()}}
          for row in measure(subject)]
  store.keep_measurement(subject.id, name(measure), rows)


def stored(store: Store, task: Task) -> Subject:
  """A finished task as a subject, read when it is looked at."""
  run = run_id(task)
  if isinstance(task, Pretrained):
    return Subject(run, task, params=params(store, task))
  if not isinstance(task, Train):
    return Subject(run, task)
  result = store.result(run)
  assert result, f'run {run} is not finished'
  scores = _arrays(result['scores'])
  others = {name: _arrays(each) for name, each in result['others'].items()}
  return Subject(run, task, scores, others, result['curves'],
                 params(store, task), initial(store, task))


def _arrays(scores: Mapping[str, Any]) -> dict[str, np.ndarray]:
  return {name: np.array(values) for name, values in scores.items()}


def params(store: Store, task: Task) -> Callable[[], Params]:
  """What reads the parameters of a finished run, wherever they were kept, or of
  a pretrained model.
  """
  if isinstance(task, Pretrained):
    return opened(task.path).params
  assert isinstance(task, Train)
  run = run_id(task)

  def load() -> Params:
    result = store.result(run)
    if result and result['parameters'] is None:
      large: Params = train.saved(task.config, store.run(run))
      return large
    return store.params(run)

  return load


def initial(store: Store, task: Task) -> Callable[[], Params]:
  """What works out the parameters before a run's first update."""
  assert isinstance(task, Train)
  return lambda: train.initial(task.config, start(store, task))


def start(store: Store, task: Task) -> Load | None:
  """What loads the parameters that a run starts from; None: random ones."""
  if not isinstance(task, Train) or task.start is None:
    return None
  parent = task.start

  def load() -> Params:
    result = store.result(run_id(parent))
    if result and result['status'] == 'diverged':
      # What starts from a run that diverged has diverged.
      lost: Params = jax.tree.map(lambda x: np.full_like(x, np.nan),
                                  initial(store, parent)())
      return lost
    return params(store, parent)()

  return load


def rows(store: Store, task: Task, part: Part) -> list[Mapping[str, Any]]:
  """The rows of a finished task in a part: learning curve and measurement."""
  run = run_id(task)
  result = store.result(run) or {'curves': []}
  curve = [dataclasses.asdict(Row(
    'validation_loss', float(np.mean(point['loss'])),
    {k: point[k] for k in ('step', 'source') if k in point}))
    for point in result['curves']]
  return [*curve, *(store.measurement(run, name(of(part))) or [])]
