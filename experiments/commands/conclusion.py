"""From finished runs to a verdict and a page: table, judge, report."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import polars as pl

from experiments import report
from experiments.judge import declaration, table, verdict
from experiments.judge.declaration import Claim
from experiments.judge.verdict import ClaimResult
from experiments.runs import manifest
from experiments.runs.store import read_json, write_json
from experiments.sweeps import plan
from experiments.sweeps.plan import Plan


def claim_of(made: Plan) -> Claim:
  """The claim as declared for the plan's preset and strata."""
  return plan.load(made.experiment).claim(made.preset, made.strata)


def seal(made: Plan) -> None:
  """Writes the hash of what is declared, unless an earlier run did.

  It covers all strata and lies with the results, so neither a narrower command
  line nor another sweep folder gets round it.
  """
  declaration.seal(_seal(made), plan.load(made.experiment).claim(made.preset))


def conclude(made: Plan) -> tuple[ClaimResult, Path]:
  """Writes the table, the verdict record and the report of what is finished.

  Returns:
    The verdict, and the path of report.html.
  """
  results = table.build(made.cells, made.store)
  table.write(results, made.folder)
  result = judge(made, results)
  write_json(made.folder / 'verdict.json', dataclasses.asdict(result))
  facts = {**(read_json(made.folder / 'manifest.json') or manifest.code()),
           'compute': compute(made)}
  page = report.write(made.folder, result, results, facts, Page(made))
  return result, page


def compute(made: Plan) -> dict[str, Any]:
  """On which devices the finished runs were trained, and for how long."""
  found = [result for run_id in made.run_ids()
           if (result := made.store.result(run_id))]
  seconds = sum(r['timing']['total'] / r['timing']['runs'] for r in found)
  return {'devices': sorted({r['timing']['device'] for r in found}),
          'worker_seconds': round(seconds)}


def judge(made: Plan, results: pl.DataFrame) -> ClaimResult:
  """The verdict on what is finished."""
  planned = collections.Counter(
    stratum for stratum, _, _ in
    {(c.stratum, c.arm, c.config) for c in made.cells})
  return verdict.judge(
    claim_of(made), results, planned, manifest.code()['commit'],
    smoke=made.preset == 'smoke', declared=_declared(made))


def _declared(made: Plan) -> str | None:
  """The sealed hash if it is broken; None while it holds."""
  if not _seal(made).exists():
    return None
  sealed = _seal(made).read_text().strip()
  whole = plan.load(made.experiment).claim(made.preset)
  return None if sealed == declaration.declaration_hash(whole) else sealed


def _seal(made: Plan) -> Path:
  return made.store.root / f'declaration-{made.preset}.sha256'


class Page:
  """What the report says of the experiment beside its verdict."""

  def __init__(self, made: Plan):
    self.name = made.experiment
    self.preset = made.preset
