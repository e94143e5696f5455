"""The part `scaling`: what eight devices say to each other, by layout.

The train step is compiled for virtual CPU devices, its collectives are read
from the compiled program, and their bytes are set beside those that the layout
cannot do without (see `minimum`). The time is that of one device for as many
tokens, in turns; virtual devices share this machine's cores, so it tells what a
layout costs, not what it gains.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from experiments.bench import sizes, turns
from experiments.bench.sizes import SIZES
from experiments.bench.turns import Stepper
from experiments.sweeps import overrides
from train import Config

DEVICES = 8
LAYOUTS = (
  {'data': 8}, {'fsdp': 8}, {'data': 2, 'tensor': 4},
  {'data': 2, 'fsdp': 2, 'tensor': 2}, {'replica': 8})
# Of the bytes that the layout needs with the collectives the compiler has.
AIM = 1.25


@dataclasses.dataclass(frozen=True)
class LayoutCost:
  """One layout; bytes are those that a device sends in a step.

  Attributes:
    layout: devices along the axes of the mesh.
    kinds: bytes by kind of collective.
    least: bytes that the layout needs.
    least_of_reductions: the same where whole values are reduced instead of
      scattered.
    time: seconds over those of one device for the same tokens.
  """

  layout: Mapping[str, int]
  kinds: Mapping[str, float]
  least: float
  least_of_reductions: float
  time: float

  @property
  def bytes(self) -> float:
    """Of all kinds."""
    return sum(self.kinds.values())


def report(seconds: float) -> None:
  """Prints each layout's bytes beside the analytic minimum, and its time."""
  # A vocabulary that can be cut, and a loop over the layers, which compiles
  # sooner and is what an accelerator runs.
  config = sizes.single(overrides.replace(
    SIZES['S'], {'model.vocab_size': 512, 'model.unroll': 1}))
  print(f'\nscaling: size S, {config.model.vocab_size} tokens, on {DEVICES} '
        'virtual devices; kB that a device sends in a step\n\n'
        'layout                       sent   least  ratio  ratio*  time  '
        'collectives')
  rows = []
  for row in measure(config, LAYOUTS, seconds):
    rows.append(row)
    name = ' '.join(f'{axis}={n}' for axis, n in row.layout.items())
    kinds = ', '.join(f'{kind} {size / 1e3:,.0f}'
                      for kind, size in row.kinds.items()) or 'none'
    print(f'{name:24} {row.bytes / 1e3:8,.0f} {row.least / 1e3:7,.0f} '
          f'{_over(row.bytes, row.least):>6} '
          f'{_over(row.bytes, row.least_of_reductions):>7} '
          f'{row.time:5.2f}  {kinds}', flush=True)
  print("* of the least without a reduce-scatter, which XLA's compiler for the "
        'CPU has not\n'
        f'aim: ratio* at most {AIM}: ' + turns.verdict(
          [row.bytes <= AIM * row.least_of_reductions for row in rows])
        + '; time: that of one device for the same tokens is 1')


def measure(config: Config, layouts: tuple[Mapping[str, int], ...],
            seconds: float) -> Iterator[LayoutCost]:
  """Compiles and times each layout."""
  with Stepper('ours', config, turns.environment(virtual=1)) as one:
    for layout in layouts:
      sharded = overrides.replace(
        config, {f'mesh.{axis}': n for axis, n in layout.items()})
      with Stepper('ours', sharded,
                   turns.environment(virtual=DEVICES)) as many:
        kinds = many.ask('collectives')
        least = many.ask('minimum')
        times = turns.measure({'one': one.take, 'many': many.take}, seconds)
      yield LayoutCost(
        layout, {kind: wire for kind, (_, _, wire) in kinds.items()},
        least['scatters'], least['reduces'],
        turns.ratio(times, 'many', 'one') / sharded.mesh.replica)


def _over(size: float, least: float) -> str:
  return f'{size / least:.2f}' if least else '-'
