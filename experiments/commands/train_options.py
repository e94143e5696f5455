"""The command line of `fathom train`, resolved before anything is touched."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments.machine import process, usage
from experiments.machine.usage import UsageError
from experiments.runs.store import read_json
from experiments.sweeps import configs, identity, overrides
from experiments.sweeps.configs import CONFIGS
from train import distributed
from train.config import Config
from train.distributed import Cluster
from train.profile import Profile

USAGE = f'''\
usage: fathom train CONFIG [--flag=value ...] [--config.path=value ...]

configs: {', '.join(CONFIGS)}

  --runs=FOLDER        of all results (runs)
  --name=NAME          folder of this run; by default the config and a hash
  --profile=10:15      trace steps 10 to 14 into the run's folder
  --cpu-devices=N      on a CPU: N virtual devices in each process

several processes, all with the same command and a folder they share:
  --coordinator=HOST:PORT --processes=N --process=I   by hand
  --distributed        as Slurm, a TPU pod, Kubernetes or Open MPI says (under
                       srun, and on pods that say so, this is the default)
  --local-processes=N  start N here, to try it
  --timeout=SECONDS    until a missing or dead process ends the others \
({distributed.TIMEOUT_SECONDS})
'''


@dataclasses.dataclass(frozen=True)
class Options:
  """The command line of `fathom train`."""

  name: str  # of the config
  config: Config
  folder: Path
  cluster: Cluster | None  # None: one process
  trace: tuple[int, int] | None  # the steps to trace
  cpu_devices: int  # virtual ones in each process; 0: what is there
  local_processes: int  # to start here; 0: this one alone
  parent: int | None  # the process to end with

  def profile(self) -> Profile | None:
    """What traces the steps that were asked for."""
    return Profile(*self.trace, self.folder / 'profile') if self.trace else None


def parse(arguments: Sequence[str]) -> Options:
  """Reads the command line.

  Raises:
    UsageError, ConfigError, InputError: naming the flag or field and the fix.
  """
  values = flags.FlagValues()
  for name, default in (('runs', 'runs'), ('name', ''), ('profile', ''),
                        ('coordinator', '')):
    flags.DEFINE_string(name, default, USAGE, flag_values=values)
  for name in ('processes', 'process', 'local-processes', 'cpu-devices',
               'parent'):
    flags.DEFINE_integer(name, None, USAGE, lower_bound=0, flag_values=values)
  flags.DEFINE_integer('timeout', distributed.TIMEOUT_SECONDS, USAGE,
                       lower_bound=5, flag_values=values)
  flags.DEFINE_boolean('distributed', False, USAGE, flag_values=values)
  texts, rest = overrides.split(arguments)
  names = values(['fathom', *rest])[1:]
  if len(names) != 1:
    raise UsageError(f'name one config: {", ".join(CONFIGS)}')
  usage.choose('config', names[0], list(CONFIGS))
  config = configs.resolve(CONFIGS[names[0]], texts)
  folder = Path(values.runs) / 'train' / (
    values.name or f'{names[0]}-{identity.run_id(config)}')
  held = read_json(folder / 'config.json')
  if held and held['run'] != identity.run_id(config):
    raise UsageError(f'--name={values.name}: {folder} holds another run '
                     f'({_difference(held["config"], config)}); use another '
                     'name')
  cluster = distributed.detect(
    values.coordinator, values.processes, values.process, values.timeout,
    values.distributed)
  return Options(
    names[0], config, folder, cluster, _span(values.profile),
    values['cpu-devices'].value or 0, values['local-processes'].value or 0,
    values.parent)


def _difference(held: dict[str, Any], config: Config) -> str:
  """The first field in which a stored config differs."""
  for path, _, value in overrides.leaves(config):
    before: Any = held
    for name in path.split('.'):
      before = before.get(name) if isinstance(before, dict) else None
    if isinstance(before, dict):
      before = before['kind']
    if before != identity.plain(value):
      return f'{path} is {before} there and {value} here'
  return 'its data differ'


def _span(text: str) -> tuple[int, int] | None:
  """'10:15' → (10, 15)."""
  if not text:
    return None
  first, _, last = text.partition(':')
  if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
    raise UsageError(f'--profile={text}: write FIRST:LAST, for instance 10:15')
  return int(first), int(last)


def environment(options: Options) -> dict[str, str]:
  """What has to be in the environment before Python starts."""
  virtual = options.cpu_devices
  on_cpu = options.config.mesh.platform == 'cpu' or (
    options.config.mesh.platform == 'auto'
    and not process.accelerator_installed())
  wanted = dict(process.ALLOCATOR) if on_cpu or virtual else {}
  if virtual:
    wanted |= process.virtual_devices(virtual)
  return wanted
