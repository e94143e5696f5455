"""`fathom train`: one run of a named config, from start to finish.

The same command goes on where an earlier one stopped, on whatever devices and
however many processes there are now.

    runs/train/<config>-<run id>/   or runs/train/<name>/
      config.json, manifest.json
      metrics.jsonl       the truth, one line a chunk
      goodput.json        where the seconds went, over all restarts
      checkpoints/        see train/checkpoint.py
      logs/               of every process
      profile/            traces, where --profile asked for them
      result.json         once it is finished
"""

import contextlib
import dataclasses
import faulthandler
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import jax
import psutil
from absl import flags
from absl import logging as absl_logging

import train
from experiments import (
  device,
  identity,
  launcher,
  local_processes,
  manifest,
  overrides,
  plan,
)
from experiments.configs import CONFIGS
from experiments.overrides import UsageError
from experiments.progress import RunDisplay
from experiments.store import read_json, write_json
from experiments.sweep import Cell
from model import count
from train import devices, distributed, loop, program
from train.config import Config
from train.goodput import Goodput
from train.metrics import MetricsLog
from train.peers import Peers
from train.preemption import Preemption
from train.profile import Profile
from train.stop import Diverged, Preempted

DIVERGED = 4
PREEMPTED = 75
# Where a config names no interval: the work that a crash can cost.
CHECKPOINTS = 20

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

log = logging.getLogger('fathom')


@dataclasses.dataclass(frozen=True)
class Options:
  """The command line of `fathom train`."""

  name: str  # of the config
  config: Config
  folder: Path
  cluster: distributed.Cluster | None
  flags: flags.FlagValues


def main(arguments: Sequence[str]) -> int:
  """Runs the command and returns its exit code."""
  if set(arguments) & {'-h', '--help'}:
    print(USAGE, end='')
    return 0
  options = _parse(arguments)
  wanted = _environment(options)
  if options.flags['local-processes'].value:
    return local_processes.launch(
      ['train', *arguments], options.flags['local-processes'].value,
      {**os.environ, **wanted})
  if not wanted.items() <= os.environ.items():
    # The allocator and XLA read these when a process starts.
    sys.stdout.flush()
    os.execve(sys.executable,
              [sys.executable, '-m', 'experiments', 'train', *arguments],
              {**os.environ, **wanted})
  if options.flags.parent is not None:
    device.end_with(options.flags.parent)
  device.claim(options.config.mesh.platform)
  if options.cluster is None:
    return _train(options, None)
  return _train_together(options, options.cluster)


def _parse(arguments: Sequence[str]) -> Options:
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
  plan.choose('config', names[0], list(CONFIGS))
  config = resolve(CONFIGS[names[0]], texts)
  _profiled(values.profile)
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
  return Options(names[0], config, folder, cluster, values)


