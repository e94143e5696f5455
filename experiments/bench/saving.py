"""The part `checkpoint`: what asynchronous checkpoints cost the loop.

A run saves after every second chunk. A save stops the loop while the state is
copied, and slows the chunk behind which it is written; the chunk after that has
the machine to itself. So each save brings what it is compared with.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import train
from experiments.bench import sizes
from experiments.bench.sizes import SIZES
from experiments.sweeps import configs
from model import count
from train import Config
from train.goodput import Goodput

AIM = 0.02  # of the time of training
# Steps of a chunk, in which a save should end, and saves.
SCHEDULES = {'M': (2, 6), 'L': (1, 3)}
MOMENTS = 2  # beside each parameter


@dataclasses.dataclass(frozen=True)
class SaveCost:
  """What one save costs, in seconds.

  Attributes:
    pause: the loop waits for it; the median over saves.
    delay: what the steps behind which it is written take longer, on average.
    error: the standard error of `delay`.
    step: a step without a save.
    size: bytes of the state.
  """

  pause: float
  delay: float
  error: float
  step: float
  size: int

  def share(self, every: int, errors: float = 0.0) -> float:
    """Of the time of training, with a save every so many steps.

    Args:
      every: steps.
      errors: how many standard errors to add to the cost.
    """
    cost = self.pause + max(0.0, self.delay + errors * self.error)
    return cost / (every * self.step + cost)

  def verdict(self, every: int) -> str:
    """Whether the aim is reached, as far as these numbers tell."""
    if self.share(every, errors=2) < AIM:
      return 'reached'
    return ('NOT reached' if self.share(every, errors=-2) >= AIM
            else 'not decided: the machine is too unsteady')


def report(names: Sequence[str]) -> None:
  """Prints the cost of each size that has a realistic state."""
  every = configs.LEAST_STEPS
  print('\ncheckpoint: asynchronous saves of a run\n\n'
        'size  state MB  s/step  stopped s  slowed s          share at one in '
        f'{every} steps')
  verdicts = []
  for name in names:
    if name in SCHEDULES:
      with tempfile.TemporaryDirectory() as folder:
        row = measure(SIZES[name], *SCHEDULES[name], Path(folder))
      verdicts.append(f'{name} {row.verdict(every)}')
      print(f'{name:4} {row.size / 1e6:9,.0f} {row.step:7.2f} '
            f'{row.pause:10.3f} {row.delay:9.2f} ± {row.error:.2f} '
            f'{row.share(every):13.2%}', flush=True)
  print(f'aim: under {AIM:.0%} with a save every {every} steps, the most often '
        f'that a run saves by default: {", ".join(verdicts) or "not measured"}')


def measure(config: Config, chunk: int, saves: int, folder: Path) -> SaveCost:
  """Trains with a save after every second chunk, and reads the loop's clock."""
  config = sizes.single(config)
  config = dataclasses.replace(config, train=dataclasses.replace(
    config.train, chunk_steps=chunk, checkpoint_every=2 * chunk,
    steps=2 * chunk * (saves + 2)))
  clock = Goodput()
  seconds: list[float] = []  # of each chunk
  save_seconds: list[float] = []  # until the line of each chunk

  def note(line: dict[str, Any]) -> None:
    seconds.append(line['seconds'])
    save_seconds.append(clock.seconds['checkpoint'])

  train.fit([config], folder, train.Hooks(clock, on_line=note))
  # The first two chunks compile, and the save after them warms up Orbax.
  behind, free = np.array(seconds[4:]).reshape(-1, 2).T
  delays = behind - free
  return SaveCost(
    float(np.median(np.diff(save_seconds[3::2]))), float(delays.mean()),
    float(delays.std(ddof=1) / np.sqrt(len(delays))),
    float(np.median(free)) / chunk,
    4 * (1 + MOMENTS) * count.parameters(config.model).total)
