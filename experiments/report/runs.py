"""The runs behind the numbers: a row for each, and how many of what kind."""

import collections
from typing import Any

import polars as pl

from experiments.judge.table import is_place
from experiments.runs.store import Store
from experiments.sweeps.plan import Plan

_RUN = ['stratum', 'arm', 'n_layers', 'd_model', 'parameters', 'train_flops',
        'learning_rate', 'seed', 'instance', 'status', 'run']


def listing(table: pl.DataFrame) -> list[dict[str, Any]]:
  """One mapping per run: its columns, and `loss` (nats)."""
  last = table.filter(pl.col('step').is_null(), metric=pl.lit('loss'))
  total = pl.all_horizontal(
    pl.col(name).is_null() for name in table.columns if is_place(name))
  # Some sources report their loss by kinds of example only.
  losses = last.group_by('stratum', 'arm', 'run', maintain_order=True).agg(
    loss=pl.coalesce(pl.col('value').filter(total).mean(),
                     pl.col('value').mean()))
  return table.select(*_RUN, *fields(table)).unique(maintain_order=True).join(
    losses, on=['stratum', 'arm', 'run'], how='left', maintain_order='left'
  ).to_dicts()


def fields(table: pl.DataFrame) -> list[str]:
  """The config fields that have a column, by their dotted paths."""
  return [name for name in table.columns if '.' in name]


def counts(plan: Plan, table: pl.DataFrame) -> dict[str, int]:
  """Distinct runs by status, and in all (`planned`), as `fathom plan` counts.

  A run that stands in several arms counts once; one that others start from
  counts too.
  """
  states: dict[str, set[str]] = {}
  for run, status in table.select('run', 'status').unique().rows():
    states.setdefault(run, set()).add(status)
  store = Store(plan.runs)
  found: collections.Counter[str] = collections.Counter()
  for run in plan.run_ids():
    own = states.get(run) or {'done' if store.done(run) else 'missing'}
    found['missing' if 'missing' in own else min(own)] += 1
  return {'planned': sum(found.values())} | {
    status: found[status] for status in ('done', 'diverged', 'missing')}


def missing(table: pl.DataFrame) -> list[dict[str, Any]]:
  """The cells with missing runs: how many, and their `units` in words."""
  cells = table.filter(status=pl.lit('missing')).group_by(
    'stratum', 'arm', 'n_layers', 'd_model', maintain_order=True)
  unit = pl.format('{}/{}', 'seed', 'instance')
  return cells.agg(count=pl.len(), units=unit.str.join(', ')).to_dicts()


def numbers(table: pl.DataFrame) -> list[dict[str, Any]]:
  """How many rows of the table each metric has in each stratum."""
  return (table.drop_nulls('metric')
          .group_by('stratum', 'metric', maintain_order=True)
          .agg(rows=pl.len(), empty=pl.col('value').null_count()).to_dicts())
