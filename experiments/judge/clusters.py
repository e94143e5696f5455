"""Samples of one model: one number a cluster of what it was measured on.

Where nothing was trained, the units are clusters of items: texts, words. Which
of them a number is of stands in a place of its row.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl

from experiments.judge.samples import Condition, MissingMeasurement, by_unit
from experiments.judge.statistics import Sample


def by_place(table: pl.DataFrame, metric: str, clusters: int,
             where: Condition | None = None, place: str = 'text',
             order: Sequence[float] = (), by: str = '') -> Sample:
  """`metric` of each cluster; with an order, at each value of `by`.

  Args:
    table: a stratum's rows.
    metric: its name.
    clusters: how many there are; they count from 0.
    where: the condition.
    place: the column that says which cluster a number is of.
    order: where along an axis it is taken, for a trend or a break.
    by: the place of that axis.

  Raises:
    MissingMeasurement: a cluster lacks a number, or has several.
  """
  where = where or {}
  points: Sequence[Condition] = [{by: point} for point in order] or [{}]
  numbers = np.array([[_one(table, metric, {**where, **point, place: number})
                       for point in points] for number in range(clusters)])
  return Sample(numbers if order else numbers[:, 0], (0,), (0,),
                clusters=tuple(range(clusters)), at=tuple(order))


def difference(table: pl.DataFrame, metric: str, clusters: int, a: Condition,
               b: Condition, place: str = 'text') -> Sample:
  """`metric` under `a` minus that under `b`, for each cluster."""
  first, second = (by_place(table, metric, clusters, where, place)
                   for where in (a, b))
  return dataclasses.replace(first, values=first.values - second.values)


def average(table: pl.DataFrame, metric: str, clusters: int,
            where: Condition | None = None, place: str = 'text') -> float:
  """The mean of `metric` over clusters; for controls."""
  return float(by_place(table, metric, clusters, where, place).values.mean())


def _one(table: pl.DataFrame, metric: str, where: Condition) -> float:
  found = by_unit(table, metric, where)
  if len(found) != 1:
    raise MissingMeasurement(
      f'{metric}: {len(found)} models have it, and one has clusters', metric,
      where)
  return next(iter(found.values()))
