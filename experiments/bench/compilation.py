"""The part `compile`: compile time of the train step against n."""

import dataclasses
import time
from collections.abc import Iterator, Sequence

import jax

from experiments.bench import sizes, turns
from experiments.bench.sizes import SIZES
from experiments.sweeps import overrides
from model import stack
from train import Config, placement, programs

DEPTHS = (2, 4, 8, 16, 32, 64, 96)
# Scanned, n = 64 over n = 2.
AIM_DEPTH = 64
AIM = 1.3


@dataclasses.dataclass(frozen=True)
class CompileTime:
  """Seconds of compilation at one depth.

  Attributes:
    n: layers.
    scanned: as one loop over them.
    default: as the config says, which unrolls few layers on a CPU.
  """

  n: int
  scanned: float
  default: float


def report() -> None:
  """Prints compile time against n."""
  print('\ncompile: the train step of size S, seconds\n\n'
        '   n   scanned   over n=2   as run')
  first = at_aim = 0.0
  for row in measure(SIZES['S'], DEPTHS):
    first = first or row.scanned
    if row.n == AIM_DEPTH:
      at_aim = row.scanned / first
    print(f'{row.n:4} {row.scanned:9.2f} {row.scanned / first:10.2f} '
          f'{row.default:8.2f}', flush=True)
  print(f'aim: scanned, n={AIM_DEPTH} within {AIM} of n={DEPTHS[0]} '
        f'({turns.verdict([at_aim <= AIM])}, {at_aim:.2f})')


def measure(base: Config, depths: Sequence[int]) -> Iterator[CompileTime]:
  """Compiles the train step at each depth, without a cache."""
  jax.config.update('jax_enable_compilation_cache', False)
  seconds(base)  # what the first compilation of a process takes longer
  for n in depths:
    config = overrides.replace(base, {'model.n_layers': n})
    scanned = seconds(overrides.replace(config, {'model.unroll': 1}))
    same = stack.unroll(config.model) == 1
    yield CompileTime(n, scanned, scanned if same else seconds(config))


def seconds(config: Config) -> float:
  """Seconds to trace and compile the train step."""
  config = sizes.single(config)
  build = programs.build.__wrapped__  # past its cache
  training = build(programs.shape(config), placement.make_mesh(config.mesh),
                   True)
  hyper = programs.hyper([config])
  state = jax.eval_shape(training.init, hyper)
  instance, _ = programs.instances([config])
  start = time.perf_counter()
  training.chunk.lower(state, 1, hyper, instance).compile()
  return time.perf_counter() - start
