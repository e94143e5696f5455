"""The part `train`: tokens per second beside plain JAX, and MFU.

Ours runs as Fathom's commands start it: with an allocator that keeps its memory
(see `process`), on one device, and where there are several cores also with the
batch split over as many virtual ones. The peer runs as one starts Python, in
the dtype that it is compared in.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import jax
import numpy as np

from experiments.bench import sizes, turns
from experiments.bench.sizes import SIZES
from experiments.bench.turns import Stepper
from experiments.machine import accelerators, process
from experiments.sweeps import overrides
from model import count
from train import Config, MeshConfig, loop, programs

# Tokens per second over those of plain JAX.
AIMS = {'S': 2.5, 'M': 1.7, 'L': 1.7}
# Parameters from which on the batch is not split over virtual devices: each
# would hold all of them, and their products occupy every core as it is.
LARGE = 2**25
PRODUCT = 2048  # the width of the matrices whose product is the ceiling


@dataclasses.dataclass(frozen=True)
class Speed:
  """One size in one dtype on so many devices.

  Attributes:
    dtype: `model.dtype`.
    devices: over which the batch is split.
    seconds: of a step.
    mfu: model FLOP/s over those of a matrix product at that time.
    plain: seconds of a step of the peer.
    ratio: how many times as fast as the peer.
  """

  dtype: str
  devices: int
  seconds: float
  mfu: float
  plain: float
  ratio: float

  @property
  def limit(self) -> str:
    """What takes more than half of the time."""
    return 'products' if self.mfu > 0.5 else 'between products'


def report(names: Sequence[str], seconds: float) -> None:
  """Prints tokens per second, MFU and the ratio to plain JAX."""
  print('\ntrain: tokens/s beside plain JAX, in turns; MFU against a matrix '
        'product in the\nsame turns; all in the same dtype\n\n'
        'size  dtype     devices   parameters   tokens/s  ms/step    MFU'
        '   plain JAX  ours/plain  limit')
  best = {}
  for name in names:
    config = sizes.single(SIZES[name])
    parameters = count.parameters(config.model).total
    tokens = loop.tokens(config)
    rows = measure(config, seconds)
    for row in rows:
      print(f'{name:4}  {row.dtype:8} {row.devices:8} {parameters:12,} '
            f'{tokens / row.seconds:10,.0f} {row.seconds * 1e3:8.1f} '
            f'{row.mfu:6.1%} {tokens / row.plain:11,.0f} {row.ratio:11.2f}  '
            f'{row.limit}', flush=True)
    for dtype in dtypes():
      best[name, dtype] = max(r.ratio for r in rows if r.dtype == dtype)
  for dtype in dtypes():
    print(f'aim in {dtype}, times plain JAX: ' + '; '.join(
      f'{AIMS[name]} at {name} '
      + turns.verdict([best[name, dtype] >= AIMS[name]])
      + f' ({best[name, dtype]:.2f})' for name in names))
  print('limit: what takes more than half of the time, if products ran at the '
        'ceiling: they,\nor what lies between them and makes them slower')


def dtypes() -> tuple[str, ...]:
  """What is measured here: a CPU only widens bfloat16 (see `model.cpu`)."""
  both = ('float32', 'bfloat16')
  return both if process.accelerator_installed() else both[:1]


def measure(config: Config, seconds: float) -> list[Speed]:
  """Ours, on a CPU also on all cores, in turns with the peer."""
  variants = [(dtype, 1) for dtype in dtypes()]
  cores = len(process.cores())
  if (cores > 1 and not process.accelerator_installed()
      and config.data.batch_size % cores == 0
      and count.parameters(config.model).total < LARGE):
    variants.append(('float32', cores))
  flops = config.data.batch_size * count.train_flops(
    config.model, programs.source_of(config).length)
  with ExitStack() as stack:
    takes: dict[str, turns.Take] = {}
    for dtype in dtypes():
      takes[f'product {dtype}'] = functools.partial(_products, dtype)
      takes[f'plain {dtype}'] = stack.enter_context(Stepper(
        'plain', overrides.replace(config, {'model.dtype': dtype}),
        turns.environment(tuned=False))).take
    for dtype, n in variants:
      ours = overrides.replace(config, {
        'mesh': MeshConfig(replica=1, data=n), 'model.dtype': dtype})
      takes[f'{dtype} {n}'] = stack.enter_context(Stepper(
        'ours', ours, turns.environment(virtual=n if n > 1 else 0))).take
    times = turns.measure(takes, seconds)
  return [_row(dtype, n, flops, times) for dtype, n in variants]


def _row(dtype: str, n: int, flops: int,
         times: Mapping[str, np.ndarray]) -> Speed:
  own = times[f'{dtype} {n}']
  ceiling = 2 * PRODUCT**3 / times[f'product {dtype}']
  return Speed(dtype, n, float(np.median(own)),
             float(np.median(flops / own / ceiling)),
             float(np.median(times[f'plain {dtype}'])),
             turns.ratio(times, f'plain {dtype}', f'{dtype} {n}'))


def _products(dtype: str, number: int) -> float:
  """Seconds of so many matrix products, here and now."""
  return number * 2 * PRODUCT**3 / accelerators.measured_flops(PRODUCT, dtype)


def device() -> str:
  """What this machine computes with."""
  devices = jax.devices()
  return (f'{devices[0].device_kind}, {len(devices)} device(s), '
          f'{len(process.cores())} core(s), jax {jax.__version__}')
