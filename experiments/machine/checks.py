"""Checks for what keeps JAX from working well, and the way out of it.

A check is a pure function of the facts in `survey.Environment`; a finding that
is not PASS says in one line what to do.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Literal

import humanize
from packaging.specifiers import SpecifierSet

from experiments.machine import survey
from experiments.machine.survey import Environment

Level = Literal['PASS', 'WARN', 'FAIL']

LITTLE_DISK = 5 * 2**30
NO_DISK = 2**28
# The package without which JAX has no such platform, and our extra with it.
_SUPPORT = {'tpu': ('libtpu',), 'cuda': survey.PLUGINS,
            'gpu': survey.PLUGINS}
_EXTRAS = {'gpu': 'cuda13', 'cuda': 'cuda13', 'tpu': 'tpu'}


@dataclasses.dataclass(frozen=True)
class Finding:
  """What a check says.

  Attributes:
    check: its name.
    level: PASS, WARN or FAIL.
    message: what is there.
    fix: what to do; '' when nothing.
    device: whether a device that should be there is missing.
  """

  check: str
  level: Level
  message: str
  fix: str = ''
  device: bool = False


def devices(facts: Environment) -> Finding:
  """JAX finds devices, of the kind that was asked for."""
  name = 'devices'
  if facts.seconds_waited:
    return Finding(
      name, 'FAIL', f'JAX found none within {facts.seconds_waited:.0f} s',
      'see whether the driver answers (nvidia-smi) or another process holds '
      'the TPU; JAX_PLATFORMS=cpu needs neither; on a busy machine, '
      '--seconds=600', True)
  if facts.devices_error or not facts.devices:
    return Finding(name, 'FAIL', f'JAX found none: {facts.devices_error}',
                   'mend what it says; JAX_PLATFORMS=cpu needs no device',
                   True)
  kinds = [kind for _, kind in facts.devices]
  counts = ', '.join(f'{kinds.count(k)} x {k}' for k in dict.fromkeys(kinds))
  target = facts.target_platform
  if target not in ('auto', facts.platform):
    extra = _EXTRAS.get(target)
    return Finding(
      name, 'FAIL', f'{counts}, and {target} was asked for',
      f"pip install -e '.[{extra}]', on a machine that has one" if extra else
      'JAX_PLATFORMS=cpu', True)
  return Finding(name, 'PASS', counts)


def fallback(facts: Environment) -> Finding:
  """An accelerator that is there is used."""
  name = 'CPU fall-back'
  platform = 'gpu' if facts.nvidia_cards else 'tpu' if facts.tpu_chips else ''
  if not platform or facts.platform != 'cpu':
    return Finding(name, 'PASS', 'no accelerator lies idle')
  card = {'gpu': 'NVIDIA card', 'tpu': 'TPU chip'}[platform]
  if 'cpu' in (facts.variables.get('JAX_PLATFORMS'), facts.target_platform):
    return Finding(name, 'WARN', f'the {card} lies idle, as JAX_PLATFORMS or '
                   '--platform asks', 'unset it to use the card')
  support = [p for p in _SUPPORT[platform] if p in facts.packages]
  if not support:
    return Finding(
      name, 'FAIL', f'there is a {card}, and JAX computes on the CPU: the '
      'plugin for it is not installed',
      f"pip install -e '.[{_EXTRAS[platform]}]'"
      + (' (cuda12 for an older driver)' if platform == 'gpu' else ''), True)
  return Finding(
    name, 'FAIL', f'there is a {card} and {support[0]}, and JAX computes on '
    'the CPU all the same', 'read the warning of `python -c "import jax; '
    'jax.devices()"`; the driver may be too old for the plugin', True)


def jaxlib(facts: Environment) -> Finding:
  """The version of jaxlib is one that jax accepts."""
  return _version(facts, 'jaxlib')


def libtpu(facts: Environment) -> Finding:
  """libtpu is the one that this jax was built for."""
  return _version(facts, 'libtpu')


def cuda_plugin(facts: Environment) -> Finding:
  """The CUDA plugin has the version of jaxlib."""
  if len(facts.plugins) > 1:
    return Finding('CUDA plugin', 'WARN',
                   f'{" and ".join(facts.plugins)} are both installed',
                   'pip uninstall one of them and its -pjrt')
  return _version(facts, (facts.plugins or ['jax-cuda13-plugin'])[0])


def jax_platforms(facts: Environment) -> Finding:
  """JAX_PLATFORMS names only platforms that are installed."""
  name = 'JAX_PLATFORMS'
  names = facts.variables.get(name, '')
  for one in filter(None, names.split(',')):
    support = _SUPPORT.get(one, ())
    if support and not any(p in facts.packages for p in support):
      return Finding(
        name, 'FAIL', f'{names!r} names {one}, and its plugin is not installed',
        f"unset JAX_PLATFORMS, or pip install -e '.[{_EXTRAS[one]}]'", True)
  return Finding(name, 'PASS', repr(names) if names else 'not set')


def preallocation(facts: Environment) -> Finding:
  """What JAX takes of a GPU's memory when it starts."""
  name = 'preallocation'
  fraction = facts.variables.get('XLA_PYTHON_CLIENT_MEM_FRACTION', '0.75')
  preallocate = facts.variables.get('XLA_PYTHON_CLIENT_PREALLOCATE', 'true')
  if facts.platform != 'gpu':
    return Finding(name, 'PASS', 'concerns GPUs only')
  try:
    share = float(fraction)
  except ValueError:
    share = 0.0
  if not 0 < share <= 1:
    return Finding(name, 'FAIL', 'XLA_PYTHON_CLIENT_MEM_FRACTION='
                   f'{fraction} is no share of the memory',
                   'set it between 0.1 and 0.95, or unset it')
  if preallocate.lower() in ('false', '0'):
    return Finding(name, 'WARN', 'memory is taken piece by piece, so it may be '
                   'fragmented', 'unset XLA_PYTHON_CLIENT_PREALLOCATE, unless '
                   'processes share the GPU')
  if share > 0.95:
    return Finding(name, 'WARN', f'{share:.0%} leaves too little for CUDA and '
                   'NCCL themselves', 'XLA_PYTHON_CLIENT_MEM_FRACTION=0.92')
  return Finding(name, 'PASS', f'JAX takes {share:.0%} of each GPU when it '
                 'starts; set XLA_PYTHON_CLIENT_MEM_FRACTION for more')


