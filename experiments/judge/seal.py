"""The seal: what was declared before the first run, beside the results.

`seal.json` holds, for the claim and for each stratum, the hashes of all that
decides: which runs there are, effects, controls, rule, wording. A change voids.
The digests of the measurements lie beside them: an instrument may be mended,
but what is judged then says "amended after the first run". So does how many of
a stratum's runs were finished when it was sealed: what is declared after
results were there is told with the verdict.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data import durable
from experiments.judge.declaration import Claim
from experiments.judge.numbers import listed
from experiments.machine.usage import UsageError
from experiments.runs import digest, instrument
from experiments.runs.store import Store
from experiments.sweeps.experiment import Part
from experiments.sweeps.identity import run_id
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Train

FILE = 'seal.json'
# Any of them says that something was run.
RESULTS = ('manifest.json', 'results.csv', 'results.parquet', 'verdict.json',
           'comparison.json', 'report.html', 'report.md', '0.log')


@dataclasses.dataclass(frozen=True)
class Amendment:
  """A measurement that was changed after the first run.

  Attributes:
    date: when that was noticed, UTC, ISO 8601.
    stratum: whose measurement it is.
    old, new: its digests.
  """

  date: str
  stratum: str
  old: str
  new: str


@dataclasses.dataclass(frozen=True)
class Late:
  """A stratum that was declared when some of its runs were finished.

  Attributes:
    stratum: which.
    finished: how many of its runs were finished when it was sealed.
    runs: how many it had then.
  """

  stratum: str
  finished: int
  runs: int

  @property
  def words(self) -> str:
    """What a headline says of it."""
    return (f'{self.stratum} declared after {self.finished} of its {self.runs} '
            'runs were finished')


@dataclasses.dataclass(frozen=True)
class Seal:
  """What is sealed.

  Attributes:
    claim: {part of the claim: hash}.
    strata: {stratum: {part of its declaration: hash}}.
    measurements: {stratum: digest of its measurement}.
    finished: {stratum: (how many of its runs were finished when it was sealed,
      how many it had)}.
    history: the amendments, oldest first.
  """

  claim: Mapping[str, str]
  strata: Mapping[str, Mapping[str, str]]
  measurements: Mapping[str, str]
  finished: Mapping[str, tuple[int, int]]
  history: tuple[Amendment, ...] = ()

  @property
  def hash(self) -> str:
    """The sha256 of all that decides."""
    return digest.digest([self.claim, self.strata])

  def changes(self, declared: Seal, parts: Sequence[str]) -> list[str]:
    """What of a declaration is not as it was sealed, in words.

    Args:
      declared: what is declared now.
      parts: the strata that the experiment has now.
    """
    words = [f'the claim: its {name}' for name in _differing(
      self.claim, declared.claim)]
    for stratum, own in declared.strata.items():
      if stratum in self.strata:
        different = _differing(self.strata[stratum], own)
        if different:
          words.append(f'{stratum}: its {listed(different)}')
    words += [f'{stratum}: it was removed' for stratum in self.strata
              if stratum not in parts]
    return words

  def extended(self, declared: Seal) -> Seal:
    """With the strata that are new, and the measurements that changed."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
    amendments = tuple(
      Amendment(now, stratum, self.measurements[stratum], new)
      for stratum, new in declared.measurements.items()
      if self.measurements.get(stratum, new) != new)
    return Seal(self.claim, {**declared.strata, **self.strata},
                {**self.measurements, **declared.measurements},
                {**declared.finished, **self.finished},
                (*self.history, *amendments))


@dataclasses.dataclass(frozen=True)
class Sealed:
  """What the seal says of a declaration.

  Attributes:
    hash: of all that decides, as it was sealed.
    changes: what was changed after the first run, in words.
    amendments: measurements that were changed after it.
    late: strata that were declared when some of their runs were finished.
  """

  hash: str = ''
  changes: tuple[str, ...] = ()
  amendments: tuple[Amendment, ...] = ()
  late: tuple[Late, ...] = ()


