"""Names of accelerators that are not here, and how XLA's compilers call them.

Cloud names count chips on v5e and v6e and TensorCores, two to a chip, on v5p:
`v5p-8` is four chips. `v5e:4x4` gives the shape itself.
"""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any, NamedTuple

from experiments.machine.usage import UsageError

GPUS_PER_HOST = 8

# libtpu looks for the machine it is on unless it is told; the rest keeps it
# from saying so at length.
TPU_ENVIRONMENT = {
  'TPU_SKIP_MDS_QUERY': '1',
  'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  'TPU_WORKER_HOSTNAMES': 'localhost',
  'TPU_WORKER_ID': '0',
  # Only one process may hold a TPU; any number may compile for one.
  'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}

# The shapes in which slices are offered (Cloud TPU documentation, 2025).
_SQUARE = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_CUBE = ('1x1x1', '2x2x1', '2x2x2', '2x2x4', '2x4x4', '4x4x4', '4x4x8',
         '4x8x8', '8x8x8', '8x8x16', '8x16x16', '16x16x16', '16x16x24')

_KINDS = {'v5e': 'TPU v5 lite', 'v5p': 'TPU v5', 'v6e': 'TPU v6 lite'}
_ALIASES = {'v5litepod': 'v5e', 'v6litepod': 'v6e'}
_CORES = {'v5e': 1, 'v5p': 2, 'v6e': 1}  # that a name counts for each chip
_SHAPES = {'v5e': _SQUARE, 'v5p': _CUBE, 'v6e': _SQUARE}


class Unavailable(Exception):
  """The compiler for a topology is not installed, or refuses it."""


class _Gpu(NamedTuple):
  """What XLA must know of a GPU that is not there (CUDA programming guide)."""

  kind: str
  capability: tuple[int, int]
  multiprocessors: int
  shared_memory: int  # bytes for each multiprocessor
  cache: int  # bytes of L2
  clock: float  # GHz


_GPUS = {
  'a100': _Gpu('NVIDIA A100-SXM4-80GB', (8, 0), 108, 167_936, 40 * 2**20, 1.41),
  'h100': _Gpu('NVIDIA H100 80GB HBM3', (9, 0), 132, 233_472, 50 * 2**20, 1.98),
  'h200': _Gpu('NVIDIA H200', (9, 0), 132, 233_472, 50 * 2**20, 1.98),
}


@dataclasses.dataclass(frozen=True)
class Topology:
  """Devices to compile for.

  Attributes:
    name: in lower case.
    platform: 'tpu' or 'cuda'.
    kind: as `machine.accelerators` knows it.
    shape: chips along each axis of the torus; of GPUs, hosts and GPUs in each.
  """

  name: str
  platform: str
  kind: str
  shape: tuple[int, ...]

  @property
  def devices(self) -> int:
    """How many there are."""
    return math.prod(self.shape)


def parse(name: str) -> Topology:
  """Reads `v5e-16`, `v5litepod-16`, `v5p-8`, `v6e:4x4`, `h200-8`.

  Raises:
    UsageError: no such topology; the message lists those there are.
  """
  text = name.strip().lower()
  if re.match(r'(tpu)?7x|v7', text):
    raise UsageError(f'--topology={name}: the compiler in libtpu crashes on '
                     'TPU7x topologies; use v5e, v5p or v6e')
  if gpus := re.fullmatch(r'([ah]\d00)-([1-9]\d*)', text):
    hosts = _hosts(int(gpus[2]))
    if gpus[1] in _GPUS and hosts:
      return Topology(text, 'cuda', _GPUS[gpus[1]].kind, hosts)
  family, separator, size = re.match(  # type: ignore[union-attr]
    r'([^-:]*)([-:]?)(.*)', text).groups()
  family = _ALIASES.get(family, family)
  shape: tuple[int, ...] | None = None
  if family in _KINDS and separator == ':':
    shape = _explicit(family, size)
  elif family in _KINDS and separator == '-' and size.isdigit():
    shape = _sizes(family).get(int(size))
  if shape is None:
    raise UsageError(f'--topology={name}: not known; use one of\n{known()}')
  return Topology(text, 'tpu', _KINDS[family], shape)


def known() -> str:
  """The names that `parse` reads, a line for each family."""
  lines = [f'  {family}-N, N one of {", ".join(map(str, _sizes(family)))}'
           for family in _KINDS]
  lines.append('  v5e:4x4, v5p:4x4x8, v6e:2x4: chips along each axis')
  lines.append(f'  {", ".join(f"{gpu}-N" for gpu in _GPUS)}, N up to '
               f'{GPUS_PER_HOST} or a multiple of it')
  return '\n'.join(lines)


def describe(topology: Topology) -> list[Any]:
  """The devices of a topology, as its compiler describes them.

  Must come before anything else in the process touches a device: what is in
  this machine is left out of it.

  Raises:
    Unavailable: that compiler is not installed, or refuses the topology.
  """
  check_installed(topology)
  os.environ.update({k: v for k, v in TPU_ENVIRONMENT.items()
                     if k not in os.environ})
  import jax
  from jax.experimental import topologies
  jax.config.update('jax_platforms', 'cpu')
  try:
    return list(topologies.get_topology_desc(**_arguments(topology)).devices)
  except RuntimeError as error:
    message = str(error).strip().splitlines()[0]
    raise Unavailable(f'--topology={topology.name}: its compiler refuses it: '
                      f'{message}') from error


def _arguments(topology: Topology) -> dict[str, Any]:
  """What JAX needs to be told of a topology."""
  if topology.platform == 'cuda':
    hosts, gpus = topology.shape
    return {'platform': 'cuda', 'topology_name': '',
            'topology': f'1x{hosts}x{gpus}',
            'target_config': _target(topology.kind)}
  family = next(f for f, kind in _KINDS.items() if kind == topology.kind)
  shape = 'x'.join(map(str, topology.shape))
  # A host holds four chips unless the compiler is told that it holds one.
  alone = ({'chips_per_host_bounds': (1, 1, 1)} if topology.devices == 1
           else {})
  return {'platform': 'tpu', 'topology_name': f'{family}:{shape}', **alone}


def check_installed(topology: Topology) -> None:
  """Raises Unavailable where the topology's compiler is not installed."""
  def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None

  if topology.platform == 'tpu' and not has('libtpu'):
    raise Unavailable(
      f'--topology={topology.name}: the TPU compiler is not installed; '
      "pip install -e '.[tpu]'")
  if topology.platform == 'cuda' and not (
      has('jax_cuda13_plugin') or has('jax_cuda12_plugin')):
    raise Unavailable(
      f'--topology={topology.name}: the CUDA compiler is not installed; '
      "pip install -e '.[cuda13]' (to compile, "
      'jax-cuda13-plugin and jax-cuda13-pjrt of the version of jaxlib are '
      'enough: pip install --no-deps)')


def _target(kind: str) -> str:
  """XLA's description of a GPU, as a text protocol buffer."""
  from experiments.machine import accelerators
  gpu = next(g for g in _GPUS.values() if g.kind == kind)
  card = accelerators.find(kind)
  assert card, kind
  fields = {
    'threads_per_block_limit': 1024, 'threads_per_warp': 32,
    'threads_per_core_limit': 2048, 'shared_memory_per_block': 49_152,
    'shared_memory_per_core': gpu.shared_memory,
    'shared_memory_per_block_optin': gpu.shared_memory - 1024,
    'registers_per_core_limit': 65_536, 'registers_per_block_limit': 65_536,
    'block_dim_limit_x': 2**31 - 1, 'block_dim_limit_y': 65_535,
    'block_dim_limit_z': 65_535, 'core_count': gpu.multiprocessors,
    'fpus_per_core': 64 if gpu.capability < (9, 0) else 128,
    'clock_rate_ghz': gpu.clock, 'l2_cache_size': gpu.cache,
    'memory_bandwidth': round(card.memory_bandwidth),
    'device_memory_size': card.memory_bytes,
  }
  text = '\n'.join(f'{key}: {value}' for key, value in fields.items())
  major, minor = gpu.capability
  return (f'gpu_device_info {{\n{text}\ncuda_compute_capability '
          f'{{ major: {major} minor: {minor} }}\n}}\nplatform_name: "CUDA"\n'
          'dnn_version_info { major: 9 minor: 10 }\n'
          f'device_description_str: "{kind}"\n')


def _hosts(gpus: int) -> tuple[int, int] | None:
  """(hosts, GPUs in each), or None for a number that leaves one half full."""
  if gpus <= GPUS_PER_HOST:
    return 1, gpus
  hosts, left = divmod(gpus, GPUS_PER_HOST)
  return None if left else (hosts, GPUS_PER_HOST)


def _sizes(family: str) -> dict[int, tuple[int, ...]]:
  """What a cloud name counts → the shape of the slice."""
  shapes = [_axes(text) for text in _SHAPES[family]]
  return {math.prod(shape) * _CORES[family]: shape for shape in shapes}


def _explicit(family: str, text: str) -> tuple[int, ...] | None:
  """The shape that was written out, if such a slice can be."""
  if not re.fullmatch(r'\d+(x\d+)+', text):
    return None
  shape = _axes(text)
  if math.prod(shape) == 1:
    return shape if len(shape) == _rank(family) else None
  # A host holds 2x2 chips, so a slice is made of such squares.
  whole = len(shape) == _rank(family) and all(
    n % 2 == 0 for n in shape[:2]) and all(shape)
  return shape if whole else None


def _rank(family: str) -> int:
  return len(_axes(_SHAPES[family][0]))


def _axes(text: str) -> tuple[int, ...]:
  return tuple(map(int, text.split('x')))