def compilation_cache(facts: Environment) -> Finding:
  """Compiled programs are kept between runs."""
  name = 'compilation cache'
  if not facts.cache_writable:
    return Finding(name, 'WARN', f'{facts.cache_folder} cannot be written, so '
                   'every start compiles again',
                   'set XDG_CACHE_HOME to a folder that can')
  return Finding(name, 'PASS', facts.cache_folder)


def slurm(facts: Environment) -> Finding:
  """A Slurm job sees the GPUs that it was given."""
  name = 'Slurm'
  job = facts.variables.get('SLURM_JOB_ID')
  if not job:
    return Finding(name, 'PASS', 'not in a Slurm job')
  visible = facts.variables.get('CUDA_VISIBLE_DEVICES')
  gpus = facts.variables.get('SLURM_GPUS_ON_NODE', '')
  count = len([d for d in (visible or '').split(',') if d.strip()])
  if visible is not None and not count:
    return Finding(name, 'FAIL', f'job {job}: CUDA_VISIBLE_DEVICES is empty, '
                   'so no GPU can be seen', 'ask for GPUs in the step too: '
                   'srun --gpus-per-task=1 or --gres=gpu:N', True)
  if gpus.isdigit() and visible is not None and count < int(gpus):
    return Finding(name, 'WARN', f'job {job}: {count} of the {gpus} GPUs that '
                   'this node gave can be seen', 'start one task for each GPU, '
                   'or srun --gpu-bind=none')
  if not gpus and facts.nvidia_cards and facts.platform == 'cpu':
    return Finding(name, 'FAIL', f'job {job} was given none of the '
                   f'{facts.nvidia_cards} GPUs of this node',
                   'sbatch --gpus-per-node=N', True)
  return Finding(name, 'PASS', f'job {job}, {gpus or "no"} GPU(s)')


