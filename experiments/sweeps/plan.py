"""Turns an experiment and what was typed into the list of its runs."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.machine.usage import UsageError, choose
from experiments.sweeps import flags, identity, overrides, packing, parent
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.task import Task, Train
from train import programs
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Plan:
  """Everything that a sweep will run, known before it does.

  Attributes:
    experiment: what it is of.
    preset: one of the experiment's.
    parts: the strata that are run and judged.
    pins: {stratum: {dotted path: value}} that were typed.
    cells: what is measured, each trained run complete.
    runs: the folder of all results.
    folder: where the seal lies, and the table and report of all parts.
    unanswered: what the parts ask for and nobody has said, a sentence each.
    absent: the strata that were asked for and cannot be run here, {stratum:
      why, with the fix}.
  """

  experiment: Experiment
  preset: str
  parts: tuple[Part, ...]
  pins: Mapping[str, Pins]
  cells: tuple[Cell, ...]
  runs: Path
  folder: Path
  unanswered: tuple[str, ...] = ()
  absent: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def partial(self) -> bool:
    """Whether parts are left out without which there is no whole verdict."""
    return not set(self.experiment.required()) <= {p.name for p in self.parts}

  @property
  def output(self) -> Path:
    """Where the table and the report go."""
    if not self.parts:
      return self.folder / 'not-run'
    if not self.partial:
      return self.folder
    return self.folder / f'only-{"-".join(p.name for p in self.parts)}'

  def tasks(self) -> list[Task]:
    """The distinct tasks, and what they start from."""
    return packing.distinct(c.task for c in self.cells)

  def run_ids(self) -> list[str]:
    """The distinct runs."""
    return [identity.run_id(task) for task in self.tasks()]

  def groups(self) -> list[packing.Group]:
    """The runs as they are trained together."""
    return packing.groups(c.task for c in self.cells)


def make(experiment: Experiment, preset: str, strata: Sequence[str],
         texts: Mapping[str, str], runs: Path) -> Plan:
  """Resolves names, overrides and sizes into a plan.

  Args:
    experiment: what is to be run.
    preset: the preset's name.
    strata: the parts to run; all that are not optional when empty.
    texts: overrides as typed, {dotted path: text}.
    runs: the folder of all results.

  Raises:
    UsageError, ConfigError, InputError: naming the field and the fix.
  """
  choose('preset', preset, experiment.presets)
  names = [part.name for part in experiment.parts]
  for name in strata:
    choose('stratum', name, names)
  asked = [part for part in experiment.parts if (
    part.name in strata if strata else not part.optional)]
  absent = {part.name: why for part in asked
            if part.needs and (why := part.needs(preset))}
  parts = tuple(part for part in asked if part.name not in absent)
  if 'data.source' in texts:
    raise UsageError('--config.data.source: each stratum has a source of its '
                     f'own; choose with --strata={",".join(names)}')
  pins = _pins(parts, preset, texts)
  cells = tuple(dict.fromkeys(
    _complete(cell) for part in parts
    for cell in _cells(experiment, part, preset, pins[part.name])))
  root = runs / experiment.name
  changed = {name: dict(values) for name, values in pins.items() if values}
  mark = f'-{identity.digest(sorted(texts.items()))[:6]}' if changed else ''
  return Plan(experiment, preset, parts, pins, cells, runs,
              root / f'{preset}{mark}', tuple(_unanswered(parts, preset, pins)),
              absent)


def _unanswered(parts: Sequence[Part], preset: str,
                pins: Mapping[str, Pins]) -> Iterator[str]:
  """What the parts ask for at a preset and was not typed."""
  for part in parts:
    for path, why in (part.asks(preset) if part.asks else {}).items():
      config = _configs(part.sweep(preset, {}))[0]
      if overrides.field(config, path)[0] not in pins[part.name]:
        yield (f'{part.name}: preset {preset} asks for '
               f'{flags.PREFIX}{path}=…, {why}')


def _pins(parts: Sequence[Part], preset: str,
          texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
  """What was typed, as values, for each part that has such fields.

  Raises:
    UsageError: no part has a field of that name, or the value is none.
  """
  pins: dict[str, dict[str, Any]] = {part.name: {} for part in parts}
  for path, text in texts.items():
    unknown: UsageError | None = UsageError(
      f'{flags.PREFIX}{path}: nothing is trained here')
    for part in parts:
      for config in _configs(part.sweep(preset, {})):
        try:
          pins[part.name] |= overrides.parse(config, {path: text})
        except overrides.UnknownField as error:
          unknown = unknown and error
        else:
          unknown = None
          break
    if unknown:
      raise unknown
  return pins


def _configs(cells: Sequence[Cell]) -> list[Config]:
  """The distinct configs of the runs among some cells."""
  return list(dict.fromkeys(
    cell.config for cell in cells if isinstance(cell.task, Train)))


def _cells(experiment: Experiment, part: Part, preset: str,
           pins: Pins) -> Sequence[Cell]:
  """The cells of a part; refuses to pin what the part compares."""
  cells = part.sweep(preset, pins)
  if not cells:
    raise UsageError(f'{experiment.name}: the sweep of part {part.name!r} '
                     'returns no cells')
  for stranger in {cell.stratum for cell in cells} - {part.name}:
    raise UsageError(
      f'{experiment.name}: the sweep of part {part.name!r} returns cells of '
      f'stratum {stranger!r}; give them the name of their part')
  if pins:
    swept = part.sweep(preset, {})
    for path, value in pins.items():
      values = list(dict.fromkeys(
        {p: v for p, _, v in overrides.leaves(config)}.get(path)
        for config in _configs(swept)))
      fewer = len(set(part.sweep(preset, {path: value}))) < len(set(swept))
      if len(values) > 1 and fewer:
        raise UsageError(
          f'{flags.PREFIX}{path}: {experiment.name} sweeps it, '
          f'{", ".join(map(str, values))} in {part.name}, and compares what '
          'comes out; for a sweep of your own use fathom sweep CONFIG '
          f'{flags.PREFIX}{path}={value}')
  return cells


def _complete(cell: Cell) -> Cell:
  return dataclasses.replace(cell, task=complete(cell.task))


def complete(task: Task) -> Task:
  """The task with the sizes that its data decide, and valid."""
  if not isinstance(task, Train):
    return task
  task.config.validate()
  whole = Train(programs.complete(task.config),
                complete(task.start) if task.start else None)  # type: ignore
  parent.check(whole)
  return whole


def explain(plan: Plan) -> Iterator[tuple[str, str, str, str]]:
  """Where each value came from: (stratum, path, value or values, origin)."""
  for part in plan.parts:
    configs = _configs([c for c in plan.cells if c.stratum == part.name])
    if not configs:
      continue
    seen: dict[str, dict[Any, None]] = {}
    for config in configs:
      for path, _, value in overrides.leaves(config):
        seen.setdefault(path, {})[value] = None
    plain = overrides.replace(Config(), {
      path: value for path, _, value in overrides.leaves(configs[0])
      if path in overrides.kind_paths(Config())})
    defaults = {path: value for path, _, value in overrides.leaves(plain)}
    for path, found in seen.items():
      values = list(found)
      if path in plan.pins[part.name]:
        origin = 'command line'
      elif len(values) > 1:
        origin = 'swept'
      elif values[0] == defaults.get(path):
        origin = 'default'
      elif path in ('model.vocab_size', 'model.max_length'):
        origin = 'data source'
      else:
        origin = f'preset {plan.preset}'
      yield part.name, path, ', '.join(map(str, values)), origin
