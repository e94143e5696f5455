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
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import jax
import psutil

import train
from data.config import InputError
from experiments.commands import train_options
from experiments.commands.train_options import Options
from experiments.launch import processes
from experiments.machine import accelerators, platforms
from experiments.runs import logs, manifest
from experiments.runs.display import RunDisplay
from experiments.runs.logs import log
from experiments.runs.peers import Peers
from experiments.runs.preemption import Preemption
from experiments.runs.store import read_json, write_json
from experiments.sweeps import identity
from experiments.sweeps.algebra import Cell
from experiments.sweeps.overrides import UsageError
from model import count
from model.config import ConfigError
from train import distributed, loop, program
from train import mesh as mesh_lib
from train.config import Config
from train.goodput import Goodput
from train.metrics import MetricsLog
from train.profile import NoProfile
from train.stop import CheckpointError, Diverged, Preempted

DIVERGED = 4


def main(arguments: Sequence[str]) -> int:
  """Runs the command and returns its exit code."""
  if set(arguments) & {'-h', '--help'}:
    print(train_options.USAGE, end='')
    return 0
  options = train_options.parse(arguments)
  wanted = train_options.environment(options)
  if options.local_processes:
    return processes.launch(
      ['train', *arguments], options.local_processes,
      {**os.environ, **wanted})
  if not wanted.items() <= os.environ.items():
    # The allocator and XLA read these when a process starts.
    sys.stdout.flush()
    os.execve(sys.executable,
              [sys.executable, '-m', 'experiments', 'train', *arguments],
              {**os.environ, **wanted})
  if options.parent is not None:
    platforms.end_with(options.parent)
  platforms.claim(options.config.mesh.platform)
  if options.cluster:
    return _train_together(options, options.cluster)
  try:
    return _train(options, None)
  except CheckpointError as error:
    print(f'fathom: {error}', file=sys.stderr)
    sys.stdout.flush()
    # Threads of a save that failed can wait for one another at the exit.
    os._exit(1)
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    print('fathom: out of device memory; lower --config.data.batch_size or '
          'spread the run over more devices with --config.mesh.fsdp',
          file=sys.stderr)
  return 1


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
  if isinstance(error, platforms.DeviceError):
    return platforms.MISSING
  return 2 if isinstance(error, (ConfigError, InputError, UsageError)) else 1


def _peers(options: Options, cluster: distributed.Cluster) -> Peers:
  peers = Peers(options.folder / 'logs', cluster.process, cluster.processes,
                cluster.timeout)
  peers.start()
  return peers


def _train(options: Options, peers: Peers | None) -> int:
  """Trains, or finds that it is done."""
  platforms.check(options.config.mesh.platform)
  process = jax.process_index()
  with contextlib.ExitStack() as stack:
    stack.enter_context(logs.to_file(options.folder / 'logs', process))
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
      return processes.PREEMPTED
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
  from experiments.runs import worker
  worker.use_compilation_cache()
  config, folder = options.config, options.folder
  first = jax.process_index() == 0
  goodput = Goodput(folder / 'goodput.json' if first else None)
  goodput.seconds['start'] = time.time() - psutil.Process().create_time()
  preemption = Preemption()
  profile = options.profile()
  length = program.source_of(program.shape(config).data).length
  mesh = _whole_mesh(config)
  with goodput.part('start'):
    peak = _peak(config, mesh) if first else 1.0
  display = RunDisplay(
    folder.name, config.train.steps, loop.tokens(program.shape(config)),
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
    stack.callback(_keep, goodput)
    fitted = train.fit([config], folder, train.Hooks(
      goodput, preemption.told, saved, display.line, profile or NoProfile(),
      progress))
    with goodput.part('evaluate'):
      scores = train.evaluate([config], fitted, 'validation')
    if first and profile and not profile.taken:
      display.say(f'--profile: steps {options.trace} were not taken just now, '
                  'so there is no trace')
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


def _keep(goodput: Goodput) -> None:
  with contextlib.suppress(OSError):  # a full disk has been told of already
    goodput.write(at_once=True)


def _whole_mesh(config: Config) -> jax.sharding.Mesh:
  """The mesh of the run; every process has to have a part in it."""
  mesh = mesh_lib.make(config.mesh)
  if jax.process_count() > 1 and mesh.size < jax.device_count():
    raise UsageError(
      f'--config.mesh: {dict(mesh.shape)} uses {mesh.size} of the '
      f'{jax.device_count()} devices of {jax.process_count()} processes; use '
      'all, or start fewer processes')
  return mesh


def _peak(config: Config, mesh: jax.sharding.Mesh) -> float:
  """FLOP/s that the run could reach at best: in a table, or measured here."""
  peak = accelerators.peak_flops(mesh.devices.flat[0], config.model.dtype)
  if peak is not None:
    return peak * mesh.size
  # A process's virtual devices share its cores.
  return (accelerators.measured_flops(dtype=config.model.dtype)
          * jax.process_count())


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
  try:
    yield
  finally:
    lock.release()
