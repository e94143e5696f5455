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

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.judge.analyses import Mean
from experiments.judge.statistics import Sample
from experiments.judge.table import is_place

Condition = Mapping[str, Any]
Unit = tuple[int, int]  # (instance, seed)
Term = tuple[float, str, Condition]  # a factor, a metric, where it is taken


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
    _check_complete(units, column, metric, where)
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


def combination(table: pl.DataFrame, terms: Sequence[Term]) -> Sample:
  """A sum of metrics under conditions, each times its factor, for each unit.

  Raises:
    MissingMeasurement: as `by_unit`, or a unit lacks a term.
  """
  columns = [by_unit(table, metric, where) for _, metric, where in terms]
  units = sorted(set().union(*columns))
  for (_, metric, where), column in zip(terms, columns):
    _check_complete(units, column, metric, where)
  factors = [factor for factor, _, _ in terms]
  values = np.array([[c[unit] for c in columns] for unit in units])
  return _sample(units, values @ factors)


def ordered(table: pl.DataFrame, metric: str, order: Sequence[Any],
            by: str = 'n_layers', where: Condition | None = None) -> Sample:
  """`metric` at each value of `by`, in the order predicted to rise.

  For a metric predicted to fall, list the values the other way round. For
  effects with analysis='trend'.
  """
  wheres = [{**(where or {}), by: value} for value in order]
  return _sample(*conditions(table, metric, wheres))


def time_to_solve(table: pl.DataFrame, metric: str, slower: Condition,
                  faster: Condition, solved: float = 0.9) -> Sample:
  """FLOPs until `metric` was solved, under `slower` and under `faster`.

  Solved is the first of two consecutive evaluations at or above `solved`. The
  evaluations are the rows of the metric that name a step; the last one is at
  the end of the run, where all its FLOPs are spent. A run that diverged, or
  never got there, is inf. For effects with analysis='time to solve'.

  Raises:
    MissingMeasurement: as `by_unit`; or the runs of one arm differ in FLOPs.
  """
  columns, budgets = [], []
  for where in (slower, faster):
    times, budget = _times(table, metric, where, solved)
    columns.append(times)
    budgets.append(budget)
  units = sorted(set(columns[0]) & set(columns[1]))
  if len(units) < max(map(len, columns)):
    raise MissingMeasurement(
      f'{metric}: {_words(slower)} and {_words(faster)} have runs of different '
      'seeds', metric, slower)
  return Sample(np.array([[c[unit] for c in columns] for unit in units]),
                tuple(seed for _, seed in units),
                tuple(instance for instance, _ in units),
                budgets=(budgets[0], budgets[1]))


def items(table: pl.DataFrame, metrics: tuple[str, str],
          where: Condition | None = None, item: str = 'item',
          cluster: str | None = None, clusters: int | None = None) -> Sample:
  """Two metrics of each item, each a mean over the units that have it.

  What was measured of a unit counts only where none of its runs diverged.

  Args:
    table: a stratum's rows.
    metrics: the two that are correlated.
    where: the condition.
    item: the place that names the item.
    cluster: the place that says which items belong together; each item is a
      cluster of its own where it is None.
    clusters: how many there will be, for `fathom power`.

  Raises:
    MissingMeasurement: an item lacks one of the metrics, or has one that is
      not finite; or a unit has none of its own.
  """
  del clusters
  where = where or {}
  named = [item, *([cluster] if cluster else [])]
  fields = {name for name in where if not is_place(name)}
  for name in sorted(fields - set(table.columns)):
    raise MissingMeasurement(f'{name} is no column of the results', metrics[0],
                             where)
  runs = table.filter(*_equal(where, fields))
  diverged = set(_units(runs.filter(pl.col('status') == 'diverged')))
  absent = [name for name in named if name not in table.columns]
  places = {name for name in (*table.columns, *where) if is_place(name)}
  unknown = sorted((places - set(named)) - set(table.columns))
  rows = runs.head(0) if absent or unknown else runs.filter(
    pl.col('metric').is_in(metrics), pl.col(item).is_not_null(),
    *_equal(where, places - set(named)))
  rows = rows.filter(pl.Series(
    [unit not in diverged for unit in _units(rows)], dtype=pl.Boolean))
  for unit, metric, value in zip(_units(rows), rows['metric'], rows['value']):
    _only([value], metric, where, unit)
  if diverged and diverged >= set(_units(runs)):
    return Sample(np.empty((0, 2)), (), (), len(diverged), clusters=())
  wide = rows.pivot('metric', index=named, values='value',
                    aggregate_function='mean') if rows.height else rows
  for metric in metrics:
    if metric not in wide.columns or wide[metric].null_count():
      raise MissingMeasurement(f'{metric}: some {item} has none with '
                               f'{_words(where)}', metric, where)
  wide = wide.sort(named)
  units = sorted(set(_units(rows)))
  for instance, seed in sorted(set(_units(runs)) - diverged - set(units)):
    raise MissingMeasurement(
      f'seed {seed} of instance {instance} has no {item} with {_words(where)}',
      metrics[0], where)
  names = wide[cluster or item].rank('dense').to_list()
  return Sample(
    wide.select(metrics).to_numpy(), tuple(seed for _, seed in units),
    tuple(instance for instance, _ in units), excluded=len(diverged),
    clusters=tuple(int(name) for name in names))