def disk(facts: Environment) -> Finding:
  """There is room for results and checkpoints."""
  free = humanize.naturalsize(facts.free_bytes, binary=True)
  message = f'{free} free for {facts.runs_folder}'
  if facts.free_bytes >= LITTLE_DISK:
    return Finding('disk', 'PASS', message)
  return Finding('disk', 'FAIL' if facts.free_bytes < NO_DISK else 'WARN',
                 message, 'free some, or name another folder: --runs=FOLDER')


def virtual_devices(facts: Environment) -> Finding:
  """Virtual CPU devices have threads enough to meet each other."""
  name = 'virtual devices'
  texts = (
    re.findall(r'--xla_force_host_platform_device_count=(\d+)',
               facts.variables.get('XLA_FLAGS', ''))
    or re.findall(r'^\d+$', facts.variables.get('JAX_NUM_CPU_DEVICES', '')))
  count = int(texts[-1]) if texts else 1
  if count < 2:
    return Finding(name, 'PASS', 'none')
  threads = facts.variables.get('NPROC', '')
  if (int(threads) if threads.isdigit() else facts.cores) < 2 * count:
    return Finding(name, 'FAIL', f'{count} on {facts.cores} core(s): a program '
                   'with collectives stops for good and is aborted',
                   f'NPROC={2 * count}, set before Python starts')
  return Finding(name, 'PASS', f'{count}, with threads enough')


def cuda_libraries(facts: Environment) -> Finding:
  """CUDA comes from the packages that the plugin was built with."""
  name = 'LD_LIBRARY_PATH'
  if facts.foreign_cuda and facts.plugins:
    return Finding(name, 'WARN', 'another CUDA comes before the one that '
                   f'belongs to {facts.plugins[0]}: '
                   f'{", ".join(facts.foreign_cuda)}',
                   'unset LD_LIBRARY_PATH (module unload cuda)')
  return Finding(name, 'PASS', 'no CUDA of its own in it')


def load(facts: Environment) -> Finding:
  """No more processes want to run than there are cores."""
  tasks = re.match(r'\d+', facts.variables.get('SLURM_NTASKS_PER_NODE', ''))
  count = max(facts.load, float(tasks[0]) if tasks else 0.0)
  if count > 1.5 * facts.cores:
    return Finding('cores', 'WARN', f'{count:.0f} processes for {facts.cores} '
                   'core(s); they slow each other and times mean little',
                   'end others, or use fewer --workers')
  return Finding('cores', 'PASS', f'{facts.cores}')


CHECKS: tuple[Callable[[Environment], Finding], ...] = (
  devices, fallback, jaxlib, libtpu, cuda_plugin, jax_platforms, preallocation,
  compilation_cache, slurm, disk, virtual_devices, cuda_libraries, load)


def _version(facts: Environment, package: str) -> Finding:
  """Whether an installed package has the version that jax asks for."""
  version = facts.packages.get(package)
  specifier = facts.requirements.get(package, '')
  if version is None:
    return Finding(package, 'PASS', 'not installed')
  if not SpecifierSet(specifier).contains(version, prereleases=True):
    extra = {'libtpu': '[tpu]', 'jax-cuda12-plugin': '[cuda12]',
             'jax-cuda13-plugin': '[cuda13]'}.get(package, '')
    return Finding(package, 'FAIL', f'{version}, and jax '
                   f'{facts.packages.get("jax")} needs {specifier}',
                   f"pip install --upgrade 'jax{extra}'")
  return Finding(package, 'PASS', version)
