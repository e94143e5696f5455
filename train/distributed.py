"""Several processes that train one run, through `jax.distributed`."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from model.config import ConfigError

# Before a peer that is gone is given up; how long JAX itself waits.
TIMEOUT_SECONDS = 100
GRACE_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Cluster:
  """Which process this is, of how many.

  Attributes:
    coordinator: HOST:PORT of process 0; '' where JAX finds it out.
    processes: how many there are; 0 where JAX finds it out.
    process: which one this is; -1 where JAX finds it out.
    timeout: seconds until a process that is missing or dead ends the others.
  """

  coordinator: str = ''
  processes: int = 0
  process: int = -1
  timeout: int = TIMEOUT_SECONDS

  @property
  def known(self) -> bool:
    """Whether this process knows its place before it asks JAX."""
    return self.processes > 0 and self.process >= 0


def detect(coordinator: str, processes: int | None, process: int | None,
           timeout: int, automatic: bool,
           environment: Mapping[str, str] = os.environ) -> Cluster | None:
  """The cluster that flags and environment describe; None for one process.

  Under `srun` the counts come from Slurm; a coordinator that is not given is
  left to JAX, which takes the first node's name.

  Args:
    coordinator: HOST:PORT of process 0, or ''.
    processes: how many, or None.
    process: which one, or None.
    timeout: see `Cluster`.
    automatic: ask JAX for everything that is not given (Slurm, TPU pods,
      Kubernetes, Open MPI).
    environment: where Slurm and TPU pods say what they are.

  Raises:
    ConfigError: flags that do not belong together.
  """
  slurm = int(environment.get('SLURM_STEP_NUM_TASKS', 1)) > 1
  pod = ',' in environment.get('TPU_WORKER_HOSTNAMES', '')
  if not (coordinator or automatic or slurm or pod
          or processes is not None or process is not None):
    return None
  if slurm:
    if processes is None:
      processes = int(environment['SLURM_STEP_NUM_TASKS'])
    if process is None:
      process = int(environment['SLURM_PROCID'])
  guessed = automatic or slurm or pod
  if not guessed and not coordinator:
    raise ConfigError('--coordinator: missing; name HOST:PORT of process 0, '
                      'the same for every process')
  if coordinator and not coordinator.rpartition(':')[2].isdigit():
    raise ConfigError(f'--coordinator={coordinator}: write HOST:PORT')
  if not guessed and (processes is None or process is None):
    raise ConfigError('--processes and --process: both are needed beside '
                      '--coordinator; the first counts the processes, the '
                      'second is 0 to one less')
  if (processes is not None and process is not None
      and not 0 <= process < processes):
    raise ConfigError(f'--process={process}: must lie in 0 to '
                      f'{processes - 1}, since --processes={processes}')
  return Cluster(coordinator, processes or 0,
                 -1 if process is None else process, timeout)


def join(cluster: Cluster) -> None:
  """Meets the other processes; before anything touches a device.

  Raises:
    RuntimeError: somebody did not come within the timeout.
  """
  jax.distributed.initialize(
    cluster.coordinator or None, cluster.processes or None,
    None if cluster.process < 0 else cluster.process,
    initialization_timeout=cluster.timeout,
    # The last resort, for JAX names nobody: `peers` ends the others first.
    heartbeat_timeout_seconds=cluster.timeout + GRACE_SECONDS,
    shutdown_timeout_seconds=cluster.timeout)


def broadcast(value: int) -> int:
  """Process 0's value, in every process."""
  if jax.process_count() == 1:
    return value
  return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def fetch(tree: Any) -> Any:
  """A tree as host arrays, whole in every process; all of them must call."""
  def one(x: Any) -> np.ndarray:
    if not isinstance(x, jax.Array) or x.is_fully_addressable or (
        x.is_fully_replicated):
      return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))

  return jax.tree.map(one, tree)


def place(tree: Any, shardings: Any) -> Any:
  """Puts host arrays, the same in every process, on a mesh.

  Each process copies only what its own devices hold.

  Args:
    tree: host arrays.
    shardings: one for the whole tree, or a tree of them.
  """
  if isinstance(shardings, jax.sharding.Sharding):
    shardings = jax.tree.map(lambda _: shardings, tree)
  if jax.process_count() == 1:
    return jax.tree.map(jax.device_put, tree, shardings)

  def one(x: Any, sharding: Any) -> jax.Array:
    host = np.asarray(x)
    return jax.make_array_from_callback(
      host.shape, sharding, lambda index: host[index])

  return jax.tree.map(one, tree, shardings)
