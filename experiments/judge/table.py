"""The results: one tidy table, one number a row.

Columns that describe the run come first, then those that say where in it a
number was taken. Of the run's fields there are a few that each table has, and,
by their dotted path, those that vary within an arm of it.
"""

import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from data import durable
from experiments.judge import axes
from experiments.judge.axes import COLUMNS
from experiments.machine.usage import UsageError
from experiments.runs import instrument
from experiments.runs.store import Store
from experiments.sweeps import cost
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Part
from experiments.sweeps.identity import run_id
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Task, Train, model_of

# Of each run; `seed` and `instance` name the unit of replication.
RUN = {
  'stratum': pl.String, 'arm': pl.String, 'run': pl.String,
  'n_layers': pl.Int64, 'd_model': pl.Int64, 'parameters': pl.Int64,
  'train_flops': pl.Float64, 'seed': pl.Int64, 'instance': pl.Int64,
  'learning_rate': pl.Float64,
}
OUTCOME = {'status': pl.String, 'metric': pl.String, 'value': pl.Float64}
# Places that every table has, needed or not.
PLACES = {'layer': pl.Int64, 'level': pl.Int64, 'hops': pl.Int64,
          'step': pl.Int64}


def is_place(name: str) -> bool:
  """Whether a column says where in a run a number was taken."""
  return name not in RUN and name not in OUTCOME and '.' not in name


def build(plan: Plan, store: Store) -> pl.DataFrame:
  """Joins the plan with what is finished.

  A planned run without a result, or one that is not measured yet, gives one row
  with status `missing`. There is no wall-clock in the table: run again, it is
  the same table.

  Raises:
    UsageError: a result is not what was written, or a row's places have a name
      that is a run's.
  """
  paths = [path for path in axes.varying(plan.cells) if path not in COLUMNS]
  rows: list[dict[str, Any]] = []
  for cell in plan.cells:
    part = plan.experiment.part(cell.stratum)
    run = {**_described(cell, paths), 'status': status(store, cell.task, part)}
    numbers = ([] if run['status'] == 'missing' else
               instrument.rows(store, cell.task, part))
    rows += [{**run, **_number(number)} for number in numbers] or [run]
  places = [name for name in dict.fromkeys(name for row in rows for name in row)
            if is_place(name)]
  schema: dict[str, Any] = {
    **RUN, **_types(rows, paths), 'status': pl.String, 'metric': pl.String,
    **PLACES, **_types(rows, sorted(set(places) - set(PLACES))),
    'value': pl.Float64}
  return pl.DataFrame([_typed(row, schema) for row in rows], schema=schema,
                      orient='row')


def runs(plan: Plan) -> pl.DataFrame:
  """The columns of each planned run, one row a cell, before any result."""
  paths = [path for path in axes.varying(plan.cells) if path not in COLUMNS]
  rows = [_described(cell, paths) for cell in plan.cells]
  schema: dict[str, Any] = {**RUN, **_types(rows, paths)}
  return pl.DataFrame([_typed(row, schema) for row in rows], schema=schema,
                      orient='row')


def write(table: pl.DataFrame, folder: Path) -> None:
  """Writes results.parquet and results.csv."""
  folder.mkdir(parents=True, exist_ok=True)
  save(table, folder / 'results.parquet')
  save(table, folder / 'results.csv')


def save(table: pl.DataFrame, path: Path) -> None:
  """Writes a table as .parquet or .csv.

  Raises:
    OSError: it cannot be written; polars itself would raise another error.
  """
  content = io.BytesIO()
  (table.write_csv if path.suffix == '.csv' else table.write_parquet)(content)
  with durable.written(path) as file:
    file.write(content.getvalue())


def read(path: str) -> pl.DataFrame:
  """The table that was written for an experiment or a sweep.

  Args:
    path: its folder, or the file.

  Raises:
    UsageError: there is none.
  """
  file = Path(path).expanduser()
  if file.is_dir() or not file.suffix:
    file /= 'results.parquet'
  try:
    return pl.read_parquet(file)
  except FileNotFoundError:
    raise UsageError(
      f'{file}: no table is there; fathom results EXPERIMENT --preset=PRESET '
      'writes RUNS/EXPERIMENT/PRESET/results.parquet') from None
  except (pl.exceptions.PolarsError, OSError) as error:
    first = (str(error).splitlines() or [''])[0]
    raise UsageError(f'{file} cannot be read ({first}); fathom results writes '
                     'it anew') from None


def status(store: Store, task: Task, part: Part) -> str:
  """`done`, `diverged`, or `missing` where it is not trained or not measured.
  """
  run = run_id(task)
  if isinstance(task, Train):
    result = store.result(run)
    if result is None:
      return 'missing'
    if result['status'] == 'diverged':
      return 'diverged'
  measured = store.measurement(run, instrument.name(instrument.of(part)))
  return 'missing' if measured is None else 'done'


def _described(cell: Cell, paths: Iterable[str]) -> dict[str, Any]:
  fields, model = _fields(cell.task), model_of(cell.task)
  described = {
    'stratum': cell.stratum, 'arm': cell.arm, 'run': run_id(cell.task),
    **{name: fields.get(path) for path, name in COLUMNS.items()},
    'parameters': cost.parameters(model) if model else None,
    **{path: fields.get(path) for path in paths}}
  if isinstance(cell.task, Train):
    described['train_flops'] = cost.train_flops(cell.config)
  return described


@functools.cache
def _fields(task: Task) -> Mapping[str, Any]:
  return axes.fields(task)


def _number(row: Mapping[str, Any]) -> dict[str, Any]:
  """One measured number with its places as columns."""
  for name in row['where']:
    if not is_place(name):
      raise UsageError(f'{row["metric"]}: where names {name!r}, which is no '
                       'place in a run; use another name, without a dot')
  return {'metric': row['metric'], 'value': row['value'], **row['where']}


def _types(rows: Sequence[Mapping[str, Any]],
           names: Iterable[str]) -> dict[str, Any]:
  """The type of each column, by the values in it."""
  return {name: _type({type(row[name]) for row in rows
                       if row.get(name) is not None}) for name in names}


def _type(kinds: set[type]) -> Any:
  if kinds <= {int}:
    return pl.Int64
  if kinds <= {int, float}:
    return pl.Float64
  return pl.Boolean if kinds <= {bool} else pl.String


def _typed(row: Mapping[str, Any], schema: Mapping[str, Any]
           ) -> dict[str, Any]:
  """The row with a value for each column; what has no type of ours, as text."""
  return {name: _text(row.get(name)) if kind == pl.String else row.get(name)
          for name, kind in schema.items()}


def _text(value: Any) -> str | None:
  if isinstance(value, tuple | list):
    return ', '.join(map(str, value))
  return None if value is None else str(value)
