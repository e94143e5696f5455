"""Several processes of one run: they start as one, and they end as one."""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path

import jax

from experiments.runs import failure
from experiments.runs.peers import Peers
from train import distributed
from train.distributed import Cluster


def run(cluster: Cluster | None, folder: Path,
        body: Callable[[Peers | None], int]) -> int:
  """Runs `body` in this process of a cluster; never outlives the others by
  much.

  Args:
    cluster: which process this is; None where it is alone.
    folder: where the processes tell each other that they are alive.
    body: what to do, given the others; its result is the exit code.

  Returns:
    The exit code. In a cluster, an error ends the process at once instead,
    with its own exit code and one line that says who was first.
  """
  if cluster is None:
    return body(None)
  peers = _peers(cluster, folder) if cluster.known else None
  try:
    distributed.join(cluster)
    if peers is None:
      peers = _peers(dataclasses.replace(
        cluster, processes=jax.process_count(), process=jax.process_index()),
        folder)
    code = body(peers)
    peers.end('done')
    jax.distributed.shutdown()
    return code
  except BaseException as error:
    # Whoever dies takes the others' collectives along, so they fail as well,
    # with errors that say little; say who was first.
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    gone = ''
    if peers:
      if isinstance(error, jax.errors.JaxRuntimeError):
        gone = peers.absent()
      peers.end('failed', gone or reason)
    process = max(cluster.process, 0) if peers else '?'
    print(f'fathom: process {process} ends: {gone or reason}', file=sys.stderr,
          flush=True)
    # An orderly exit would wait for processes that are no more.
    os._exit(failure.exit_code(error))


def _peers(cluster: Cluster, folder: Path) -> Peers:
  peers = Peers(folder, cluster.process, cluster.processes, cluster.timeout)
  peers.start()
  return peers
