"""The part `pmap`: the two ways to compile data-parallel training."""

import dataclasses

import numpy as np

from experiments.bench import sizes, turns
from experiments.bench.sizes import SIZES
from experiments.bench.turns import Stepper
from experiments.machine import process
from train import Config, MeshConfig

AIM = 1.1  # jit's time over pmap's, at most


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Both ways on so many devices.

  Attributes:
    devices: over which the batch is split.
    jit: seconds of a step.
    pmap: the same.
    ratio: the time of pmap over that of jit.
    losses: after the first step, with jit and with pmap.
  """

  devices: int
  jit: float
  pmap: float
  ratio: float
  losses: tuple[float, float]


def report(seconds: float) -> None:
  """Prints both times, and that the losses are the same."""
  config = sizes.single(SIZES['S'])
  cores = len(process.cores())
  row = measure(config, cores if cores > 1 and not
                config.data.batch_size % cores else 2, seconds)
  print(f'\npmap: size S, the batch split over {row.devices} virtual devices, '
        'in turns\n\n'
        '   jit ms/step   pmap ms/step   pmap/jit   loss with jit and pmap\n'
        f'{row.jit * 1e3:14.1f} {row.pmap * 1e3:14.1f} {row.ratio:10.2f}   '
        f'{row.losses[0]:.6f} {row.losses[1]:.6f}\n'
        f'aim: jit takes at most {AIM} times as long as pmap '
        f'({turns.verdict([row.ratio >= 1 / AIM])}, '
        f'{1 / row.ratio:.2f})', flush=True)


def measure(config: Config, devices: int, seconds: float) -> Comparison:
  """Times both in turns."""
  environment = turns.environment(virtual=devices)
  configs = [
    dataclasses.replace(config, mesh=MeshConfig(
      replica=1, data=devices, compile=way)) for way in ('jit', 'pmap')]
  with (Stepper('ours', configs[0], environment) as jit,
        Stepper('ours', configs[1], environment) as pmap):
    losses = jit.loss, pmap.loss
    times = turns.measure({'jit': jit.take, 'pmap': pmap.take}, seconds)
  return Comparison(devices, float(np.median(times['jit'])),
                    float(np.median(times['pmap'])),
                    turns.ratio(times, 'pmap', 'jit'), losses)
