"""Where the compiled step's data come from: the device, or the host.

Most sources draw their batches inside the step, from constants that lie on the
devices. One whose data do not fit there has `streams`: then the host reads the
batches of a whole chunk while the devices work on the chunk before, and the
step takes them from the stack it is given.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from data.batch import Batch, Instance, Source
from data.prefetch import Prefetch
from train import distributed, placement
from train.config import Config

AHEAD = 2  # chunks that are read before they are asked for


class Feed(Protocol):
  """What the step reads in each chunk."""

  def take(self, start: int, end: int) -> Instance:
    """The data of steps [start, end)."""

  def held_out(self, split: str, batches: int) -> Instance:
    """The data of the first batches of a held-out split."""

  def close(self) -> None:
    """Stops reading ahead."""


@dataclasses.dataclass(frozen=True)
class Resident:
  """Constants that lie on the devices, the same for every chunk."""

  instance: Instance

  def take(self, start: int, end: int) -> Instance:
    """The constants."""
    return self.instance

  def held_out(self, split: str, batches: int) -> Instance:
    """The constants."""
    return self.instance

  def close(self) -> None:
    """Nothing is read ahead."""


class Stream:
  """Batches that the host reads, chunks ahead of the devices.

  Each process reads only the rows that its own devices hold, and the batch is
  the same whatever the number of processes.
  """

  def __init__(self, source: Any, configs: Sequence[Config], mesh: Mesh,
               stop: Callable[[int], int]):
    """Opens the stream.

    Args:
      source: a source with `streams` and `host_batch`.
      configs: one for each replica.
      mesh: where the batches go.
      stop: the end of the chunk that starts at a step.
    """
    self._source = source
    self._size = configs[0].data.batch_size
    self._depth = configs[0].train.chunk_steps
    self._steps = configs[0].train.steps
    self._seeds = [c.train.seed for c in configs]
    self._mesh = mesh
    self._stop = stop
    self._chunks: Prefetch[Instance] | None = None

  def take(self, start: int, end: int) -> Instance:
    """The batches of steps [start, end), while those that follow are read."""
    if self._chunks is None:
      self._chunks = self._prefetch(start)
    return next(self._chunks)

  def held_out(self, split: str, batches: int) -> Instance:
    """The first batches of a split, the same for every replica."""
    return self._read([0] * len(self._seeds), split, 0, batches, batches)

  def close(self) -> None:
    """Stops reading ahead."""
    if self._chunks is not None:
      self._chunks.close()

  def _prefetch(self, start: int) -> Prefetch[Instance]:
    """Every chunk from a step on, in order."""
    ends = [start]
    while ends[-1] < self._steps:
      ends.append(self._stop(ends[-1]))

    # The stack is as deep for a short chunk, so one program serves them all.
    def chunk(i: int) -> Instance:
      return self._read(self._seeds, 'train', ends[i], ends[i + 1] - ends[i],
                        self._depth)

    return Prefetch(chunk, 0, len(ends) - 1, AHEAD)

  def _read(self, seeds: Sequence[int], split: str, first: int, count: int,
            depth: int) -> Instance:
    sharding = NamedSharding(self._mesh, placement.spec(('R', None, 'B')))
    read: dict[tuple[int, ...], Batch] = {}

    def batch(replica: int, step: int, rows: slice) -> Batch:
      key = (seeds[replica], step, rows.start, rows.stop)
      if key not in read:
        read[key] = self._source.host_batch(
          seeds[replica], split, step, self._size, rows)
      return read[key]

    def part(field: int) -> Callable[[Any], np.ndarray]:
      def block(index: Any) -> np.ndarray:
        """The rows and replicas of one device, stacked to (R, depth, B, …)."""
        replicas = range(*index[0].indices(len(seeds)))
        rows = slice(*index[2].indices(self._size))
        stacked = np.stack([[batch(r, first + i, rows)[field]
                             for i in range(count)] for r in replicas])
        spare = [(0, 0)] * stacked.ndim
        spare[1] = (0, depth - count)
        return np.pad(stacked, spare)
      return block

    row = (self._source.length,)
    shapes: list[tuple[int, ...]] = [row, row, row, ()]
    fields = [jax.make_array_from_callback(
      (len(seeds), depth, self._size, *shape), sharding, part(f))
      for f, shape in enumerate(shapes)]
    replica = NamedSharding(self._mesh, placement.spec('R'))
    return {'batches': Batch(*fields), 'first': distributed.place(
      np.full(len(seeds), first, np.int32), replica)}


@dataclasses.dataclass
class Stacked:
  """A streaming source as the compiled step sees it.

  Its instance is a stack of batches, and the batch of a step is one of them.
  """

  source: Any
  vocab_size: int
  length: int
  groups: tuple[str, ...]
  bytes_V: np.ndarray | None
  fingerprint: Mapping[str, Any]
  streams: bool = False  # what it is asked for is there

  def instance(self, seed: int) -> Instance:
    """No constants: everything comes with the chunk."""
    return {}

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Takes one batch from the stack."""
    return Batch(*(x[step - instance['first']] for x in instance['batches']))

  def evaluation_steps(self, split: str, batch_size: int) -> int | None:
    """As the source says."""
    return self.source.evaluation_steps(split, batch_size)


def in_step(source: Source) -> Source:
  """The source that the compiled step calls for its batches."""
  if not streams(source):
    return source
  return Stacked(source, source.vocab_size, source.length, source.groups,
                 source.bytes_V, source.fingerprint)


def streams(source: Source) -> bool:
  """Whether the host has to read the batches."""
  return bool(getattr(source, 'streams', False))