def resolve(base: Config, texts: dict[str, str]) -> Config:
  """A named config with what was typed, complete and valid.

  A single run has no use for a replica axis: unless the mesh says otherwise
  its batch is split over all devices.
  """
  config = overrides.replace(base, overrides.parse(base, texts))
  mesh, schedule = config.mesh, config.train
  if mesh.replica == -1:
    plain = mesh.data == mesh.fsdp == mesh.tensor == 1
    mesh = dataclasses.replace(mesh, replica=1, data=-1 if plain else mesh.data)
  if mesh.replica != 1:
    raise UsageError(f'--config.mesh.replica={mesh.replica}: one run is one '
                     'replica; use --config.mesh.data or --config.mesh.fsdp')
  if not schedule.checkpoint_every:
    schedule = dataclasses.replace(
      schedule, checkpoint_every=max(1, schedule.steps // CHECKPOINTS))
  config = program.complete(
    dataclasses.replace(config, mesh=mesh, train=schedule))
  config.validate()
  return config


def _difference(held: dict[str, Any], config: Config) -> str:
  """The first field in which a stored config differs."""
  for path, _, value in overrides.leaves(config):
    part, field = path.split('.')
    before = held.get(part, {}).get(field)
    if before != (list(value) if isinstance(value, tuple) else value):
      return f'{path} is {before} there and {value} here'
  return 'its data differ'


def _profiled(text: str) -> tuple[int, int] | None:
  """'10:15' → (10, 15)."""
  if not text:
    return None
  first, _, last = text.partition(':')
  if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
    raise UsageError(f'--profile={text}: write FIRST:LAST, for instance 10:15')
  return int(first), int(last)


def _environment(options: Options) -> dict[str, str]:
  """What has to be in the environment before Python starts."""
  virtual = options.flags['cpu-devices'].value or 0
  on_cpu = options.config.mesh.platform == 'cpu' or (
    options.config.mesh.platform == 'auto'
    and not launcher.accelerator_installed())
  wanted = dict(launcher.ALLOCATOR) if on_cpu or virtual else {}
  if virtual:
    wanted |= {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(virtual)}
  if virtual > 1:
    # With fewer threads than this XLA's rendezvous can dead-lock.
    wanted['NPROC'] = str(2 * virtual)
  return wanted


def _train_together(options: Options, cluster: distributed.Cluster) -> int:
  """One of several processes; never outlives the others by much."""
  peers = _peers(options, cluster) if cluster.known else None
  try:
    distributed.join(cluster)
    if peers is None:
      peers = _peers(options, dataclasses.replace(
        cluster, processes=jax.process_count(), process=jax.process_index()))
    code = _train(options, peers)
    peers.end('done')
    jax.distributed.shutdown()
    return code
  except BaseException as error:
    # Whoever dies takes the others' collectives along, so they fail as well,
    # with errors that say little; say who was first.
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    gone = ''
    if peers:
      if isinstance(error, jax.errors.JaxRuntimeError):
        gone = peers.absent()
      peers.end('failed', gone or reason)
    process = max(cluster.process, 0) if peers else '?'
    print(f'fathom: process {process} ends: {gone or reason}', file=sys.stderr,
          flush=True)
    # An orderly exit would wait for processes that are no more.
    os._exit(_code(error))


def _code(error: BaseException) -> int:
  if isinstance(error, device.DeviceError):
    return 3
  return 2 if isinstance(error, (ValueError, UsageError)) else 1


def _peers(options: Options, cluster: distributed.Cluster) -> Peers:
  peers = Peers(options.folder / 'logs', cluster.process, cluster.processes,
                cluster.timeout)
  peers.start()
  return peers


def _train(options: Options, peers: Peers | None) -> int:
  """Trains, or finds that it is done."""
  device.check(options.config.mesh.platform)
  process = jax.process_index()
  with contextlib.ExitStack() as stack:
    stack.enter_context(_logging(options.folder / 'logs', process))
    if process == 0:
      stack.enter_context(_lease(options.folder))
    result = read_json(options.folder / 'result.json')
    if distributed.broadcast(result is not None):
      if process == 0 and result:
        print('Done already.\n' + _summary(options.folder, result))
      return 0
    try:
      if process == 0:
        _describe(options)
      result = _fit(options, peers)
    except Preempted as stopped:
      _say(process, f'Told to stop: saved step {stopped.step}; the same '
           'command goes on from there.')
      return PREEMPTED
    except Diverged as diverged:
      print(f'fathom: {diverged}', file=sys.stderr)
      log.error('%s', diverged)
      return DIVERGED
    except BaseException:
      log.exception('process %s ends', process)
      raise
    if process == 0:
      write_json(options.folder / 'result.json', result)
    _say(process, _summary(options.folder, result))
  return 0


def _fit(options: Options, peers: Peers | None) -> dict[str, Any]:
  from experiments import worker  # imports what measures
  worker.use_compilation_cache()
  config, folder = options.config, options.folder
  first = jax.process_index() == 0
  goodput = Goodput(folder / 'goodput.json' if first else None)
  goodput.seconds['start'] = time.time() - psutil.Process().create_time()
  preemption = Preemption()
  profile = _profile(options) if first else None
  length = program.source_of(program.shape(config).data).length
  mesh = _whole_mesh(config)
  with goodput.part('start'):
    peak = _peak(config, mesh) if first else 1.0
  display = RunDisplay(
    folder.name, config.train.steps, config.data.batch_size * length,
    count.train_flops(config.model, length) / length / peak, visible=first)

  def progress(step: int, rate: float) -> None:
    display.update(step, rate)
    if peers:
      peers.at(step)

  def saved(step: int) -> None:
    display.say(f'saved step {step}')

  with preemption.listening(), display, contextlib.ExitStack() as stack:
    if profile:
      stack.callback(profile.close)
    fitted = loop.fit([config], folder, progress, loop.Alone(
      goodput, preemption.told, saved, display.line, profile))
    with goodput.part('evaluate'):
      scores = train.evaluate([config], fitted, 'validation')
  goodput.write(at_once=True)
  if first:
    with MetricsLog(folder / 'metrics.jsonl', config.train.steps) as metrics:
      metrics.write({'step': config.train.steps, 'split': 'validation',
                     **{k: v.tolist() for k, v in scores.items()},
                     'data_wait': 0.0})
  rate = fitted.tokens_per_second
  return {
    'run': identity.run_id(config), 'status': 'done',
    **{k: float(v.mean()) for k, v in scores.items()},
    'tokens_per_second': rate, 'mfu': display.mfu(rate),
    'goodput': goodput.share(), 'seconds': goodput.total(),
    'restarts': goodput.restarts, 'code': manifest.code(),
    'config': identity.as_dict(config)}


def _whole_mesh(config: Config) -> jax.sharding.Mesh:
  """The mesh of the run; every process has to have a part in it."""
  mesh = loop.mesh_lib.make(config.mesh)
  if jax.process_count() > 1 and mesh.size < jax.device_count():
    raise UsageError(
      f'--config.mesh: {dict(mesh.shape)} uses {mesh.size} of the '
      f'{jax.device_count()} devices of {jax.process_count()} processes; use '
      'all, or start fewer processes')
  return mesh


def _peak(config: Config, mesh: jax.sharding.Mesh) -> float:
  """FLOP/s that the run could reach at best: in a table, or measured here."""
  peak = devices.peak_flops(mesh.devices.flat[0], config.model.dtype)
  if peak is not None:
    return peak * mesh.size
  # A process's virtual devices share its cores.
  return (devices.measured_flops(dtype=config.model.dtype)
          * jax.process_count())


def _profile(options: Options) -> Profile | None:
  steps = _profiled(options.flags.profile)
  return Profile(*steps, options.folder / 'profile') if steps else None


def _describe(options: Options) -> None:
  """Writes what the run is before it begins."""
  write_json(options.folder / 'config.json', {
    'run': identity.run_id(options.config),
    'config': identity.as_dict(options.config)})
  write_json(options.folder / 'manifest.json', {
    **manifest.collect([Cell('train', options.name, options.config)],
                       ['fathom', *sys.argv[1:]]),
    'device': jax.devices()[0].device_kind, 'devices': jax.device_count(),
    'processes': jax.process_count(),
    'mesh': dict(_whole_mesh(options.config).shape)})


def _summary(folder: Path, result: dict[str, Any]) -> str:
  seconds = ', '.join(f'{part.replace("_", " ")} {spent:.1f}'
                      for part, spent in result['seconds'].items())
  text = (f', {result["bits_per_byte"]:.4f} bits/byte'
          if 'bits_per_byte' in result else '')
  return (f'Held-out loss {result["loss"]:.4f} nats{text}; '
          f'{result["tokens_per_second"]:,.0f} tokens/s, MFU '
          f'{result["mfu"]:.1%}, goodput {result["goodput"]:.0%}.\n'
          f'Seconds: {seconds}; {result["restarts"]} restarts.\n'
          f'Run: {folder}')


def _say(process: int, text: str) -> None:
  """Process 0 speaks to the person; all of them keep it in their logs."""
  log.info('%s', text)
  if process == 0:
    print(text, flush=True)


@contextlib.contextmanager
def _lease(folder: Path) -> Iterator[None]:
  lock = filelock.FileLock(folder / 'lease')
  try:
    lock.acquire(timeout=0)
  except filelock.Timeout:
    raise OSError(f'{folder}: another process is training this run') from None
  with lock:
    yield
  lock.release()


@contextlib.contextmanager
def _logging(folder: Path, process: int) -> Iterator[None]:
  """Keeps what this process says, and where it crashed, in a file."""
  folder.mkdir(parents=True, exist_ok=True)
  file = (folder / f'process-{process}.log').open('a')
  handler = logging.StreamHandler(file)
  handler.setFormatter(logging.Formatter(
    '%(asctime)s %(levelname)s %(message)s'))
  log.setLevel(logging.INFO)
  log.propagate = False
  listeners = (log, absl_logging.get_absl_logger())
  for logger in listeners:
    logger.addHandler(handler)
  faulthandler.enable(file)
  # What a person needs of a library's errors is told in one line.
  absl_logging.get_absl_handler().addFilter(_is_own)
  try:
    yield
  finally:
    faulthandler.disable()
    absl_logging.get_absl_handler().removeFilter(_is_own)
    for logger in listeners:
      logger.removeHandler(handler)
    file.close()


def _is_own(record: logging.LogRecord) -> bool:
  return 'orbax' not in record.pathname
