"""The results: one tidy table, one number a row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from experiments.runs.store import Store
from experiments.sweeps import cost
from experiments.sweeps.algebra import Cell
from experiments.sweeps.identity import run_id

SCHEMA = {
  'stratum': pl.String, 'arm': pl.String, 'run': pl.String,
  'n_layers': pl.Int64, 'd_model': pl.Int64, 'parameters': pl.Int64,
  'train_flops': pl.Float64, 'seed': pl.Int64, 'instance': pl.Int64,
  'learning_rate': pl.Float64, 'status': pl.String, 'metric': pl.String,
  'layer': pl.Int64, 'level': pl.Int64, 'hops': pl.Int64, 'step': pl.Int64,
  'value': pl.Float64,
}

NO_ROW = {'metric': None, 'layer': None, 'level': None, 'hops': None,
          'step': None, 'value': None}


def build(cells: Sequence[Cell], store: Store) -> pl.DataFrame:
  """Joins the plan with what is finished.

  A planned run without a result gives one row with status `missing`. There is
  no wall-clock in the table: run again, it is the same table.
  """
  rows: list[dict[str, Any]] = []
  for cell in cells:
    config = cell.config
    labels = {
      'stratum': cell.stratum, 'arm': cell.arm, 'run': run_id(config),
      'n_layers': config.model.n_layers, 'd_model': config.model.d_model,
      'parameters': cost.parameters(config),
      'train_flops': cost.train_flops(config),
      'seed': config.train.seed, 'instance': config.data.seed,
      'learning_rate': config.train.learning_rate,
    }
    result = store.result(run_id(config))
    if result is None:
      rows.append({**labels, 'status': 'missing', **NO_ROW})
      continue
    labels['status'] = result['status']
    rows += [{**labels, **row} for row in result['rows'] or [NO_ROW]]
  return pl.DataFrame(rows, schema=SCHEMA, orient='row')


def write(table: pl.DataFrame, folder: Path) -> None:
  """Writes results.parquet and results.csv."""
  folder.mkdir(parents=True, exist_ok=True)
  table.write_parquet(folder / 'results.parquet')
  table.write_csv(folder / 'results.csv')
