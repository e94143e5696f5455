"""Compare values of any config fields: a sweep of your own.

  fathom sweep lm-small --config.model.n_layers=1,2,4 \\
    --config.model.position=rotary,none --seeds=3

Commas separate values; where a field is itself a list (hops), slashes separate
the lists: --config.data.hops=1,2/1,2,3. Every combination is trained with each
seed, and the report compares them; there is no verdict, since nothing was
declared beforehand.

The same command goes on where it was. Results go to RUNS/sweep-FIELDS-HASH/
CONFIG, named by the fields that have several values and by the values that all
runs share: a longer list of values, or more seeds, goes on in the same folder
and keeps what is there. Runs of one shape train side by side, which takes
memory; --config.mesh.pack=1 trains them one by one.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args, get_origin

from experiments.commands import cluster, run
from experiments.commands.parser import (
  add_config,
  add_runs,
  add_workers,
  whole,
)
from experiments.machine.usage import UsageError
from experiments.sweeps.flags import PREFIX

if TYPE_CHECKING:
  from experiments.sweeps.algebra import Cell
  from experiments.sweeps.plan import Plan
  from train.config import Config

STRATUM = 'sweep'


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('config', nargs='?', default='', metavar='CONFIG',
                      help='what is trained (fathom list)')
  parser.add_argument('--seeds', type=whole(1), default=3, metavar='N',
                      help='seeds 0 to N-1 of each combination (default: 3)')
  parser.add_argument('--plan', '--dry-run', action='store_true', dest='dry',
                      help='list the runs and start nothing')
  add_runs(parser)
  add_workers(parser)
  cluster.fill(parser)
  add_config(parser)
  parser.set_defaults(act=act, plan=plan)


def act(options: argparse.Namespace) -> int:
  """Runs or lists the sweep; the exit code."""
  planned = plan(options)
  if not options.dry:
    return run.perform(planned, options)
  from experiments.commands import listing
  listing.print_plan(planned)
  return 0


def plan(options: argparse.Namespace) -> Plan:
  """The plan of what was typed.

  Raises:
    UsageError, ConfigError, InputError: naming the field and the fix.
  """
  from experiments.runs import store
  from experiments.sweeps import configs
  from experiments.sweeps import plan as plans
  from experiments.sweeps.experiment import Experiment, Part
  base = configs.named(options.config)
  axes = values(base, options.texts)
  swept = [path for path, each in axes.items() if len(each) > 1]
  cells = _cells(options.config, base, axes, options.seeds)
  pinned = {path: each[0] for path, each in axes.items() if path not in swept}
  fields = [path.rpartition('.')[2] for path in swept]
  experiment = Experiment(
    _name(cells[0].config, swept, pinned),
    f'{options.config} with {" and ".join(fields) or "several seeds"} varied',
    (Part(STRATUM, lambda preset, pins: cells),), presets=(options.config,))
  store.check_layout(options.runs, experiment.name)
  planned = plans.make(experiment, options.config, (), {}, options.runs)
  return dataclasses.replace(planned, pins={STRATUM: pinned})


def values(base: Config,
           texts: Mapping[str, str]) -> dict[str, tuple[Any, ...]]:
  """The values of each field that was typed, by its full path.

  Raises:
    UsageError: no such field, a text that is not of its type, or nothing to
      compare.
  """
  from experiments.sweeps import overrides
  parts: dict[str, Sequence[str]] = {}
  config = base
  # What kind of thing a field holds decides which fields there are.
  for path in sorted(texts, key=lambda p: p not in overrides.kind_paths(base)):
    full, kind = overrides.field(config, path)
    parts[full] = texts[path].split('/' if _is_list(kind) else ',')
    config = overrides.replace(
      config, overrides.parse(config, {full: parts[full][0]}))
  if 'train.seed' in parts:
    raise UsageError(f'{PREFIX}train.seed: say how many with --seeds=N')
  found = {full: tuple(dict.fromkeys(
    overrides.parse(config, {full: text.strip()})[full] for text in each))
    for full, each in parts.items()}
  for full, each in found.items():
    if len(each) > 1 and _role(config, full) == 'execution':
      raise UsageError(f'{PREFIX}{full}: says only how fast a run goes, so '
                       'there is nothing to compare; give it one value')
  return found


def _cells(name: str, base: Config, axes: Mapping[str, Sequence[Any]],
           seeds: int) -> tuple[Cell, ...]:
  """One run for each combination and seed."""
  from experiments.sweeps import configs, overrides
  from experiments.sweeps.algebra import Cell
  from experiments.sweeps.task import Train
  # One arm: each field that varies is then an axis of its own.
  return tuple(
    Cell(STRATUM, name, Train(configs.scheduled(overrides.replace(
      base, {**dict(zip(axes, combination)), 'train.seed': seed}))))
    for combination in itertools.product(*axes.values())
    for seed in range(seeds))


def _name(config: Config, swept: Sequence[str],
          pinned: Mapping[str, Any]) -> str:
  """Of the results' folder: the same for a longer list of values."""
  from experiments.sweeps import identity, task
  shared = {path: task.plain(value) for path, value in pinned.items()
            if _role(config, path) != 'execution'}
  fields = [path.rpartition('.')[2] for path in sorted(swept)]
  mark = identity.digest([sorted(swept), shared])[:6]
  return '-'.join(['sweep', *fields, mark])


def _role(config: Any, path: str) -> str | None:
  """The role of a field; see `model/config.py`."""
  *parents, last = path.split('.')
  for name in parents:
    config = getattr(config, name)
  field, = (f for f in dataclasses.fields(config) if f.name == last)
  role: str | None = field.metadata.get('role')
  return role


def _is_list(kind: Any) -> bool:
  """Whether commas belong to a value."""
  return get_origin(kind) is tuple and get_args(kind)[0] in (int, float)
