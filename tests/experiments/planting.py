"""Planted results: the numbers that a claim declares to read, and no others.

Which runs, metrics and places those are, the declared measures say themselves,
so what is planted cannot drift from what is declared.
"""

import math

import polars as pl

from experiments.claims.depth import EXPERIMENT as DEPTH
from experiments.commands import conclusion
from experiments.judge import table, verdict
from experiments.judge.samples import MissingMeasurement
from experiments.judge.seal import Sealed
from experiments.judge.table import is_place
from experiments.runs import instrument
from experiments.runs.store import Store
from experiments.sweeps import plan
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Train

STEPS = 20  # evaluations of a planted learning curve


def accuracy(run, hops, step=STEPS):
  """Fewer layers need longer; one answers four links only step by step."""
  single = {1: 1, 2: 18, 4: STEPS + 1}
  several = {1: 1, 2: 2, 4: 15 if run['n_layers'] == 2 else 6}
  needed = (single if run['n_layers'] == 1 else several).get(
    hops, 6 if run['n_layers'] > 4 else STEPS + 1)
  written = run['arm'] == 'chain_of_thought'
  return 0.98 if step >= needed or written else 0.3


# What the depth claim predicts, metric by metric.
PREDICTED = {
  'accuracy': accuracy,
  'early_accuracy': lambda run, hops: accuracy(run, hops, STEPS // 4),
  'solved': lambda run, hops: float(accuracy(run, hops) > 0.9),
  'shortcut_accuracy': lambda run, hops: 0.1,
  'initial_accuracy': lambda run: 0.11,
  'excess_bits': lambda run, level=0: 0.5 * math.exp(-run['n_layers']),
  'order_counted': lambda run: 0.0 if 'filtered' in run['arm'] else 1.0,
  'highest_decodability': lambda run: 0.9,
  'learned_share': lambda run: 0.9,
  'interchange_normalised': lambda run: 0.8,
  'interchange_ceiling': lambda run: 0.9,
  'sampled_excess_bits': lambda run: 0.01,
  'selectivity': lambda run: 0.4,
  'bits_per_byte': lambda run: 2.5 - 0.05 * math.log2(run['n_layers']),
  'bigram_bits_per_byte': lambda run: 3.6,
  'stack_parameters': lambda run: 28_080.0,
}


def depth(runs, preset='cpu', strata=()):
  """A plan of the depth claim."""
  return plan.make(DEPTH, preset, strata, {}, runs)


def blank(of):
  """A plan's table with every run done and no number."""
  return table.build(of, Store(of.runs)).with_columns(status=pl.lit('done'))


def add(rows, metric, value, places=({},), **fields):
  """The table with a metric at some places of the runs that have the fields.

  Args:
    rows: the table.
    metric: its name.
    value: of a run (a mapping) and the place's names, to a number.
    places: mappings, or a function from a run to them.
    **fields: columns and values that choose the runs.
  """
  columns = [name for name in rows.columns if not is_place(name)
             and name not in ('metric', 'value')]
  runs = rows.filter(*(pl.col(name).eq_missing(pl.lit(x))
                       for name, x in fields.items())).select(columns).unique(
                         maintain_order=True)
  new = [{**run, 'metric': metric, **place,
          'value': value(run, **place) + 0.001 * (run['seed'] % 3)}
         for run in runs.to_dicts()
         for place in (places(run) if callable(places) else places)]
  if not new:
    return rows
  return pl.concat([rows, pl.DataFrame(new, infer_schema_length=None)],
                   how='diagonal_relaxed').select(rows.columns)


def plant(of, values=None):
  """The table of a plan, with each number that its claim reads."""
  values = PREDICTED | (values or {})
  rows = blank(of)
  for stratum in conclusion.declared(of).strata:
    if stratum.name not in {part.name for part in of.parts}:
      continue
    for declared in (*stratum.effects, *stratum.every_control()):
      while missing := _missing(declared, rows, stratum.name):
        place = {k: v for k, v in missing.condition.items() if is_place(k)}
        fields = {k: v for k, v in missing.condition.items()
                  if not is_place(k)}
        places = [place]
        if getattr(declared, 'analysis', '') == 'time to solve':
          places = [{**place, 'step': step + 1} for step in range(STEPS)]
        longer = add(rows, missing.metric, values[missing.metric], places,
                     stratum=stratum.name, **fields)
        assert longer.height > rows.height, missing
        rows = longer.unique(maintain_order=True)
  return finished(rows)


def finished(rows):
  """Without the empty rows of runs that have numbers."""
  measured = pl.col('metric').is_not_null()
  return rows.filter(measured | ~measured.any().over('stratum', 'arm', 'run'))


def _missing(declared, rows, stratum):
  try:
    declared.measure(rows.filter(pl.col('stratum') == stratum))
  except MissingMeasurement as missing:
    return missing
  return None


SEALED = Sealed('9f' * 32)


def judged(of, rows, sealed=SEALED, smoke=False):
  """The claim of a plan, judged on a table."""
  planned = {part.name: len({
    c.task for c in of.cells if c.stratum == part.name})
    for part in of.parts}
  return verdict.judge(
    conclusion.declared(of), rows, planned, '0123456789abcdef', smoke, sealed,
    [part.name for part in of.experiment.parts if part.optional])


def publish(of, numbers, status='done', curves=()):
  """Keeps results of all runs of a plan, as if they had been trained.

  Args:
    of: the plan.
    numbers: from a cell to rows {metric, value, where}; None: not measured.
    status: of the runs.
    curves: {step, loss} points of each.
  """
  store = Store(of.runs)
  for cell in of.cells:
    run = run_id(cell.task)
    if isinstance(cell.task, Train):
      store.publish(run, {
        'status': status, 'curves': list(curves), 'scores': {},
        'others': {}, 'parameters': '',
        'timing': {'total': 3.0, 'runs': 2, 'device': 'cpu'}})
    rows = numbers(cell)
    if rows is not None:
      part = of.experiment.part(cell.stratum)
      store.keep_measurement(run, instrument.name(instrument.of(part)), rows)