def declared(plan: Plan, claim: Claim) -> Seal:
  """What is declared now for the strata of a plan."""
  strata = {stratum.name: stratum for stratum in claim.strata}
  return Seal(
    {'statement': digest.digest([claim.title, claim.claim, claim.reading]),
     'level': digest.digest(claim.alpha),
     'treatment of diverged runs': digest.digest(claim.exclusion),
     'required strata': digest.digest(sorted(plan.experiment.required()))},
    {part.name: {
      'cells': digest.digest(sorted(
        (cell.arm, run_id(cell.task)) for cell in plan.cells
        if cell.stratum == part.name)),
      'effects': digest.digest([
        dataclasses.replace(effect, sigma=None)  # for planning alone
        for effect in strata[part.name].effects]),
      'properties': digest.digest(strata[part.name].properties),
      'controls': digest.digest(strata[part.name].controls),
      'rule': digest.digest(strata[part.name].rule),
      'wording': digest.digest([
        strata[part.name].title, strata[part.name].prediction,
        strata[part.name].refutation, strata[part.name].tier])}
     for part in plan.parts},
    {part.name: instrument.name(instrument.of(part)) for part in plan.parts},
    {part.name: _finished(plan, part) for part in plan.parts})


def _finished(plan: Plan, part: Part) -> tuple[int, int]:
  """How many of a stratum's runs are finished, and how many there are."""
  store = Store(plan.runs)
  tasks = {run_id(cell.task): cell.task for cell in plan.cells
           if cell.stratum == part.name}
  done = [run for run, task in tasks.items() if (
    store.done(run) if isinstance(task, Train) else
    not instrument.missing(store, run, [instrument.of(part)]))]
  return len(done), len(tasks)


def keep_seal(plan: Plan, claim: Claim) -> Sealed:
  """Seals a plan's declaration, or what of it is new; says what was changed.

  Raises:
    UsageError: the seal is missing beside results, was edited, or cannot be
      read.
  """
  path = plan.folder / FILE
  now, old = declared(plan, claim), _read(path)
  if old is None:
    _refuse_without(plan.folder)
  new = old.extended(now) if old else now
  if new != old:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dataclasses.asdict(new)
    durable.write_json(path, {**content, 'checksum': _checksum(content)})
  parts = [part.name for part in plan.experiment.parts]
  late = tuple(Late(stratum, *counts) for stratum, counts in
               new.finished.items() if counts[0])
  return Sealed(new.hash, tuple(new.changes(now, parts)), new.history, late)


def _refuse_without(folder: Path) -> None:
  results = [path for name in RESULTS for path in sorted(folder.rglob(name))]
  if results:
    raise UsageError(
      f'{folder / FILE} is missing beside {results[0].name}: what was declared '
      'before the first run cannot be known, so nothing is judged; restore it, '
      f'or remove {folder} and declare anew')


def _read(path: Path) -> Seal | None:
  try:
    text = path.read_text()
  except FileNotFoundError:
    return None
  except (OSError, UnicodeDecodeError):
    text = ''
  try:
    content = json.loads(text)
    checksum = content.pop('checksum')
    if checksum != _checksum(content):
      raise ValueError
    finished = {stratum: (done, runs)
                for stratum, (done, runs) in content['finished'].items()}
    history = tuple(Amendment(**entry) for entry in content['history'])
    return Seal(content['claim'], content['strata'], content['measurements'],
                finished, history)
  except (ValueError, KeyError, TypeError, AttributeError):
    raise UsageError(
      f'{path} cannot be read or was edited: it says what was declared before '
      f'the first run; restore it, or remove {path.parent} and declare anew'
    ) from None


def _checksum(content: Any) -> str:
  return digest.digest(json.loads(json.dumps(content)))


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
  return [name for name in new if old.get(name) != new[name]]
