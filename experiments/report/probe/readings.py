"""What the numbers of one model come to: few quantities, each by one rule."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence

import polars as pl

from experiments.instruments.examination import MODEL

# Columns that say of which run a row is, in a table by n.
RUN = ('stratum', 'arm', 'n_layers', 'seed', 'instance', 'run')
FORMED = 0.5  # of likeliest words that are the last layer's
SPARED = 0.9  # of likeliest words that stay when a layer is left out
TURNED = 0.1  # a cosine within it of 0 neither takes out nor enlarges
# Where an instrument gives a number several ways, the one that is told.
TOLD = {'part': 'both', 'scored': 'held-out', 'dimensions': 'all',
        'positions': 'all'}

Layers = Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Measured:
  """The rows of one model, all finite."""

  table: pl.DataFrame

  @functools.cached_property
  def n_layers(self) -> int:
    """n; 0 where nothing has a layer."""
    most = self.table['layer'].max()
    return most if isinstance(most, int) else 0

  @functools.cached_property
  def lenses(self) -> list[str]:
    """Those that were read through, in their order."""
    return self.values_of('lens', 'lens_agreement')

  def values_of(self, place: str, metric: str) -> list[str]:
    """What a place is in the rows of a metric."""
    if place not in self.table.columns:
      return []
    found = self.table.filter(metric=metric)[place].drop_nulls()
    return [str(value) for value in found.unique(maintain_order=True)]

  def layers(self, metric: str, network: str = MODEL, **where: str) -> Layers:
    """A number by layer; {} where it was not measured."""
    rows = self.table.filter(pl.col('layer').is_not_null(), metric=metric,
                             network=network)
    for place, value in where.items():
      rows = rows.filter(pl.col(place).cast(pl.String) == value) if (
        place in rows.columns) else rows
    rows = told(rows, where)
    rows = rows.unique('layer', keep='first', maintain_order=True).sort('layer')
    return dict(rows.select('layer', 'value').iter_rows())

  def forms(self, lens: str, network: str = MODEL) -> int | None:
    """The first layer from which the likeliest word mostly is the last's."""
    shares = self.layers('lens_agreement', network, lens=lens)
    late = [layer for layer, share in shares.items() if share < FORMED]
    later = [layer for layer in shares if layer > max(late, default=-1)]
    return min(later, default=None)

  @property
  def earliest(self) -> str:
    """The lens through which predictions form first; '' without any."""
    formed = {lens: self.forms(lens) for lens in self.lenses}
    return min((lens for lens, layer in formed.items() if layer is not None),
               key=lambda lens: formed[lens] or 0, default='')

  def stays(self) -> tuple[str, Layers]:
    """What is kept when each layer is left out, and the metric's name.

    The share of likeliest words; of an encoder, the last stream's cosine.
    """
    for metric in ('skip_agreement', 'skip_cosine'):
      if found := self.layers(metric):
        return metric, found
    return '', {}

  def spared(self) -> list[int]:
    """The layers that can be left out, one at a time."""
    return [layer for layer, kept in self.stays()[1].items() if kept >= SPARED]

  def depths(self, instrument: str = 'effective-depth') -> dict[str, float]:
    """Effective depths in layers, by how they are defined; places are in their
    names, and shares of n are left out.
    """
    rows = self.table.filter(
      pl.col('layer').is_null(), ~pl.col('metric').str.ends_with('_share'),
      instrument=instrument, network=MODEL)
    names = [name for name in rows.columns if name not in {
      *RUN, 'instrument', 'metric', 'network', 'layer', 'value'}]
    found = {}
    for row in rows.iter_rows(named=True):
      places = [str(row[name]) for name in names if row[name] is not None]
      found[' · '.join([row['metric'], *places])] = row['value']
    return found


def told(rows: pl.DataFrame, asked: Collection[str] = ()) -> pl.DataFrame:
  """Of numbers that are given several ways, the one that is told.

  Args:
    rows: of one metric.
    asked: places that were chosen already.
  """
  for place, value in TOLD.items():
    if place in rows.columns and place not in asked:
      kept = rows.filter(pl.col(place) == value)
      rows = kept if kept.height else rows
  return rows


def of_runs(table: pl.DataFrame) -> pl.DataFrame:
  """The quantities of each run of a table by n.

  Returns:
    A row for each run and quantity, in the run's columns, `quantity`, `metric`
    (of the rows that it is made of) and `value`.
  """
  keys = [name for name in RUN if name in table.columns]
  rows = []
  for run, own in table.group_by(keys, maintain_order=True):
    known = dict(zip(keys, run))
    n_layers = known['n_layers']
    rows += [{**known, 'quantity': quantity, 'metric': metric, 'value': value}
             for quantity, metric, value in _of_run(Measured(own), n_layers)]
  return pl.DataFrame(rows, infer_schema_length=None)


def _of_run(own: Measured, n_layers: int
            ) -> Sequence[tuple[str, str, float]]:
  found = []
  for lens in own.lenses:
    if (layer := own.forms(lens)) is not None:
      found.append((f'where predictions form, {lens} lens (layer / n)',
                    'lens_agreement', layer / n_layers))
  metric, kept = own.stays()
  if kept:
    found.append(('share of layers that can go, one at a time', metric,
                  len(own.spared()) / len(kept)))
  found += [(name, name.split(' · ')[0], value)
            for name, value in own.depths().items()]
  return found
