"""Facts about this machine that decide whether JAX will work on it.

Gathered once, without importing jax: a driver that hangs would hang with it,
so another process looks for the devices and is given up after a while.
"""

import contextlib
import dataclasses
import glob
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement

from experiments.machine import compiler, process

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'libtpu',
            'jax-cuda12-plugin', 'jax-cuda13-plugin')
PLUGINS = ('jax-cuda12-plugin', 'jax-cuda13-plugin')
VARIABLES = ('JAX_', 'XLA_', 'CUDA_', 'TPU_', 'SLURM_', 'NPROC',
             'LD_LIBRARY_PATH')

_DEVICE_QUERY = '''
import json, jax
print(json.dumps([[d.platform, d.device_kind] for d in jax.local_devices()]))
'''


@dataclasses.dataclass(frozen=True)
class Environment:
  """What is known of a machine; the defaults are a laptop without trouble.

  Attributes:
    python: its version.
    packages: the version of each of `PACKAGES` that is installed.
    requirements: what this jax asks of the others, as version specifiers.
    variables: of the process's environment, those that JAX or Slurm read.
    nvidia_cards: how many the kernel's driver shows.
    tpu_chips: how many the kernel shows.
    devices: (platform, kind) of each device that JAX found.
    devices_error: why JAX found none, in one line.
    seconds_waited: how long it was given before it was given up; 0: it was not.
    cores: processor cores that this process may use.
    load: processes that wanted to run in the last minute, on average.
    cache_folder: where compiled programs are kept.
    cache_writable: whether that folder is there, or can be made, and written.
    runs_folder: where results go.
    free_bytes: on the disk of the runs folder.
    foreign_cuda: folders in LD_LIBRARY_PATH with CUDA libraries of their own.
    target_platform: what was asked for: 'auto', 'cpu', 'gpu' or 'tpu'.
  """

  python: str = '3.11.0'
  packages: Mapping[str, str] = dataclasses.field(default_factory=dict)
  requirements: Mapping[str, str] = dataclasses.field(default_factory=dict)
  variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
  nvidia_cards: int = 0
  tpu_chips: int = 0
  devices: tuple[tuple[str, str], ...] = (('cpu', 'cpu'),)
  devices_error: str = ''
  seconds_waited: float = 0.0
  cores: int = 2
  load: float = 0.0
  cache_folder: str = '~/.cache/fathom/xla'
  cache_writable: bool = True
  runs_folder: str = 'runs'
  free_bytes: int = 2**40
  foreign_cuda: tuple[str, ...] = ()
  target_platform: str = 'auto'

  @property
  def platform(self) -> str:
    """Of the devices JAX found: 'cpu', 'gpu' or 'tpu'; '' when none."""
    return self.devices[0][0] if self.devices else ''

  @property
  def plugins(self) -> list[str]:
    """The CUDA plugins that are installed."""
    return [p for p in PLUGINS if p in self.packages]


def gather(runs: Path, target_platform: str = 'auto',
           seconds: float = 60.0) -> Environment:
  """Looks at this machine.

  Args:
    runs: the folder of all results; need not be there.
    target_platform: what is asked for, or 'auto'.
    seconds: how long JAX may look for its devices.
  """
  devices, error, waited = _devices(seconds)
  cache = compiler.cache()
  return Environment(
    python=platform.python_version(), packages=_packages(),
    requirements=_requirements(),
    variables={k: v for k, v in sorted(os.environ.items())
               if k.startswith(VARIABLES)},
    nvidia_cards=len(glob.glob('/proc/driver/nvidia/gpus/*')),
    tpu_chips=len(glob.glob('/dev/accel[0-9]*')),
    devices=devices, devices_error=error, seconds_waited=waited,
    cores=len(process.cores()), load=os.getloadavg()[0],
    cache_folder=str(cache),
    cache_writable=os.access(_existing(cache), os.W_OK),
    runs_folder=str(runs), free_bytes=shutil.disk_usage(_existing(runs)).free,
    foreign_cuda=_foreign_cuda(), target_platform=target_platform)


def _packages() -> dict[str, str]:
  versions = {}
  for name in PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      versions[name] = importlib.metadata.version(name)
  return versions


def _requirements() -> dict[str, str]:
  """What jax requires always, or with the extra that brings the package."""
  requirements = map(Requirement, importlib.metadata.requires('jax') or ())
  return {r.name: str(r.specifier) for r in requirements
          if r.name in PACKAGES and (r.marker is None or r.name != 'jaxlib')}


def _devices(
    seconds: float) -> tuple[tuple[tuple[str, str], ...], str, float]:
  """(devices, error, seconds waited in vain) of a process of its own."""
  with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
    child = subprocess.Popen(
      [sys.executable, '-P', '-c', _DEVICE_QUERY], stdout=out, stderr=err,
      stdin=subprocess.DEVNULL)
    try:
      code = child.wait(seconds)
    except subprocess.TimeoutExpired:
      child.kill()
      # One that is stuck in a driver cannot even be killed; leave it behind.
      with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(2)
      return (), f'no answer in {seconds:.0f} s', seconds
    out.seek(0)
    err.seek(0)
    if code:
      lines = err.read().strip().splitlines() or [f'exit code {code}']
      return (), lines[-1][:300], 0.0
    devices = json.loads(out.read().splitlines()[-1])
  return tuple((p, kind) for p, kind in devices), '', 0.0


def _existing(path: Path) -> Path:
  """The path, or the nearest folder above it that is there."""
  path = path.expanduser().absolute()
  return next(p for p in (path, *path.parents) if p.exists())


def _foreign_cuda() -> tuple[str, ...]:
  folders = os.environ.get('LD_LIBRARY_PATH', '').split(os.pathsep)
  return tuple(f for f in folders if f and any(
    glob.glob(f'{glob.escape(f)}/{name}*')
    for name in ('libcudart.so', 'libcudnn.so', 'libcublas.so',
                 'libnccl.so')))
