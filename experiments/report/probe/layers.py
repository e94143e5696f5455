"""Layer by layer: what several instruments say of each, side by side."""

import dataclasses
import math
from collections.abc import Mapping

from experiments.report.probe.readings import Measured

# What a layer does, in the order of reading; a metric that is absent is left
# out. (A lens is read where it says most.)
COLUMNS = {
  'contribution_norm': 'adds',
  'contribution_cosine': 'direction',
  'block_influence': 'turns',
  'linearity_of_change': 'linear',
  'lens_agreement': 'like the last',
  'skip_agreement': 'stays without it',
  'skip_bits': 'bits lost without it',
  'skip_cosine': 'cosine without it',
  'two_nearest_dimension': 'dimension',
}


@dataclasses.dataclass(frozen=True)
class Column:
  """A number of each layer.

  Attributes:
    metric: its name.
    name: in a word or two.
    axis: what it is, with its unit.
    values: texts by layer.
    shares: by layer, of the largest; 0 for what is negative.
  """

  metric: str
  name: str
  axis: str
  values: Mapping[int, str]
  shares: Mapping[int, float]


def columns(own: Measured, axes: Mapping[str, str]) -> list[Column]:
  """Those that were measured."""
  found = []
  for metric, name in COLUMNS.items():
    where = {'lens': own.earliest} if metric == 'lens_agreement' else {}
    values = own.layers(metric, **where)
    if not values or (metric == 'skip_cosine'
                      and own.layers('skip_agreement')):
      continue
    axis = axes.get(metric, name)
    top = max(max(values.values()), 1e-12)
    # A column's numbers stand in line, to three digits of its largest.
    places = max(0, 2 - math.floor(math.log10(
      max(map(abs, values.values())) or 1)))
    found.append(Column(
      metric, name, axis + (f', {own.earliest} lens' if where else ''),
      {layer: f'{value:.{places}f}'.replace('-', '−')
       for layer, value in values.items()},
      {layer: max(0.0, value) / top for layer, value in values.items()}))
  return found
