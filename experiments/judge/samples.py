"""From the results table to samples: the measures that claims share.

A claim binds one to its metric and conditions with `functools.partial`; what
it binds is part of its declaration:

  partial(paired_difference, metric='bits_per_byte',
          a={'n_layers': 1}, b={'n_layers': 12})

A condition maps columns to values, any that the table has: of the run
(`arm`, `n_layers`, or a config field by its dotted path, where it varies) or of
the place in it where a number was taken (`layer`, `level`, `hops`, `step`, or
whatever its measurement named). Places that are not named must be empty.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.judge.statistics import Mean, Sample
from experiments.judge.table import is_place

Condition = Mapping[str, Any]
Unit = tuple[int, int]  # (instance, seed)


class MissingMeasurement(LookupError):
  """The table has no single number where a measure needs one.

  Attributes:
    metric: that is missing.
    condition: under which.
  """

  def __init__(self, message: str, metric: str, condition: Condition):
    super().__init__(message)
    self.metric, self.condition = metric, condition


def by_unit(table: pl.DataFrame, metric: str,
            where: Condition) -> dict[Unit, float]:
  """One number per unit of replication; NaN where its run diverged.

  Raises:
    MissingMeasurement: no run meets the condition, or one that does lacks
      the number or has several; or the condition names no column.
  """
  places = {name for name in (*table.columns, *where) if is_place(name)}
  fields = set(where) - places
  for name in sorted(fields - set(table.columns)):
    raise MissingMeasurement(
      f'{metric}: {name} is no column of the results: it varies in no arm',
      metric, where)
  runs = table.filter(*_equal(where, fields))
  values: dict[Unit, list[float | None]] = {
    unit: [] for unit in sorted(set(_units(runs)))}
  if not values:
    raise MissingMeasurement(f'no run has {_words(where)}', metric, where)
  unknown = sorted(places - set(table.columns))
  rows = runs.head(0) if unknown else runs.filter(
    pl.col('metric') == metric, *_equal(where, places))
  for unit, value in zip(_units(rows), rows['value']):
    values[unit].append(value)
  diverged = set(_units(runs.filter(pl.col('status') == 'diverged')))
  return {unit: np.nan if unit in diverged
          else _only(numbers, metric, where, unit)
          for unit, numbers in values.items()}


def conditions(table: pl.DataFrame, metric: str,
               wheres: Sequence[Condition]) -> tuple[list[Unit], np.ndarray]:
  """The units and their numbers, (units, conditions); NaN: diverged.

  Raises:
    MissingMeasurement: as `by_unit`, or a unit lacks a condition.
  """
  columns = [by_unit(table, metric, where) for where in wheres]
  units = sorted(set().union(*columns))
  for where, column in zip(wheres, columns):
    for instance, seed in units:
      if (instance, seed) not in column:
        raise MissingMeasurement(
          f'seed {seed} of instance {instance} has no run with '
          f'{_words(where)}', metric, where)
  return units, np.array([[c[unit] for c in columns] for unit in units])


def values(table: pl.DataFrame, metric: str, where: Condition) -> Sample:
  """`metric` itself, for each unit."""
  units, column = conditions(table, metric, (where,))
  return _sample(units, column[:, 0])


def paired_difference(table: pl.DataFrame, metric: str, a: Condition,
                      b: Condition) -> Sample:
  """`metric` under `a` minus that under `b`, for each unit."""
  units, values = conditions(table, metric, (a, b))
  return _sample(units, values[:, 0] - values[:, 1])


def success_difference(table: pl.DataFrame, metric: str, threshold: float,
                       a: Condition, b: Condition) -> Sample:
  """Whether `metric` reached `threshold` under `a`, and under `b`.

  A run that diverged did not. For effects with test='success'.
  """
  units, values = conditions(table, metric, (a, b))
  return _sample(units, (values >= threshold).astype(float))


def ordered(table: pl.DataFrame, metric: str, order: Sequence[Any],
            by: str = 'n_layers', where: Condition | None = None) -> Sample:
  """`metric` at each value of `by`, in the order predicted to rise.

  For a metric predicted to fall, list the values the other way round. For
  effects with test='trend'.
  """
  wheres = [{**(where or {}), by: value} for value in order]
  return _sample(*conditions(table, metric, wheres))


def average(table: pl.DataFrame, metric: str,
            where: Condition | None = None) -> float:
  """The mean of `metric` over units; for controls."""
  return Mean(values(table, metric, where or {})).estimate


def _sample(units: Sequence[Unit], values: np.ndarray) -> Sample:
  """A sample of the units in which no run diverged."""
  keep = np.isfinite(values).reshape(len(units), -1).all(1)
  kept = [unit for unit, kept in zip(units, keep) if kept]
  return Sample(values[keep], tuple(seed for _, seed in kept),
                tuple(instance for instance, _ in kept),
                excluded=len(units) - len(kept))


def _equal(where: Condition, columns: Any) -> list[pl.Expr]:
  return [pl.col(column).eq_missing(pl.lit(where.get(column)))
          for column in columns]


def _units(rows: pl.DataFrame) -> list[Unit]:
  return list(zip(rows['instance'], rows['seed']))


def _only(values: Sequence[float | None], metric: str, where: Condition,
          unit: Unit) -> float:
  which = f'seed {unit[1]} of instance {unit[0]}'
  if len(values) > 1:
    raise MissingMeasurement(
      f'{metric}: {which} has {len(values)} numbers with {_words(where)}; '
      'name the column in which they differ', metric, where)
  if not values or values[0] is None or not math.isfinite(values[0]):
    raise MissingMeasurement(
      f'{which} has no {metric} with {_words(where)}', metric, where)
  return values[0]


def _words(where: Condition) -> str:
  return ', '.join(f'{k}={v}' for k, v in where.items()) or 'any condition'
