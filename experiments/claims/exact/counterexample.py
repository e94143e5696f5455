"""What shows that a property fails, in words; '' where it holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.judge.declaration import Premise, Property, PropertyState
from experiments.judge.numbers import brief
from experiments.judge.samples import MissingMeasurement
from experiments.judge.table import is_place


def beyond(rows: pl.DataFrame, metric: str, at_least: float = -np.inf,
           at_most: float = np.inf,
           where: Mapping[str, Any] | None = None) -> str:
  """The number of a metric that is furthest beyond its bounds; NaN is.

  Args:
    rows: of the stratum.
    metric: its name.
    at_least, at_most: the bounds.
    where: columns and values that choose the rows.

  Raises:
    MissingMeasurement: there is no such number.
  """
  chosen = of(rows, metric, where).with_columns(by=pl.max_horizontal(
    at_least - pl.col('value'), pl.col('value') - at_most
  ).fill_nan(np.inf))
  worst = chosen.row(chosen['by'].arg_max(), named=True)
  return '' if worst['by'] <= 0 else _told(worst)


def all_within(rows: pl.DataFrame, metric: str, arms: Sequence[str],
               at_least: float = -np.inf, at_most: float = np.inf) -> str:
  """The same for the first of several arms that is beyond the bounds."""
  found = (beyond(rows, metric, at_least, at_most, {'arm': arm})
           for arm in arms)
  return next(filter(None, found), '')


def grows(rows: pl.DataFrame, metric: str, low: float, high: float,
          where: Mapping[str, Any], along: str = 'T',
          least: float = 0) -> str:
  """The exponent of growth where it is not in [low, high].

  It is the slope of log(metric) on log(along), by least squares.

  Args:
    rows: of the stratum.
    metric: its name.
    low, high: the bounds.
    where: columns and values that choose the rows.
    along: the column that grows.
    least: from which value of it on.

  Raises:
    MissingMeasurement: there are fewer than two such numbers.
  """
  at, values = curve(rows, metric, where, along, least)
  slope = np.polyfit(np.log(at), np.log(values), 1)[0]
  return '' if low <= slope <= high else (
    f'{named(where)}: {label(metric)} {brief(values[0])} at '
    f'{along} = {at[0]} and {brief(values[-1])} at {along} = {at[-1]}, '
    f'which grows as {along}^{round(slope, 2) + 0:g}')


def constant(rows: pl.DataFrame, metric: str, where: Mapping[str, Any],
             along: str = 'T') -> str:
  """Where a metric is another than at the first place along a column."""
  at, values = curve(rows, metric, where, along)
  last = max(range(len(at)), key=lambda i: abs(values[i] - values[0]))
  return '' if values[last] == values[0] else (
    f'{named(where)}, {label(along)} = {at[last]:,}: {label(metric)} '
    f'{brief(values[last])}, and {brief(values[0])} at {label(along)} = '
    f'{at[0]:,}')


def curve(rows: pl.DataFrame, metric: str, where: Mapping[str, Any],
          along: str = 'T', least: float = 0
          ) -> tuple[Sequence[int], Sequence[float]]:
  """The places along which a metric was taken, in order, and its values.

  Raises:
    MissingMeasurement: there are fewer than two.
  """
  chosen = of(rows, metric, where).sort(along).filter(pl.col(along) >= least)
  if chosen.height < 2:
    raise MissingMeasurement(
      f'{metric} was taken at one {along} alone', metric, where)
  return chosen[along].to_list(), chosen['value'].to_list()


def of(rows: pl.DataFrame, metric: str,
       where: Mapping[str, Any] | None = None) -> pl.DataFrame:
  """The rows of a metric.

  Raises:
    MissingMeasurement: there are none.
  """
  where = where or {}
  known = all(name in rows.columns for name in where)
  chosen = rows.filter(pl.col('metric') == metric, *(
    pl.col(name) == value for name, value in where.items())
  ) if known else rows.head(0)
  if chosen.is_empty():
    raise MissingMeasurement(
      f'{metric} was not taken of {named(where) or "any case"}', metric, where)
  return chosen


def largest(rows: pl.DataFrame, metric: str) -> float:
  """The largest number of a metric; NaN if one is.

  Raises:
    MissingMeasurement: there is none.
  """
  return float(of(rows, metric)['value'].to_numpy().max())


def all_are(state: PropertyState,
            properties: Sequence[Property]) -> tuple[Premise, ...]:
  """What a rule asks where it asks the same of several properties."""
  return tuple((each.name, state) for each in properties)


def named(where: Mapping[str, Any]) -> str:
  """Where a number was taken: 'linear recurrence, T = 64'."""
  return ', '.join(label(str(value)) if name == 'arm' else
                   f'{label(name)} = {value}' for name, value in where.items())


def label(name: str) -> str:
  """An identifier as words."""
  return name.replace('_', ' ')


def _told(row: Mapping[str, Any]) -> str:
  places = {name: value for name, value in row.items() if value is not None
            and name != 'by' and (name == 'arm' or is_place(name))}
  return f'{named(places)}: {label(row["metric"])} {brief(row["value"])}'
