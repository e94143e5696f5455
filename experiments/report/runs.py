"""The runs behind the numbers: a row for each, and how many of what kind."""

from typing import Any

import polars as pl

from experiments.judge.table import is_place

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


def counts(table: pl.DataFrame) -> dict[str, int]:
  """Runs by status, and in all (`planned`)."""
  runs = table.select(_RUN).unique()
  by_status = dict(runs['status'].value_counts().rows())
  return {'planned': runs.height} | {
    status: by_status.get(status, 0)
    for status in ('done', 'diverged', 'missing')}


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
