"""Why a run failed, and what is done about it."""

import errno
from typing import Literal

import jax

from data.errors import InputError
from experiments.machine import usage
from experiments.machine.usage import DeviceError, UsageError
from model.config import ConfigError
from train.stop import CheckpointError, SaveError

Kind = Literal['config', 'device', 'memory', 'storage', 'infrastructure',
               'crash']

# How often a group is tried. A config is as wrong the second time, and a run
# that is too large as large; a network may come back.
ATTEMPTS: dict[Kind, int] = {
  'config': 1, 'device': 1, 'memory': 1, 'storage': 1, 'infrastructure': 4,
  'crash': 2}
BACK_OFF_SECONDS = 2.0  # before the first retry of infrastructure; doubles

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# gRPC and socket errors as XLA words them; a peer that is gone.
_NETWORK = ('UNAVAILABLE', 'DEADLINE_EXCEEDED', 'Connection re', 'Gloo')


def kind(error: BaseException) -> Kind:
  """Which kind of failure an error is."""
  if isinstance(error, ConfigError | InputError | UsageError):
    return 'config'
  if isinstance(error, DeviceError):
    return 'device'
  if isinstance(error, CheckpointError):
    return 'storage'
  if isinstance(error, OSError):
    return 'storage' if error.errno in FULL else 'infrastructure'
  if isinstance(error, MemoryError):
    return 'memory'
  if isinstance(error, jax.errors.JaxRuntimeError):
    text = str(error)
    if 'RESOURCE_EXHAUSTED' in text:
      return 'memory'
    if any(word in text for word in _NETWORK):
      return 'infrastructure'
  return 'crash'


def exit_code(error: BaseException) -> int:
  """How a command ends that an error ends."""
  return {'config': usage.USAGE, 'device': usage.DEVICE}.get(
    kind(error), usage.FAILED)


def ends_all(error: BaseException) -> bool:
  """Whether it would go no better with any other run."""
  return (kind(error) in ('config', 'device') or isinstance(error, SaveError)
          or (isinstance(error, OSError) and error.errno in FULL))


def message(error: BaseException) -> str:
  """The error in one line, with what to do about it."""
  found = kind(error)
  if found == 'memory':
    return ('out of device memory; lower --config.data.batch_size or spread '
            'the run over more devices with --config.mesh.fsdp')
  first = (str(error).strip().splitlines() or [''])[0]
  if found == 'storage' and isinstance(error, OSError):
    return (f'{error}; free space, then run the same command again: it goes '
            'on where it was')
  return first if found != 'crash' else f'{type(error).__name__}: {first}'
