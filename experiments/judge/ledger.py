"""What has been judged so far: the verdict records of a folder of results."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data import durable
from experiments.judge.record import NOT_RUN, Verdict
from experiments.judge.verdict import KINDS, across
from experiments.machine.usage import UsageError

RECORD = 'verdict.json'
AGAINST = ('refuted', 'conditional')


@dataclasses.dataclass(frozen=True)
class Finding:
  """The verdict on one stratum, in one preset.

  Attributes:
    experiment, preset, stratum: which.
    title: of the stratum.
    verdict: on it.
    words: what it shows, for a layman.
    tier: of evidence.
    replicates: the fewest that an effect of it has; None where all is exact.
    runs: how many it rests on.
    flops: of training them.
    worker_seconds: that they took.
    page: the report, relative to the folder of results.
  """

  experiment: str
  preset: str
  stratum: str
  title: str
  verdict: Verdict
  words: str
  tier: str
  replicates: int | None
  runs: int
  flops: float
  worker_seconds: float
  page: str


@dataclasses.dataclass(frozen=True)
class Standing:
  """How several findings stand together.

  Attributes:
    verdict: on all of them; 'not yet' where there is none, 'not run' where all
      that was asked for could not be run.
    strong: whether it is supported by evidence of two kinds.
    missing: strata that have no finding yet.
    why: why it was not run.
  """

  verdict: Verdict | str
  strong: bool
  missing: tuple[str, ...]
  why: str = ''


def findings(root: Path, presets: Mapping[str, Sequence[str]]) -> list[Finding]:
  """All verdicts below a folder of results, smoke tests left out.

  Of a stratum that was judged alone and with others, or in several presets of
  one tier, the one on the most runs counts.

  Args:
    root: the folder.
    presets: of each experiment, by name.

  Raises:
    UsageError: a record is not what this version writes.
  """
  best: dict[tuple[str, str, str], Finding] = {}
  for experiment, names in presets.items():
    for preset in names:
      folder = root / experiment / preset
      for path in (folder / RECORD, *sorted(folder.glob(f'*/{RECORD}'))):
        for found in _read(root, experiment, preset, path):
          key = (experiment, found.stratum, found.tier)
          if key not in best or best[key].runs < found.runs:
            best[key] = found
  return list(best.values())


def together(pairs: Iterable[tuple[str, str]], found: Iterable[Finding],
             says: Mapping[str, str],
             also: Iterable[tuple[str, str]] = ()
             ) -> tuple[Standing, list[Finding]]:
  """How the findings on some (experiment, stratum) pairs stand together.

  Args:
    pairs: what speaks about a statement.
    found: all that was found.
    says: what a verdict says about the statement, where that is another.
    also: what is told beside it where it was run. It can speak against a
      statement; what it leaves open weakens nothing, and what it supports (that
      layers are used, say, and not what for) supports nothing here.
  """
  by_pair: dict[tuple[str, str], list[Finding]] = {}
  absent = {(one.experiment, one.stratum): one.words for one in found
            if one.verdict == 'not run'}
  for one in found:
    if one.verdict == 'not run':
      continue
    by_pair.setdefault((one.experiment, one.stratum), []).append(one)
  asked = list(pairs)
  beside = [one for pair in also for one in by_pair.get(pair, ())]
  own = [one for pair in asked for one in by_pair.get(pair, ())]
  deciding = [*own, *(one for one in beside if one.verdict in AGAINST)]
  missing = tuple(f'{e}/{s}' for e, s in asked if (e, s) not in by_pair)
  if not deciding:
    whys = [absent[pair] for pair in asked if pair in absent]
    if whys and len(whys) == len(asked):
      return Standing('not run', False, missing, whys[0]), own
    return Standing('not yet', False, missing), own
  verdict = across([says.get(one.verdict, one.verdict)  # type: ignore[misc]
                    for one in deciding])
  kinds = {KINDS[one.tier] for one in deciding}
  strong = verdict == 'supported' and len(kinds) > 1 and not missing
  return Standing(verdict, strong, missing), [*own, *beside]


def _read(root: Path, experiment: str, preset: str,
          path: Path) -> list[Finding]:
  record = durable.read_json(path)
  if not record or record.get('evidence') != 'verdict':
    return []
  try:
    return [_finding(root, experiment, preset, path, record, stratum)
            for stratum in record['strata'] if stratum['reason'] != NOT_RUN]
  except (KeyError, TypeError):
    raise UsageError(f'{path} is of another version of Fathom; write it again '
                     f'with fathom report {experiment} --preset={preset}'
                     ) from None


def _finding(root: Path, experiment: str, preset: str, path: Path,
             record: Mapping[str, Any], stratum: Mapping[str, Any]) -> Finding:
  run = stratum['verdict'] != 'not run'
  cost = (record['cost'][stratum['name']] if run else
          {'flops': 0.0, 'worker_seconds': 0.0})
  return Finding(
    experiment, preset, stratum['name'], stratum['title'], stratum['verdict'],
    stratum['reason'] if not run else record['words'][stratum['name']],
    stratum['tier'],
    min((effect['replicates'] for effect in stratum['effects']), default=None),
    stratum['cells'], cost['flops'], cost['worker_seconds'],
    str(path.with_name('report.html').relative_to(root)))
