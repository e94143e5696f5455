"""Measure speed on this machine, as ratios within one run."""

import argparse

from experiments import bench
from experiments.commands.parser import one_of
from experiments.machine import process


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.description = bench.__doc__
  parser.add_argument(
    '--parts', action='append', type=one_of('part', bench.PARTS),
    metavar='PART', help='what to measure; may be repeated (default: all)')
  parser.add_argument(
    '--sizes', action='append', type=one_of('size', bench.SIZES),
    metavar='S|M|L', help='of models; may be repeated (default: all)')
  parser.add_argument(
    '--seconds', type=float, default=5.0, metavar='SECONDS',
    help='least time for each contestant (default: 5)')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints the benchmark, or the parts and sizes that are named."""
  # The allocator reads its settings when a process starts; on an accelerator
  # there has to be room for a contestant beside this process.
  process.restart(options.arguments, {
    'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'
  } if process.accelerator_installed() else process.ALLOCATOR)
  bench.measure(options.parts or bench.PARTS, options.sizes or bench.SIZES,
                options.seconds)
  return 0
