"""From finished runs to a verdict and a page: seal, table, judge, report."""

import collections
import dataclasses
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from data import durable
from experiments import report
from experiments.judge import (
  attainability,
  comparison,
  ledger,
  reasons,
  table,
  verdict,
)
from experiments.judge.declaration import Claim
from experiments.judge.record import ClaimResult
from experiments.judge.seal import keep_seal
from experiments.machine import compiler
from experiments.machine.usage import UsageError
from experiments.report import picture, sentence
from experiments.report.picture import Picture
from experiments.runs import manifest
from experiments.runs.store import Store
from experiments.sweeps import cost, packing
from experiments.sweeps.identity import run_id
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Task

NO_EVIDENCE = 'no evidence'
NOT_RUN = 'not run'


@dataclasses.dataclass(frozen=True)
class Conclusion:
  """What a plan's finished runs show.

  Attributes:
    title: of the experiment.
    verdict: one word, on the strata that were run; '' where nothing was
      declared.
    headline: the verdict with what must be said beside it, 'supported on text
      only', 'no verdict', or 'no evidence' of a smoke test.
    words: what was found, in sentences for a layman.
    reason: of the verdict, a sentence.
    page: the path of report.html.
  """

  title: str
  verdict: str
  headline: str
  words: tuple[str, ...]
  reason: str
  page: Path


  @property
  def lines(self) -> list[str]:
    """What a person is told at the end."""
    if self.verdict == NOT_RUN:
      return [f'{self.title}: not run. {self.reason}', f'Report: {self.page}']
    word = self.verdict or self.headline
    told = self.headline != NO_EVIDENCE or self.verdict == 'incomplete'
    verdict = [f'{reasons.sentence(word)} {self.reason}'] if told else []
    return [self.title, *self.words, *verdict, f'Report: {self.page}']


def check(plan: Plan) -> None:
  """Refuses what is declared and no number of the planned runs could show.

  Raises:
    UsageError: naming the effect and how many replicates would do.
  """
  if claim := declared(plan):
    attainability.check(plan, claim)


def seal(plan: Plan) -> None:
  """Seals what is declared and notes what is run with; before the first run.

  Raises:
    UsageError: as `check`; or the seal is missing beside results, or was
      edited.
  """
  check(plan)
  if claim := declared(plan):
    keep_seal(plan, claim)
  configs = [c for group in plan.groups() for c in group.configs]
  plan.folder.mkdir(parents=True, exist_ok=True)
  durable.write_json(plan.folder / 'manifest.json',
                     manifest.collect(configs, ['fathom', *sys.argv[1:]]))


def tabulate(plan: Plan) -> pl.DataFrame:
  """Writes the results table of what is finished into `plan.output`.

  Raises:
    UsageError: as `seal`.
  """
  if claim := declared(plan):
    keep_seal(plan, claim)
  rows = table.build(plan, Store(plan.runs))
  table.write(rows, plan.output)
  return rows


def conclude(plan: Plan) -> Conclusion:
  """Writes the table, the record and the report of what is finished.

  The record is verdict.json, or comparison.json where nothing was declared.

  Raises:
    UsageError: as `seal`.
  """
  rows = tabulate(plan)
  facts = {**(durable.read_json(plan.folder / 'manifest.json')
              or manifest.code()), 'compute': compute(plan)}
  claim = declared(plan)
  if claim is None:
    compared = comparison.compare(plan, rows, manifest.code()['commit'])
    durable.write_json(plan.output / 'comparison.json',
                       dataclasses.asdict(compared))
    page = report.compare(plan, compared, rows, facts)
    return Conclusion(compared.title, '', 'no verdict', (), compared.reason,
                      page)
  result = judge(plan, claim, rows)
  words = sentence.of_claim(plan.experiment, result)
  durable.write_json(plan.output / ledger.RECORD, {
    **dataclasses.asdict(result), 'cost': costs(plan), 'words': words})
  page = report.write(plan, result, rows, facts, pictures(plan))
  headline = (NO_EVIDENCE if result.evidence == 'smoke' else
              result.headline)
  return Conclusion(
    result.title, result.verdict, headline, tuple(words.values()),
    result.reason, page)


def pictures(plan: Plan) -> dict[str, Picture]:
  """A sample problem of each part that has one; what fails is told of."""
  compiler.use_cache()
  found = {}
  for part in plan.parts:
    try:
      drawn = picture.of_part(plan, part)
    except Exception as error:  # a picture that fails costs no report
      print(f'fathom: no sample problem of {part.name} is drawn: {error}',
            file=sys.stderr)
      continue
    if drawn:
      found[part.name] = drawn
  return found


def declared(plan: Plan) -> Claim | None:
  """The claim as declared for the plan's preset; None where nothing is.

  Raises:
    UsageError: some parts declare what decides, and some do not; or a part
      declares a stratum of another name.
  """
  parts = plan.experiment.parts
  silent = [part.name for part in parts if part.declare is None]
  if len(silent) == len(parts):
    return None
  if silent:
    raise UsageError(
      f'{plan.experiment.name}: {", ".join(silent)} declares nothing, and '
      'other parts do; give each part a `declare`, or none')
  experiment = plan.experiment
  strata = tuple(part.declare(plan.preset) for part in parts if part.declare)
  for part, stratum in zip(parts, strata):
    if getattr(stratum, 'name', None) != part.name:
      raise UsageError(
        f'{experiment.name}: what part {part.name!r} declares must be a '
        f'Stratum with name={part.name!r}')
  return Claim(experiment.name, experiment.title, experiment.claim,
               experiment.reading, strata)


def judge(plan: Plan, claim: Claim, rows: pl.DataFrame) -> ClaimResult:
  """The verdict on what is finished."""
  planned = collections.Counter({part.name: 0 for part in plan.parts})
  planned.update(cell.stratum for cell in {
    (c.stratum, c.task): c for c in plan.cells}.values())
  optional = [part.name for part in plan.experiment.parts if part.optional]
  return verdict.judge(
    claim, rows, planned, manifest.code()['commit'],
    smoke=plan.preset == 'smoke', sealed=keep_seal(plan, claim),
    optional=optional, absent=plan.absent)


def costs(plan: Plan) -> dict[str, dict[str, float]]:
  """What the runs of each part took: FLOPs, and seconds of one worker."""
  found = {}
  for part in plan.parts:
    tasks = packing.distinct(c.task for c in plan.cells
                             if c.stratum == part.name)
    found[part.name] = {
      'flops': sum(map(cost.flops, tasks)),
      'worker_seconds': _worker_seconds(_timings(plan, tasks))}
  return found


def _timings(plan: Plan, tasks: Iterable[Task]) -> list[Mapping[str, Any]]:
  """How long the finished ones of some tasks took."""
  store = Store(plan.runs)
  return [result['timing'] for task in tasks
          if (result := store.result(run_id(task)))]


def _worker_seconds(timings: Iterable[Mapping[str, Any]]) -> float:
  """Of one worker; runs that trained together share their time."""
  return sum(timing['total'] / timing['runs'] for timing in timings)


def compute(plan: Plan) -> Mapping[str, Any]:
  """On which devices the finished runs were trained, and for how long."""
  timings = _timings(plan, plan.tasks())
  return {'devices': sorted({timing['device'] for timing in timings}),
          'worker_seconds': round(_worker_seconds(timings))}
