"""The finished runs of an experiment, or of a sweep that left a folder."""

from __future__ import annotations

import argparse
import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import claims
from experiments.commands import parser
from experiments.judge import table
from experiments.machine import usage
from experiments.machine.usage import UsageError
from experiments.runs.store import Store
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.flags import PREFIX
from experiments.sweeps.identity import run_id
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Train, parents
from train import serialization
from train.config import Config

TABLE = 'results.parquet'


@dataclasses.dataclass(frozen=True)
class Finished:
  """The finished runs of a plan.

  Attributes:
    plan: that left them.
    cells: theirs.
    left_out: why others are not, {reason: run ids}.
  """

  plan: Plan
  cells: tuple[Cell, ...]
  left_out: Mapping[str, Sequence[str]]

  @property
  def lines(self) -> list[str]:
    """What a person is told of those left out."""
    return [f'Left out, {why}: {len(ids)} of the runs ({", ".join(ids[:3])}'
            f'{", …" if ids[3:] else ""}).'
            for why, ids in self.left_out.items()]


def has_runs(name: str) -> bool:
  """Whether what was typed is an experiment or a sweep, and no one model."""
  return (name.endswith('.py') or name.replace('_', '-') in claims.names()
          or (Path(name).expanduser() / TABLE).is_file())


def select(options: argparse.Namespace) -> Finished:
  """The finished runs of what was typed.

  Args:
    options: `model`, a claim, a .py file or the folder of a sweep's results;
      `preset`, `strata`, `texts`, `runs`.

  Raises:
    UsageError: none is finished; the message says what trains them.
  """
  folder = Path(options.model).expanduser()
  left_out: dict[str, list[str]] = collections.defaultdict(list)
  if (folder / TABLE).is_file():
    plan, begun = _of_folder(folder, options.strata)
    left_out['not finished'] += begun
    command = 'the command that began them'
  else:
    plan = parser.plan(
      argparse.Namespace(**{**vars(options), 'experiment': options.model}))
    command = _command(options)
  store, cells = Store(plan.runs), []
  for cell in plan.cells:
    if not isinstance(cell.task, Train):
      continue
    why, run = _unfit(store, cell.task), run_id(cell.task)
    if not why:
      cells.append(cell)
    elif run not in left_out[why]:
      left_out[why].append(run)
  left_out = {why: ids for why, ids in left_out.items() if ids}
  if not cells and not left_out:
    raise UsageError(f'{options.model}: trains nothing to look into')
  if not cells:
    raise UsageError(
      f'{options.model}: none of its {sum(map(len, left_out.values()))} runs '
      f'in {plan.runs} can be looked into ({"; ".join(left_out)}); train them '
      f'with {command}')
  return Finished(plan, tuple(cells), left_out)


def _command(options: argparse.Namespace) -> str:
  """What trains the runs of what was typed."""
  return ' '.join([
    'fathom run', options.model, *filter(None, [
      options.preset and f'--preset={options.preset}',
      options.strata and f'--strata={",".join(options.strata)}',
      *(f'{PREFIX}{path}={text}' for path, text in options.texts.items()),
      options.runs != Path('runs') and f'--runs={options.runs}'])])


def _unfit(store: Store, task: Train) -> str:
  """Why a run cannot be looked into; '' where it can."""
  result = store.result(run_id(task))
  if result is None:
    return 'not finished'
  if result['status'] == 'diverged':
    return 'diverged'
  if not all(store.done(run_id(parent)) for parent in parents(task)
             if isinstance(parent, Train)):
    return 'what they start from is gone'
  return ''


def _of_folder(folder: Path,
               strata: Sequence[str]) -> tuple[Plan, list[str]]:
  """What was run, read from a results table and the runs that it names; and
  the ids of those that are not finished.

  Raises:
    UsageError: the table cannot be read, or the runs are not those it is of.
  """
  rows = table.read(str(folder)).select('stratum', 'arm', 'run').unique(
    maintain_order=True)
  whole = folder.resolve()
  root = next((place for place in whole.parents
               if (place / 'trained').is_dir()), None)
  if root is None:
    raise UsageError(f'{folder}: the runs of its table are not above it, in a '
                     'folder `trained`; give the folder where they were made')
  for name in strata:
    usage.choose('stratum', name, list(dict.fromkeys(rows['stratum'])))
  store = Store(root)
  cells, unfinished = [], []
  for row in rows.iter_rows(named=True):
    if strata and row['stratum'] not in strata:
      continue
    if result := store.result(row['run']):
      cells.append(Cell(row['stratum'], row['arm'], _task(row['run'], result)))
    elif row['run'] not in unfinished:
      unfinished.append(row['run'])
  parts = tuple(Part(stratum, lambda preset, pins: cells)
                for stratum in dict.fromkeys(rows['stratum']))
  experiment = Experiment(whole.parent.name, whole.parent.name, parts,
                          presets=(whole.name,))
  return Plan(experiment, whole.name, parts if not strata else tuple(
    part for part in parts if part.name in strata), {}, tuple(cells), root,
    whole), unfinished


def _task(run: str, result: Mapping[str, Any]) -> Train:
  """What was trained, as its result describes it.

  Raises:
    UsageError: that does not say what it started from, or what else it was
      scored on.
  """
  values = result['config']
  # Configs in a tuple are not read back.
  alone = {**values, 'data': {**values['data'], 'evaluate': []}}
  task = Train(serialization.from_dict(Config, alone))
  if run_id(task) != run:
    raise UsageError(
      f'run {run} cannot be made out from its config alone; give the name or '
      'the file of its experiment instead of a folder')
  return task
