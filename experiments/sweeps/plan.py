"""Turns a command line into the list of runs it stands for."""

import dataclasses
import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments import claims
from experiments.runs.store import Store
from experiments.sweeps import identity, overrides, packing
from experiments.sweeps.algebra import Cell
from experiments.sweeps.overrides import UsageError
from train import program
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Plan:
  """Everything that a sweep will run, known before it does.

  Attributes:
    experiment: the claim's name, a folder of experiments/claims/.
    preset: smoke, cpu or accelerator.
    strata: the strata that are run and judged.
    overrides: {dotted path: value} pinned in every cell.
    cells: the runs.
    store: where their results are.
    folder: where the sweep's table and report go.
  """

  experiment: str
  preset: str
  strata: tuple[str, ...]
  overrides: Mapping[str, Any]
  cells: tuple[Cell, ...]
  store: Store
  folder: Path

  def groups(self) -> list[packing.Group]:
    """The runs as they are trained together."""
    return packing.groups(self.cells)

  def run_ids(self) -> list[str]:
    """The distinct runs."""
    return [identity.run_id(c.config) for c in self.distinct()]

  def distinct(self) -> list[Cell]:
    """The first cell of each run; arms can share runs."""
    first: dict[str, Cell] = {}
    for cell in self.cells:
      first.setdefault(identity.run_id(cell.config), cell)
    return list(first.values())

  def done(self) -> int:
    """How many distinct runs are finished."""
    return sum(map(self.store.done, self.run_ids()))


def experiments() -> list[str]:
  """The names of all experiments."""
  return sorted(m.name for m in pkgutil.iter_modules(claims.__path__))


def load(name: str) -> ModuleType:
  """The module of an experiment.

  Raises:
    UsageError: there is none of that name.
  """
  choose('experiment', name, experiments())
  return importlib.import_module(f'experiments.claims.{name}')


def stratum(experiment: str, name: str) -> ModuleType:
  """The module of one stratum: sweep, declare, measure, notes."""
  return importlib.import_module(f'experiments.claims.{experiment}.{name}')


def make(experiment: str, preset: str, strata: Sequence[str],
         texts: Mapping[str, str], runs: Path) -> Plan:
  """Resolves names, overrides and sizes into a plan.

  Args:
    experiment: its name.
    preset: the preset's name.
    strata: the strata wanted; all when empty.
    texts: overrides as typed, {dotted path: text}.
    runs: the folder of all results.

  Raises:
    UsageError, ConfigError, InputError: naming the field and the fix.
  """
  module = load(experiment)
  choose('preset', preset, module.PRESETS)
  names = module.STRATA
  for name in strata:
    choose('stratum', name, names)
  chosen = tuple(n for n in names if not strata or n in strata)
  values = overrides.parse(Config(), texts)
  if 'data.source' in values:
    raise UsageError('--config.data.source: each stratum has a source of its '
                     f'own; choose with --strata={",".join(names)}')
  cells = tuple(dict.fromkeys(_cells(experiment, preset, chosen, values)))
  root = runs / experiment
  return Plan(experiment, preset, chosen, values, cells, Store(root),
              root / _folder(preset, chosen if strata else (), values))


def _cells(experiment: str, preset: str, strata: Sequence[str],
           values: Mapping[str, Any]) -> Iterator[Cell]:
  for name in strata:
    for cell in stratum(experiment, name).sweep(preset, values):
      cell.config.validate()
      yield dataclasses.replace(cell, config=program.complete(cell.config))


def _folder(preset: str, strata: Sequence[str],
            values: Mapping[str, Any]) -> str:
  """The sweep's folder: the preset, and a mark when anything was changed."""
  if not strata and not values:
    return preset
  return f'{preset}-{identity.digest([list(strata), dict(values)])[:6]}'


def choose(kind: str, name: str, choices: Sequence[str]) -> None:
  """Raises UsageError, with the nearest match, for a name that is not one."""
  if name in choices:
    return
  near = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
  hint = f' (did you mean {near[0]}?)' if near else ''
  raise UsageError(f'{kind} {name!r}: use one of {", ".join(choices)}{hint}')


def explain(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
  """Where each value came from: (stratum, path, value or values, origin)."""
  defaults = {path: value for path, _, value in overrides.leaves(Config())}
  for stratum in plan.strata:
    configs = [c.config for c in plan.cells if c.stratum == stratum]
    seen: dict[str, dict[Any, None]] = {path: {} for path in defaults}
    for config in configs:
      for path, _, value in overrides.leaves(config):
        seen[path][value] = None
    for path, found in seen.items():
      values = list(found)
      if path in plan.overrides:
        origin = 'command line'
      elif len(values) > 1:
        origin = 'swept'
      elif values[0] == defaults[path]:
        origin = 'default'
      elif path in ('model.vocab_size', 'model.max_length'):
        origin = 'data source'
      else:
        origin = f'preset {plan.preset}'
      yield stratum, path, ', '.join(map(str, values)), origin
