"""`fathom bench`: how fast this machine trains, as ratios within one run.

Tokens per second and MFU of three model sizes against a matrix-product ceiling
measured here and now, compile time against n, and a sweep's wall-clock against
one process per run. Absolute times depend on who else uses the machine.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import flags

from data import DataConfig
from experiments import launcher, overrides, plan
from model import ModelConfig, count
from train import Config, MeshConfig, TrainConfig, devices, program
from train import mesh as mesh_lib

SIZES = {
  'S': Config(
    ModelConfig(d_model=64, n_layers=4, n_heads=4, vocab_size=257),
    DataConfig(length=64, batch_size=32)),
  'M': Config(
    ModelConfig(d_model=256, n_layers=6, n_heads=8, vocab_size=512),
    DataConfig(length=256, batch_size=16)),
  'L': Config(
    ModelConfig(d_model=768, n_layers=12, n_heads=12, vocab_size=8192),
    DataConfig(length=512, batch_size=4)),
}
PARTS = ('train', 'compile', 'sweep')
DEPTHS = (2, 4, 8, 16, 32, 64)
REPEATS = 5


def main(arguments: Sequence[str]) -> int:
  """Prints the benchmark; `--sizes=S` and `--parts=train` narrow it."""
  values = flags.FlagValues()
  flags.DEFINE_multi_enum('sizes', list(SIZES), list(SIZES), 'Model sizes.',
                          flag_values=values)
  flags.DEFINE_multi_enum('parts', list(PARTS), PARTS, 'What to measure.',
                          flag_values=values)
  flags.DEFINE_float('seconds', 5.0, 'Least time for each size.',
                     flag_values=values)
  if values(['fathom', *arguments])[1:]:
    raise flags.Error('fathom bench takes flags only')
  if not launcher.accelerator_installed() and not set(
      launcher.ALLOCATOR) <= set(os.environ):
    # The allocator reads its settings when a process starts.
    os.execve(sys.executable,
              [sys.executable, '-m', 'experiments', 'bench', *arguments],
              {**os.environ, **launcher.ALLOCATOR})
  print(f'{jax.devices()[0].device_kind}, {len(jax.devices())} device(s), '
        f'{len(launcher.cores())} core(s), jax {jax.__version__}')
  if 'train' in values.parts:
    training(values.sizes, values.seconds)
  if 'compile' in values.parts:
    compilation()
  if 'sweep' in values.parts:
    sweep()
  return 0


def training(sizes: Sequence[str], seconds: float) -> None:
  """Prints tokens per second and MFU of each size."""
  peak = devices.measured_flops()
  print(f'\nceiling: {peak / 1e9:.0f} GFLOP/s (float32 matrix product, median '
        f'of {devices.REPEATS})\n\n'
        'size       parameters     tokens/s   ms/step    MFU')
  for name in sizes:
    config = single(SIZES[name])
    step = seconds_per_step(config, seconds)
    tokens = config.data.batch_size * config.data.length
    flops = config.data.batch_size * count.train_flops(
      config.model, config.data.length)
    parameters = count.parameters(config.model).total
    print(f'{name:6} {parameters:14,} {tokens / step:12,.0f} {step * 1e3:9.1f} '
          f'{flops / step / peak:6.1%}', flush=True)


def single(config: Config) -> Config:
  """One replica on one device, complete."""
  return program.complete(dataclasses.replace(
    config, mesh=MeshConfig(replica=1), train=TrainConfig(chunk_steps=1000)))


def seconds_per_step(config: Config, least: float) -> float:
  """Median over chunks of equal length that last `least` seconds in all."""
  built = program.build(program.shape(config), mesh_lib.make(config.mesh), True)
  hyper = program.hyper([config])
  instance, _ = program.instances([config])
  state = built.init(hyper)

  def chunk(steps: int) -> float:
    nonlocal state
    started = time.perf_counter()
    state, log = built.chunk(state, steps, hyper, instance)
    jax.block_until_ready(log)
    return time.perf_counter() - started

  chunk(1)  # compiles
  steps = max(1, round(least / REPEATS / min(chunk(1), chunk(1))))
  return float(np.median([chunk(steps) for _ in range(REPEATS)])) / steps


def compilation() -> None:
  """Prints compile time of the train step against n."""
  jax.config.update('jax_enable_compilation_cache', False)
  print('\ncompile time of the train step, seconds (size S)\n'
        '   n   scanned   ratio   as run')
  first = None
  for n in DEPTHS:
    config = overrides.replace(SIZES['S'], {'model.n_layers': n})
    scanned = compile_seconds(overrides.replace(config, {'model.unroll': 1}))
    first = first or scanned
    default = compile_seconds(config)
    print(f'{n:4} {scanned:9.2f} {scanned / first:7.2f} {default:8.2f}',
          flush=True)


def compile_seconds(config: Config) -> float:
  """Seconds to trace and compile the train step."""
  config = single(config)
  build = program.build.__wrapped__  # past its cache
  built = build(program.shape(config), mesh_lib.make(config.mesh), True)
  hyper = program.hyper([config])
  state = jax.eval_shape(built.init, hyper)
  instance, _ = program.instances([config])
  started = time.perf_counter()
  built.chunk.lower(state, 1, hyper, instance).compile()
  return time.perf_counter() - started


def sweep() -> None:
  """Prints the wall-clock of a sweep against one process for each run."""
  with tempfile.TemporaryDirectory() as folder:
    cache = {**os.environ, 'XDG_CACHE_HOME': f'{folder}/cache'}
    flags_of_plan = ['depth', '--preset=smoke', '--strata=text']
    made = plan.make('depth', 'smoke', ['text'], {}, Path(folder) / 'count')
    runs = made.run_ids()
    together = timed(['run', *flags_of_plan, f'--runs={folder}/together'],
                     cache)
    apart = sum(timed(['work', *flags_of_plan, f'--runs={folder}/apart',
                       f'--only={run}'],
                      {**cache, 'XDG_CACHE_HOME': f'{folder}/{i}'})
                for i, run in enumerate(runs))
  print(f'\nsweep of {len(runs)} runs: {together:.1f} s together, one process '
        f'a run {apart:.1f} s, {apart / together:.1f} times as long')


def timed(arguments: Sequence[str], environment: dict[str, str]) -> float:
  """Seconds that a `fathom` command takes."""
  started = time.perf_counter()
  subprocess.run([sys.executable, '-m', 'experiments', *arguments],
                 env=environment, stdout=subprocess.DEVNULL, check=True)
  return time.perf_counter() - started
