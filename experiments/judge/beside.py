"""Numbers that others have published, beside ours."""

from pathlib import Path

import polars as pl

from experiments.judge.table import is_place
from experiments.machine.usage import UsageError, nearest


def beside(table: pl.DataFrame, file: Path) -> pl.DataFrame:
  """Each published number, with the mean of ours in the same place.

  Args:
    table: the results; places that the file does not name must be empty.
    file: CSV with the columns `metric`, `value`, and any of the table's that
      say which runs a number is of and where in them it was taken: `arm`,
      `n_layers`, `hops`, …

  Returns:
    The file's columns, and `ours`, `runs` (how many it is the mean of) and
    `difference` (ours less theirs); empty where no run was measured.

  Raises:
    UsageError: the file cannot be read, or has a column that the table has not.
  """
  try:
    theirs = pl.read_csv(file)
  except (OSError, pl.exceptions.PolarsError) as error:
    raise UsageError(f'--beside={file}: cannot be read as CSV: '
                     f'{str(error).splitlines()[0]}') from None
  for name in ('metric', 'value'):
    if name not in theirs.columns:
      raise UsageError(f'--beside={file}: has no column {name!r}; it needs '
                       'metric, value, and what tells their runs apart')
  keys = [name for name in theirs.columns if name != 'value']
  for name in keys:
    if name not in table.columns:
      raise UsageError(f'--beside={file}: {name!r} is no column of the results'
                       f'{nearest(name, table.columns)}')
  try:
    theirs = theirs.cast({**{name: table.schema[name] for name in keys},
                          'value': pl.Float64})
  except pl.exceptions.PolarsError as error:
    raise UsageError(f'--beside={file}: {str(error).splitlines()[0]}') from None
  elsewhere = [name for name in table.columns
               if is_place(name) and name not in keys]
  ours = table.filter(*(pl.col(name).is_null() for name in elsewhere)).group_by(
    keys).agg(ours=pl.col('value').mean(), runs=pl.col('run').n_unique())
  return theirs.join(
    ours, on=keys, how='left', maintain_order='left', nulls_equal=True
  ).with_columns(difference=pl.col('ours') - pl.col('value'))
