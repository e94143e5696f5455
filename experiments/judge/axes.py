"""Which fields tell the runs of an experiment apart."""

from collections.abc import Sequence
from typing import Any

from experiments.sweeps import overrides
from experiments.sweeps.algebra import Cell
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Task, Train, model_of

# The fields that have a column of their own in the results table.
COLUMNS = {
  'model.n_layers': 'n_layers', 'model.d_model': 'd_model',
  'train.seed': 'seed', 'data.seed': 'instance',
  'train.learning_rate': 'learning_rate',
}
# They tell units of replication apart, and say nothing else.
SEEDS = ('train.seed', 'data.seed')
# Worked out from the data where nobody sets them.
_WORKED_OUT = ('model.vocab_size', 'model.max_length')


def fields(task: Task) -> dict[str, Any]:
  """What shapes a task, by dotted path; {} where it has no model.

  Fields that only change how fast the result comes are left out. A run that
  starts from another one has the other's id as `task.start`.
  """
  if not isinstance(task, Train):
    model = model_of(task)
    return dict(overrides.semantic(model, 'model.')) if model else {}
  start = {'task.start': run_id(task.start)} if task.start else {}
  return {**dict(overrides.semantic(task.config)), **start}


def column(path: str) -> str:
  """What a field's column in the results table is called."""
  return COLUMNS.get(path, path)


def varying(cells: Sequence[Cell]) -> list[str]:
  """The fields that vary among the cells of one arm of one stratum."""
  arms: dict[tuple[str, str], list[Cell]] = {}
  for cell in cells:
    arms.setdefault((cell.stratum, cell.arm), []).append(cell)
  return list(dict.fromkeys(
    path for group in arms.values() for path in _differing(group)))


def axes(cells: Sequence[Cell]) -> dict[str, list[Any]]:
  """The fields that a stratum sweeps and their values, in the order of cells.

  Neither seeds nor what follows from the fields before it (a width that was
  matched to the layer count, the length that a data source has) is an axis.
  The arm is one, as `arm`, where there are several.
  """
  rows = [{'arm': cell.arm, **fields(cell.task)} for cell in cells]
  candidates = [path for path in ['arm', *varying(cells)] if path not in SEEDS]
  # What varies slowest was named first; what is worked out comes last.
  candidates.sort(key=lambda path: (path in _WORKED_OUT, path != 'arm',
                                    -_first_change(rows, path)))
  kept: list[str] = []
  for path in candidates:
    known = {tuple(row.get(p) for p in kept) for row in rows}
    finer = {tuple(row.get(p) for p in (*kept, path)) for row in rows}
    if len(finer) > len(known):
      kept.append(path)
  return {path: list(dict.fromkeys(row.get(path) for row in rows))
          for path in kept}


def _first_change(rows: Sequence[dict[str, Any]], path: str) -> int:
  return next((index for index, row in enumerate(rows)
               if row.get(path) != rows[0].get(path)), 0)


def _differing(cells: Sequence[Cell]) -> list[str]:
  rows = [fields(cell.task) for cell in cells]
  paths = dict.fromkeys(path for row in rows for path in row)
  return [path for path in paths
          if len({row.get(path) for row in rows}) > 1]
