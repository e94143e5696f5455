"""The page of what instruments found: one HTML file that opens from disk.

It reads the table alone. Its sentences follow from the numbers by the rules in
`words.py`; its figures follow from the rows, whatever instrument they are of.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from experiments import report
from experiments.instruments.examination import MODEL
from experiments.instruments.instrument import Instrument
from experiments.report.probe import by_n, layers, plots, readings, words
from experiments.report.probe.plots import Shown
from experiments.report.probe.readings import Measured
from experiments.report.terms import Glossary
from experiments.report.wording import label

TABLE = 'table.parquet'
COMMON = ('arm', 'bit', 'FLOP', 'interval', 'layer', 'n', 'parameter', 'seed',
          'stratum', 'token', 'width')
TERMS = {
  'stream': 'what stands for a token between the layers: each layer reads it '
            'and adds to it. Stream 0 enters the first layer, stream n leaves '
            'the last',
  'lens': 'a way to read a stream as if it were the last one: what the model '
          'would say if it stopped there (plural: lenses)',
  'random network': 'one of the same shape whose numbers were drawn and never '
                    'trained: what an instrument finds there is of its own '
                    'making',
  'rank': 'of a word: 1 is the likeliest',
  'cosine': '1 where two vectors point the same way, 0 where they have nothing '
            'to do with each other, −1 where they are opposed',
}


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


@dataclasses.dataclass(frozen=True)
class Section:
  """Instruments that share their metrics, and what they showed."""

  instruments: Sequence[Instrument]
  shown: Sequence[Shown]

  @property
  def name(self) -> str:
    """An id of the page."""
    return f'instrument-{self.instruments[0].name}'


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
  finite = table.filter(pl.col('value').is_finite())
  axes = {metric: axis for one in facts.instruments
          for metric, axis in one.metrics.items()}
  many = 'n_layers' in table.columns
  drawn = _sections(finite, facts, by_n.of_metric if many else plots.of_metric)
  first: list[Shown] = []
  if many:
    found = readings.of_runs(finite)
    quantities = by_n.quantities(found)
    answers = by_n.answers(quantities, axes)
    first = [Shown(by_n.figure(
      one, found, axes, f'quantity-{number}',
      finite.filter(metric=pl.lit(one.metric), network=pl.lit(MODEL)).height),
      [by_n.table(one, axes)]) for number, one in enumerate(quantities)]
    columns = []
  else:
    own = Measured(finite)
    answers, columns = words.answers(own, axes), layers.columns(own, axes)
  shown = [*first, *(one for section in drawn for one in section.shown)]
  for plot in (one.plot for one in shown if one.plot.svg):
    report.save(folder / 'figures' / f'{plot.name}.svg', plot.document)
  return report.save(folder / 'report.html', report.page(
    'probe/page.html.jinja', {
      'facts': facts, 'table': TABLE, 'rows': table.height,
      'empty': table.height - finite.height, 'many': many, 'answers': answers,
      'columns': columns, 'layer_numbers': sorted(
        {layer for column in columns for layer in column.values}),
      'first': first, 'sections': drawn, 'slices': slices,
      'anchors': {one.plot.metric: one.plot.name for one in reversed(shown)},
      'manifest': report.sections(facts.manifest)}, Glossary(TERMS, COMMON)))


def _sections(table: pl.DataFrame, facts: Facts,
              draw: Callable[[pl.DataFrame, str, str, str], Shown]
              ) -> list[Section]:
  """The instruments that were taken, those alike together, with figures."""
  groups: list[list[Instrument]] = []
  for one in facts.instruments:
    shared = [group for group in groups
              if any(set(other.metrics) & set(one.metrics) for other in group)]
    if shared:
      shared[0].append(one)
    else:
      groups.append([one])
  found = []
  for group in groups:
    rows = table.filter(pl.col('instrument').is_in([o.name for o in group]))
    own = {str(name): part for (name,), part in
           rows.group_by('metric', maintain_order=True)}
    # A metric that no axis is named for is shown all the same.
    axes = {name: axis for one in group for name, axis in one.metrics.items()}
    axes |= {name: label(name) for name in own if name not in axes}
    found.append(Section(group, [
      draw(part, name, axis, kind)
      for name, axis in axes.items() if name in own
      for kind, part in plots.kinds(own[name])]))
  return found
