"""What a sweep of one's own shows: estimates and differences, no verdict.

A verdict needs thresholds that were declared before the first run. Where there
are none, every combination of what was swept has its estimate, and each value
of an axis is held against the axis's first, seed by seed. Intervals are 95 %
bootstrap intervals over replicates (`experiments.judge.statistics`); those of
fewer than six replicates are narrower than they say.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.judge import axes, statistics
from experiments.judge.table import is_place
from experiments.sweeps.algebra import Cell
from experiments.sweeps.plan import Plan

CURVE = 'validation_loss'
WHY = ('Nothing was declared, so there is no verdict: it needs a prediction, '
       'its smallest effect of interest and its controls, set down before the '
       'first run. `fathom init` writes an experiment file that shows how.')

Unit = tuple[int, int]  # (instance, seed)
Setting = Mapping[str, Any]  # {column of an axis: value}


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean over replicates with its 95 % interval.

  Attributes:
    setting: the values of the axes; those that are not named were averaged
      over, unit by unit.
    estimate: NaN where there is no finished run.
    low, high: the interval; infinite below two replicates.
    units: how many (seed, instance) were averaged.
    left_out: how many had a run that diverged or is missing.
    against: the value that a difference was taken from; None for a mean.
  """

  setting: Setting
  estimate: float
  low: float
  high: float
  units: int
  left_out: int
  against: Any = None


@dataclasses.dataclass(frozen=True)
class Measured:
  """One metric, at one place of the runs, over all settings.

  Attributes:
    metric: its name.
    where: the place.
    combinations: for every combination of axis values that was planned.
    averages: for each value of each axis, over the others.
    differences: of each value of each axis to its first, over the others.
  """

  metric: str
  where: Mapping[str, Any]
  combinations: tuple[Estimate, ...]
  averages: tuple[Estimate, ...]
  differences: tuple[Estimate, ...]

  @property
  def name(self) -> str:
    """The metric and its place, in words."""
    return ', '.join([self.metric, *(f'{k} = {v}'
                                     for k, v in self.where.items())])


@dataclasses.dataclass(frozen=True)
class PartComparison:
  """One part of the experiment.

  Attributes:
    name: of the part.
    axes: {column: its values, in the order of the plan}.
    measured: each metric at each place.
  """

  name: str
  axes: Mapping[str, tuple[Any, ...]]
  measured: tuple[Measured, ...]


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The record of a sweep of one's own."""

  id: str
  title: str
  reason: str
  strata: tuple[PartComparison, ...]
  commit: str


def compare(plan: Plan, table: pl.DataFrame, commit: str) -> Comparison:
  """Compares what is finished of a plan.

  Args:
    plan: whose parts declare nothing.
    table: its results (see `experiments.judge.table`).
    commit: of the code that compares.
  """
  strata = tuple(_stratum(
    part.name, [cell for cell in plan.cells if cell.stratum == part.name],
    table.filter(pl.col('stratum') == part.name)) for part in plan.parts)
  return Comparison(plan.experiment.name, plan.experiment.title, WHY, strata,
                    commit)


def _stratum(name: str, cells: Sequence[Cell],
             table: pl.DataFrame) -> PartComparison:
  swept = {axes.column(path): values
           for path, values in axes.axes(cells).items()}
  columns = list(swept)
  # As the table holds them: a list of numbers is text there.
  order = {column: tuple(table[column].unique(maintain_order=True))
           for column in columns}
  settings = [dict(zip(columns, values)) for values in dict.fromkeys(
    table.select(columns).iter_rows())] if columns else [{}]
  planned = {key: set(_units(runs)) for key, runs in _by_setting(
    table, columns)}
  return PartComparison(name, order, tuple(
    _measured(metric, where, _values(rows, columns), planned, settings, order)
    for metric, where, rows in _series(table)))


def _series(table: pl.DataFrame
            ) -> Iterator[tuple[str, dict[str, Any], pl.DataFrame]]:
  """The rows of each metric at each place, in the order of the table."""
  done = table.filter(
    pl.col('metric').is_not_null() & (pl.col('metric') != CURVE)
    & (pl.col('status') == 'done'))
  places = [name for name in table.columns if is_place(name)]
  for (metric, *values), rows in done.group_by(
      'metric', *places, maintain_order=True):
    where = {name: value for name, value in zip(places, values)
             if value is not None}
    yield str(metric), where, rows


def _measured(metric: str, where: Mapping[str, Any],
              values: Mapping[tuple[Any, ...], Mapping[Unit, float]],
              planned: Mapping[tuple[Any, ...], set[Unit]],
              settings: Sequence[dict[str, Any]],
              order: Mapping[str, tuple[Any, ...]]) -> Measured:
  """All estimates of one metric at one place."""
  def of(setting: Setting) -> Mapping[Unit, float]:
    return values.get(tuple(setting.values()), {})

  def mean(chosen: Sequence[Setting], shown: Setting,
           first: Sequence[Setting] = (), against: Any = None) -> Estimate:
    """Over settings, unit by unit; minus their counterparts, if given."""
    numbers: dict[Unit, float] = {}
    units: set[Unit] = set().union(*(
      planned[tuple(s.values())] for s in (*chosen, *first)))
    for unit in sorted(units):
      own = [of(s).get(unit, np.nan) for s in chosen]
      base = [of(s).get(unit, np.nan) for s in first]
      numbers[unit] = float(np.mean(own) - (np.mean(base) if base else 0))
    kept = {unit: x for unit, x in numbers.items() if np.isfinite(x)}
    replicates = statistics.Sample(
      np.array(list(kept.values())), tuple(seed for _, seed in kept),
      tuple(instance for instance, _ in kept)).replicates()
    low, high = statistics.bootstrap(replicates, 0.95)
    estimate = float(np.mean(replicates)) if kept else np.nan
    return Estimate(dict(shown), estimate, low, high, len(kept),
                    len(numbers) - len(kept), against)

  def at(column: str, value: Any) -> list[dict[str, Any]]:
    return [s for s in settings if s[column] == value]

  averages, differences = [], []
  for column, axis in order.items():
    averages += [mean(at(column, value), {column: value}) for value in axis]
    for value in axis[1:]:
      pairs = [(s, {**s, column: axis[0]}) for s in at(column, value)
               if {**s, column: axis[0]} in settings]
      if pairs:
        own, first = zip(*pairs)
        differences.append(mean(own, {column: value}, first, axis[0]))
  return Measured(metric, dict(where), tuple(mean([s], s) for s in settings),
                  tuple(averages), tuple(differences))


def _by_setting(table: pl.DataFrame, columns: Sequence[str]
                ) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
  if not columns:
    yield (), table
    return
  for key, rows in table.group_by(columns, maintain_order=True):
    yield tuple(key), rows


def _values(rows: pl.DataFrame, columns: Sequence[str]
            ) -> dict[tuple[Any, ...], dict[Unit, float]]:
  return {key: dict(zip(_units(part), part['value']))
          for key, part in _by_setting(rows, columns)}


def _units(rows: pl.DataFrame) -> list[Unit]:
  return list(zip(rows['instance'], rows['seed']))