def average(table: pl.DataFrame, metric: str,
            where: Condition | None = None) -> float:
  """The mean of `metric` over units; for controls."""
  return Mean(values(table, metric, where or {})).estimate


def best(table: pl.DataFrame, metric: str, wheres: Sequence[Condition]
         ) -> float:
  """The highest of the means of `metric` under several conditions.

  For positive controls: at least one arm is able.
  """
  return max(average(table, metric, where) for where in wheres)


def conditions_of(measure: Callable[..., Any]) -> list[Condition]:
  """Under which conditions a measure needs each unit; [] where it says none."""
  if not isinstance(measure, functools.partial) or (
      measure.func.__module__ != __name__):
    return []
  bound = measure.keywords
  wheres = [where for where in bound.values() if isinstance(where, Mapping)]
  if 'order' in bound:
    by = bound.get('by', 'n_layers')
    wheres = [{**where, by: value} for where in wheres or [{}]
              for value in bound['order']]
  return wheres


def _times(table: pl.DataFrame, metric: str, where: Condition,
           solved: float) -> tuple[dict[Unit, float], float]:
  """Each unit's FLOPs until it solved the metric, and the FLOPs of its run."""
  fields = {name for name in where if not is_place(name)}
  for name in sorted(fields - set(table.columns)):
    raise MissingMeasurement(
      f'{metric}: {name} is no column of the results: it varies in no arm',
      metric, where)
  runs = table.filter(*_equal(where, fields))
  budgets = runs['train_flops'].drop_nulls().unique().to_list()
  if not budgets:
    raise MissingMeasurement(f'no run has {_words(where)}', metric, where)
  if max(budgets) > 1.01 * min(budgets):
    raise MissingMeasurement(f'{metric}: runs with {_words(where)} spend '
                             'different FLOPs', metric, where)
  budget = min(budgets)
  places = {name for name in (*table.columns, *where) if is_place(name)
            } - {'step'}
  rows = runs.filter(
    pl.col('metric') == metric, pl.col('step').is_not_null(),
    *_equal(where, places)).sort('step') if places <= set(
      table.columns) else runs.head(0)
  diverged = set(_units(runs.filter(pl.col('status') == 'diverged')))
  times = {}
  for unit in sorted(set(_units(runs))):
    instance, seed = unit
    own = rows.filter(pl.col('instance').eq_missing(pl.lit(instance)),
                      pl.col('seed').eq_missing(pl.lit(seed)))
    times[unit] = math.inf
    if unit in diverged:
      continue
    if own.height < 2 or own['step'].n_unique() < own.height:
      raise MissingMeasurement(
        f'seed {seed} of instance {instance} has no {metric} at two steps or '
        f'more, one number each, with {_words(where)}', metric, where)
    able = (own['value'] >= solved).to_numpy()
    first = np.flatnonzero(able[:-1] & able[1:])
    if len(first):
      times[unit] = budget * own['step'][int(first[0])] / own['step'][-1]
  return times, budget


def _check_complete(units: Sequence[Unit], column: Mapping[Unit, float],
                    metric: str, where: Condition) -> None:
  for instance, seed in units:
    if (instance, seed) not in column:
      raise MissingMeasurement(
        f'seed {seed} of instance {instance} has no run with {_words(where)}',
        metric, where)


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
