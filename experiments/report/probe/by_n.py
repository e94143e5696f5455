"""What instruments say of several runs: figures and sentences by n."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from experiments.instruments.examination import MODEL
from experiments.judge.numbers import listed, number, span
from experiments.report import figures, marks
from experiments.report.figures import Plot
from experiments.report.probe import plots, readings
from experiments.report.probe.plots import Numbers, Shown
from experiments.report.probe.words import Answer
from experiments.report.wording import label

PANELS = 8  # of one figure; the table of numbers has the rest
FEW = 3  # families that are told one by one
MORE, LESS, SAME, OPEN = ('more', 'less', 'the same within the intervals',
                          'without intervals, as there is one run of each')
_OF_MODEL = f'network = {MODEL}'
# How a quantity's name begins, under which question it is told.
QUESTIONS = {
  'forms': ('Where do predictions form?', 'where predictions form'),
  'can-go': ('Which layers can go?', 'share of layers that can go'),
  'depth': ('How deep is it, in effect?', '')}


@dataclasses.dataclass(frozen=True)
class Quantity:
  """One quantity of all runs.

  Attributes:
    name: in words.
    metric: of the rows that it is made of.
    cells: mean, half-width of the 95 % interval (null for one run) and size by
      stratum, arm and n.
  """

  name: str
  metric: str
  cells: pl.DataFrame


def quantities(found: pl.DataFrame) -> list[Quantity]:
  """Means over runs, of each quantity."""
  return [] if found.is_empty() else [
    Quantity(str(name), rows['metric'][0],
             marks.summary(rows, 'stratum', 'arm', 'n_layers'))
    for (name,), rows in found.group_by('quantity', maintain_order=True)]


def answers(found: Sequence[Quantity],
            axes: Mapping[str, str]) -> list[Answer]:
  """What is asked of one model, told from the fewest layers to the most."""
  told = []
  taken: set[str] = set()
  for key, (question, begins) in QUESTIONS.items():
    own = [one for one in found
           if one.name.startswith(begins) and one.name not in taken]
    taken |= {one.name for one in own}
    told.append(Answer(
      key, question, [_trend(one, axes) for one in own],
      list(dict.fromkeys(one.metric for one in own)), needs=(
        {'forms': ('logit-lens', 'linear-lens', 'jacobian-lens'),
         'can-go': ('skipping',), 'depth': ('effective-depth',)}[key])))
  return told


def name_of(quantity: Quantity, axes: Mapping[str, str]) -> str:
  """A quantity in words."""
  metric, *places = quantity.name.split(' · ')
  return ' · '.join([axes.get(metric, label(metric)), *places])


def _trend(quantity: Quantity, axes: Mapping[str, str]) -> str:
  """From the fewest layers to the most: each family, or how many go where.

  A family is a stratum and an arm.
  """
  name = name_of(quantity, axes)
  families = [
    (listed([label(stratum), *([label(arm)] if arm else [])]),
     cells.row(0, named=True), cells.row(-1, named=True))
    for (stratum, arm), cells in quantity.cells.group_by(
      'stratum', 'arm', maintain_order=True)]
  if len(families) <= FEW:
    said = '; '.join(f'{family}, {_ends(first, last)}'
                     for family, first, last in families)
    return f'{name[:1].upper()}{name[1:]}: {said}.'
  ways = collections.Counter(
    _direction(first, last) for _, first, last in families)
  said = listed([f'{way} in {ways[way]}' for way in (MORE, LESS, SAME, OPEN)
                 if ways[way]])
  return (f'{name[:1].upper()}{name[1:]}: from the fewest layers to the most, '
          f'of {len(families)} families of runs, {said}.')


def _ends(first: Mapping[str, Any], last: Mapping[str, Any]) -> str:
  if first == last:
    return f'{number(first["mean"])} at n = {first["n_layers"]}'
  return (f'{number(first["mean"])} at n = {first["n_layers"]} and '
          f'{number(last["mean"])} at n = {last["n_layers"]} '
          f'({_direction(first, last)})')


def _direction(first: Mapping[str, Any], last: Mapping[str, Any]) -> str:
  """Whether the two intervals lie apart, and which way."""
  gap = last['mean'] - first['mean']
  if first['half'] is None or last['half'] is None:
    return OPEN
  if abs(gap) <= first['half'] + last['half']:
    return SAME
  return MORE if gap > 0 else LESS


def table(quantity: Quantity, axes: Mapping[str, str]) -> Numbers:
  """Estimates and intervals, for each stratum, arm and n."""
  rows = []
  for row in quantity.cells.iter_rows(named=True):
    estimate, interval = (
      (number(row['mean']), '') if row['half'] is None else
      span(row['mean'], row['mean'] - row['half'], row['mean'] + row['half']))
    rows.append([label(row['stratum']), label(row['arm']),
                 str(row['n_layers']), f'{estimate} {interval}'.strip(),
                 str(row['size'])])
  return Numbers(['stratum', 'arm', 'n', name_of(quantity, axes), 'runs'], rows)


def figure(quantity: Quantity, found: pl.DataFrame, axes: Mapping[str, str],
           name: str, rows_of: int) -> Plot:
  """A quantity against n: runs, means and intervals.

  Args:
    quantity: which.
    found: all of all runs.
    axes: what each metric is, by name.
    name: of the figure.
    rows_of: how many rows of the table it is made of.
  """
  rows = found.filter(quantity=pl.lit(quantity.name)).with_columns(
    line=pl.col('arm'), d_model=0)
  words = name_of(quantity, axes)
  drawn = figures.line_plot(
    Plot(name, f'{words[:1].upper()}{words[1:]}, against n', figures.INTERVAL,
         quantity.metric, f'metric = {quantity.metric}, {_OF_MODEL}'),
    [(label(str(stratum)), part)
     for (stratum,), part in rows.group_by('stratum', maintain_order=True)],
    _axis(words))
  return dataclasses.replace(drawn, rows=rows_of)


def of_metric(rows: pl.DataFrame, metric: str, axis: str,
              kind: str = '') -> Shown:
  """A metric of all runs: against layer / n with a line for each n, or by n.

  What has a second layer, or heads, is averaged over them.
  """
  model = rows.filter(network=MODEL)
  places = plots.places(model)
  averaged = [place for place in places if model[place].dtype.is_integer()]
  model = plots.named(model, [p for p in places if p not in averaged])
  over = (f'Mean over {listed([label(p) for p in averaged])}. '
          if averaged else '')
  plot = plots.plain(model, metric, axis, kind)
  plot = dataclasses.replace(
    plot, name=f'by-n-{plot.name}', rows_of=f'{plot.rows_of}, {_OF_MODEL}')
  if model['layer'].null_count() == model.height:
    model = model.with_columns(line=_words('arm', 'line'), d_model=0)
    drawn = figures.line_plot(
      dataclasses.replace(plot, caption=over + figures.INTERVAL),
      [(label(str(stratum)), part) for (stratum,), part in
       model.group_by('stratum', maintain_order=True)], _axis(axis))
    return Shown(drawn, [_means(model.with_columns(
      facet=_words('stratum', 'line')), 'n_layers', plot.title)])
  model = model.drop_nulls('layer').with_columns(
    depth=pl.col('layer') / pl.col('n_layers'),
    facet=_words('stratum', 'arm', 'line'))
  panels = _facets(model)
  drawable = _facets(readings.told(model)) if len(panels) > PANELS else panels
  more = len(panels) - len(drawable[:PANELS])
  plot = dataclasses.replace(plot, caption=(
    f'A line for each n, against layer / n. {over}'
    + (f'{more} more are in the numbers below.' if more else '')))
  drawn = figures.curve_plot(
    plot, [(facet, _axis(axis), part) for facet, part in drawable[:PANELS]],
    'depth', 'n_layers', 'layer / n', 'n = {}', (-0.03, 1.03))
  return Shown(drawn, [_means(part.with_columns(
    facet=pl.format('n = {}', 'n_layers')), 'layer', facet)
    for facet, part in panels])


def _facets(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
  return [(str(facet), part) for (facet,), part in
          rows.group_by('facet', maintain_order=True)]


def _axis(words: str) -> str:
  return '\n'.join(plots.wrapped(words))


def _words(*columns: str) -> pl.Expr:
  """Columns joined; those that say nothing left out."""
  return pl.concat_list(
    pl.col(column).cast(pl.String).str.replace_all('_', ' ', literal=True)
    for column in columns).list.filter(pl.element() != '').list.join(' · ')


def _means(rows: pl.DataFrame, along: str, title: str) -> Numbers:
  """Means over runs: a row for each value, a column for each facet."""
  cells = rows.group_by('facet', along, maintain_order=True).agg(
    pl.col('value').mean())
  table = cells.pivot('facet', index=along, values='value').sort(along)
  return Numbers([label(along), *table.columns[1:]], [
    [str(at), *map(number, values)] for at, *values in table.iter_rows()],
    title)
