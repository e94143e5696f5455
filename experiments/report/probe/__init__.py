"""The page of what instruments found: one HTML file that opens from disk.

It reads the table alone. Its sentences follow from the numbers by the rules in
`words.py`; its figures follow from the rows, whatever instrument they are of.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from experiments import report
from experiments.instruments.instrument import Instrument
from experiments.report.terms import Glossary

TABLE = 'table.parquet'


@dataclasses.dataclass(frozen=True)
class Cost:
  """What an instrument took.

  Attributes:
    flops: as it was estimated beforehand.
    seconds: as it was measured; None where it was not.
  """

  flops: float
  seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
  """What the page tells beside the table.

  Attributes:
    model: its name, or that of the sweep.
    labels: what must be said beside every number of it: 'quantised (Q4_1),
      instruct, 135 M'; 'encoder'. '' for nothing.
    text: what it read, by name.
    tokens: how many of it; of each run where there are several.
    command: what was typed.
    device: what did the work.
    instruments: those that were taken, in the order of the page.
    costs: of each of them, by name.
    peak_bytes: the most memory that the process held; None where unknown.
    left_out: why others were not taken, by name; what was not asked for too.
    calibration: what was fitted on, by name and size; '' where nothing was.
    manifest: of the process; any nesting of plain values.
  """

  model: str
  labels: str
  text: str
  tokens: int
  command: str
  device: str
  instruments: Sequence[Instrument]
  costs: Mapping[str, Cost] = dataclasses.field(default_factory=dict)
  peak_bytes: int | None = None
  left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
  calibration: str = ''
  manifest: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write(folder: Path, table: pl.DataFrame, slices: Mapping[str, Any] | None,
          facts: Facts) -> Path:
  """Writes report.html and figures/*.svg beside the table.

  Args:
    folder: where they go.
    table: one number a row: instrument, metric, network ('model', or 'random'
      for the baseline), layer, value, and any other place; with n_layers,
      stratum, arm, seed and instance where it is of several runs, and the page
      is then by n.
    slices: what a reader explores, as `instruments.lens_slice` makes it; None
      for none.
    facts: what is told beside it.

  Returns:
    The path of report.html.
  """
  text = report.page('probe/page.html.jinja', {
    'facts': facts, 'table': TABLE, 'rows': table.height,
    'by_n': 'n_layers' in table.columns, 'slices': slices}, Glossary({}))
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / 'report.html'
  path.write_text(text, encoding='utf-8')
  return path
