"""Processes of `fathom`: how they are started, and in which environment."""

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.machine.usage import UsageError

ROOT = Path(__file__).parents[2]
ROOMS = ('model', 'data', 'train', 'experiments')


def huge_pages(tunables: str) -> str:
  """Adds huge pages to what a person has set in GLIBC_TUNABLES."""
  name = 'glibc.malloc.hugetlb'
  return tunables if name in tunables else f'{tunables}:{name}=1'.strip(':')


# glibc hands every large buffer back to the kernel and pays the page faults
# again at each step; these keep the memory. Huge pages are looked up sooner,
# above all on a virtual machine, which looks up twice.
ALLOCATOR = {
  'GLIBC_TUNABLES': huge_pages(os.environ.get('GLIBC_TUNABLES', '')),
  'MALLOC_ARENA_MAX': '1',
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '100000000000',
  'MALLOC_TOP_PAD_': '268435456',
}


def cores() -> list[int]:
  """The processor cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return sorted(os.sched_getaffinity(0))
  return list(range(os.cpu_count() or 1))


def accelerator_installed() -> bool:
  """Whether a GPU or TPU and its JAX plugin are there; touches no device."""
  if os.environ.get('JAX_PLATFORMS', '') == 'cpu':
    return False
  plugins = ('jax_cuda12_plugin', 'jax_cuda13_plugin')
  nvidia = Path('/dev/nvidiactl').exists() and any(
    importlib.util.find_spec(p) for p in plugins)
  tpu = importlib.util.find_spec('libtpu') is not None and (
    Path('/dev/accel0').exists() or Path('/dev/vfio/0').exists())
  return nvidia or tpu


def virtual_devices(count: int) -> dict[str, str]:
  """The environment in which a CPU is as many devices."""
  environment = {'JAX_PLATFORMS': 'cpu', 'JAX_NUM_CPU_DEVICES': str(count)}
  if count > 1:
    # With fewer threads than this XLA's rendezvous can dead-lock.
    environment['NPROC'] = str(2 * count)
  return environment


def command(*arguments: str, module: str = 'experiments') -> list[str]:
  """The command line of another process of ours.

  With -P, since Python would put the current folder first, and a folder `data`
  or a file `jax.py` that happens to be there would be taken for the real one.
  """
  return [sys.executable, '-P', '-m', module, *arguments]


def restart(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
  """Starts this command again with more in its environment; if it is there,
  does nothing.

  For what the allocator and XLA read when a process starts.
  """
  if environment.items() <= os.environ.items():
    return
  sys.stdout.flush()
  os.execve(sys.executable, command(*arguments), {**os.environ, **environment})


def check_packages() -> None:
  """Raises UsageError where a package of ours, or jax, is somebody else's."""
  for name in ROOMS:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or Path(spec.origin).parents[1] != ROOT:
      where = spec and (spec.origin or list(spec.submodule_search_locations or (
        ))[:1])
      raise UsageError(
        f'{where or "nothing"} stands where Python looks for the package '
        f'{name!r} of Fathom in {ROOT}; run from another folder, or take it '
        'off PYTHONPATH, or start Python with -P')
  spec = importlib.util.find_spec('jax')
  if spec is not None and not spec.submodule_search_locations:
    raise UsageError(
      f'{spec.origin} stands where Python looks for the package jax; rename '
      'it, or run from another folder, or start Python with -P')


def end_with(parent: int) -> None:
  """Ends this process when the one that started it is gone, even by SIGKILL."""

  def watch() -> None:
    while os.getppid() == parent:
      time.sleep(0.5)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
