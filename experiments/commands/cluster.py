"""The flags that say which of several processes this one is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from experiments.commands.parser import whole
from experiments.machine import process

if TYPE_CHECKING:
  from train.distributed import Cluster

LEAST_SECONDS = 5


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument(
    '--cpu-devices', type=whole(0), default=0, metavar='N',
    help='on a CPU: N virtual devices in each process')
  group = parser.add_argument_group(
    'several processes of one run, with the same command and a shared folder')
  group.add_argument('--coordinator', default='', metavar='HOST:PORT',
                     help='of process 0')
  group.add_argument('--processes', type=whole(0), metavar='N',
                     help='how many there are')
  group.add_argument('--process', type=whole(0), metavar='I',
                     help='which one this is, from 0 on')
  group.add_argument(
    '--distributed', action='store_true',
    help='as Slurm, a TPU pod, Kubernetes or Open MPI says (under srun, and on '
    'pods that say so, this is the default)')
  group.add_argument('--local-processes', type=whole(0), default=0,
                     metavar='N', help='start N here, to try it')
  group.add_argument(
    '--timeout', type=whole(LEAST_SECONDS), metavar='SECONDS',
    help='until a missing or dead process ends the others (default: 100)')
  group.add_argument('--parent', type=int, help=argparse.SUPPRESS)


def detect(options: argparse.Namespace) -> Cluster | None:
  """Which process of a run this is; None where it is alone.

  Raises:
    ConfigError: flags that do not belong together.
  """
  from train import distributed
  return distributed.detect(
    options.coordinator, options.processes, options.process,
    options.timeout or distributed.TIMEOUT_SECONDS, options.distributed)


def environment(options: argparse.Namespace, platform: str) -> dict[str, str]:
  """What has to be in the environment before Python starts."""
  on_cpu = platform == 'cpu' or (
    platform == 'auto' and not process.accelerator_installed())
  virtual = options.cpu_devices
  return {**(process.ALLOCATOR if on_cpu or virtual else {}),
          **(process.virtual_devices(virtual) if virtual else {})}


def enter(options: argparse.Namespace, more: Mapping[str, str]) -> int | None:
  """Starts the processes that were asked for, or makes this one be one.

  Args:
    options: as parsed.
    more: the environment that is needed; see `environment`.

  Returns:
    The exit code of those that were started; None where this process goes on.
  """
  if options.local_processes:
    from experiments.launch import processes
    return processes.launch(options.arguments, options.local_processes,
                            {**os.environ, **more})
  process.restart(options.arguments, more)
  if options.parent is not None:
    process.end_with(options.parent)
  return None
