"""Instruments on the runs that an experiment has left, shown by n.

Nothing is trained. What an instrument says of a run is kept beside it, so the
same command goes on where it was, and takes seconds where all is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from experiments.commands import execution, finished, run
from experiments.commands.finished import Finished
from experiments.instruments import held_out
from experiments.instruments.examination import MODEL
from experiments.instruments.instrument import Instrument
from experiments.judge import table
from experiments.launch import workers
from experiments.machine.usage import UsageError
from experiments.report import probe
from experiments.report.probe import by_n, readings
from experiments.runs import display, manifest, remaining
from experiments.runs.instrument import Measure
from experiments.runs.progress import MeasuringProgress
from experiments.runs.store import Store
from experiments.sweeps import cost
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.identity import run_id
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Train

FOLDER = 'probes'  # beside the experiments' own
# What compiling an instrument for one shape of runs takes one core, about; a
# guess that is told beforehand.
COMPILING_SECONDS = 3.0
# Flags that say what a single model is read with.
ALONE = ('text', 'tokens', 'window', 'calibration', 'calibration_tokens',
         'jacobian_tokens', 'words', 'mesh', 'out')
# Columns of the table before the places of a number.
COLUMNS = ('stratum', 'arm', 'n_layers', 'seed', 'instance', 'run',
           'instrument', 'metric', 'network')


def plan(options: argparse.Namespace,
         instruments: Sequence[Instrument]) -> Plan:
  """What is taken of the runs of what was typed."""
  return measurements(finished.select(options), instruments)


def measurements(of: Finished, instruments: Sequence[Instrument]) -> Plan:
  """A plan with a part for each instrument of each stratum.

  Nothing of it is left to train, so leases, workers and the files of failures
  do as for any sweep.
  """
  measures: dict[str, Measure] = {
    one.name: held_out.measure(one) for one in instruments}
  strata = dict.fromkeys(cell.stratum for cell in of.cells)
  parts = tuple(Part(f'{stratum}/{name}', lambda preset, pins: (), measure)
                for stratum in strata for name, measure in measures.items())
  cells = tuple(dataclasses.replace(cell, stratum=f'{cell.stratum}/{name}')
                for cell in of.cells for name in measures)
  experiment = Experiment(
    f'probe of {of.plan.experiment.name}', of.plan.experiment.title, parts,
    presets=(of.plan.preset,))
  return dataclasses.replace(
    of.plan, experiment=experiment, parts=parts, cells=cells, pins={},
    folder=output(of), unanswered=(), absent={})


def act(options: argparse.Namespace,
        instruments: Sequence[Instrument]) -> int:
  """Takes what is missing, and writes table and page; the exit code."""
  for flag in ALONE:
    if getattr(options, flag):
      raise UsageError(
        f'--{flag.replace("_", "-")} belongs to a single model; the runs of '
        f'{options.model} read held-out examples of their own source')
  of = finished.select(options)
  planned = measurements(of, instruments)
  print(*forecast(of, planned, instruments), sep='\n', flush=True)
  if options.dry:
    return 0
  code = 0
  if missing(planned):
    code = execution.run(planned, options.arguments, options.workers,
                         tracker=MeasuringProgress)
  if code in run.STOPS:
    return code
  rows, refused = tabulate(planned)
  for number, failure in enumerate(run.failures(planned), 1):
    print(f'fathom: {failure}', file=sys.stderr)
    refused[f'failure {number}'] = failure
  page = write(of, instruments, rows, refused)
  print(*answers(rows, instruments), sep='\n')
  print(f'{rows.height:,} numbers: {output(of) / probe.TABLE}\n'
        f'Report: {page}')
  return code


def output(of: Finished) -> Path:
  """Where the table and the page go."""
  plan = of.plan
  whole = plan.runs / FOLDER / f'{plan.experiment.name}-{plan.folder.name}'
  return whole / plan.output.name if plan.partial else whole


def missing(plan: Plan) -> int:
  """How many measurements are still to be taken."""
  store = Store(plan.runs)
  return sum(len(left) for item in remaining.work(plan)
             for left in item.unmeasured(store).values())


def forecast(of: Finished, plan: Plan, instruments: Sequence[Instrument]
             ) -> list[str]:
  """What is going to be done, and what it costs, in words."""
  store = Store(plan.runs)
  items = remaining.work(plan)
  left = missing(plan)
  fresh = sum(any(item.unmeasured(store).values()) for item in items)
  flops = sum(costs(of, instruments).values())
  count = workers.worker_count(None, len(items)) or 1
  measured = sum(len(own) for item in items for own in item.measures.values())
  runs = len({run_id(cell.task) for cell in of.cells})
  seconds = (fresh * len(instruments) * COMPILING_SECONDS
             + flops * left / measured / cost.ASSUMED_FLOPS) / count
  lines = [
    f'{of.plan.experiment.name} ({of.plan.preset}): {len(instruments)} '
    f'instruments on {runs} trained runs of {len(items)} shapes; '
    f'{measured - left} of {measured} measurements are there.', *of.lines]
  if left:
    lines.append(f'What is missing is about {flops * left / measured:.1e} '
                 f'FLOPs, and programs to compile for {fresh} shapes: perhaps '
                 f'{display.duration(seconds)}.')
  return lines


def costs(of: Finished, instruments: Sequence[Instrument]
          ) -> dict[str, float]:
  """FLOPs of each instrument on all of the runs, by name."""
  tasks = {cell.task for cell in of.cells}
  return {one.name: sum(
    one.flops(task.config.model, tokens, tokens) for task in tasks
    if isinstance(task, Train) and (tokens := held_out.tokens(task.config)))
    for one in instruments}


def tabulate(plan: Plan) -> tuple[pl.DataFrame, dict[str, str]]:
  """One number a row, and why instruments were not taken, by name."""
  rows = table.build(plan, Store(plan.runs)).filter(
    status=pl.lit('done')).filter(pl.col('metric') != 'validation_loss')
  name = pl.col('stratum').str.split('/')
  rows = rows.with_columns(
    instrument=name.list.last(),
    stratum=name.list.head(name.list.len() - 1).list.join('/'))
  refusals = rows.filter(metric=pl.lit(held_out.REFUSED))
  refused: dict[str, str] = {}
  if refusals.height:
    for row in refusals.group_by('instrument', 'why', maintain_order=True).agg(
        pl.col('stratum').unique(maintain_order=True), pl.len()).iter_rows(
          named=True):
      text = f'{", ".join(row["stratum"])} ({row["len"]} runs): {row["why"]}'
      old = refused.get(row['instrument'])
      refused[row['instrument']] = f'{old}; {text}' if old else text
  rows = rows.filter(pl.col('metric') != held_out.REFUSED)
  if 'network' not in rows.columns:
    rows = rows.with_columns(network=pl.lit(None, pl.String))
  rows = rows.with_columns(pl.col('network').fill_null(MODEL))
  places = [name for name in rows.columns if table.is_place(name)
            and name not in (*COLUMNS, 'why')
            and rows[name].null_count() < rows.height]
  return rows.select(*COLUMNS, *places, 'value'), refused


def answers(rows: pl.DataFrame,
            instruments: Sequence[Instrument]) -> list[str]:
  """What the page answers first, a line each."""
  axes = {metric: axis for one in instruments
          for metric, axis in one.metrics.items()}
  found = by_n.quantities(
    readings.of_runs(rows.filter(pl.col('value').is_finite())))
  return [' '.join([one.question, *one.sentences])
          for one in by_n.answers(found, axes) if one.sentences]


def write(of: Finished, instruments: Sequence[Instrument],
          rows: pl.DataFrame, refused: Mapping[str, str]) -> Path:
  """Writes the table, the figures and the page; the page's path."""
  import jax
  folder = output(of)
  folder.mkdir(parents=True, exist_ok=True)
  table.save(rows, folder / probe.TABLE)
  tasks = [cell.task for cell in of.cells]
  configs = [task.config for task in tasks if isinstance(task, Train)]
  taken = set(rows['instrument'])
  left_out = {f'{len(ids)} runs ({ids[0]}, …)': why
              for why, ids in of.left_out.items()}
  each = {held_out.tokens(config) for config in configs}
  return probe.write(folder, rows, None, probe.Facts(
    f'the runs of {of.plan.experiment.name} ({of.plan.preset})', '',
    'held-out examples of each run\'s own source', max(each),
    shlex.join(['fathom', *sys.argv[1:]]), jax.devices()[0].device_kind,
    [one for one in instruments if one.name in taken],
    {name: probe.Cost(flops)
     for name, flops in costs(of, instruments).items()},
    left_out={**refused, **left_out},
    calibration='as many other held-out examples of the same source',
    manifest=manifest.collect(configs, ['fathom', *sys.argv[1:]])))
