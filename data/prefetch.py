"""Batches made ahead of the device, in a thread of their own."""

import collections
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar('Item')


class Prefetch(Generic[Item], Iterator[Item]):
  """What `make` returns for successive steps, made up to `depth` ahead.

  One thread makes the items, in order; reading memory-mapped files and copying
  arrays leave the interpreter to the training loop. An error in `make` is
  raised by the `next` that would have returned its item.

      with Prefetch(lambda step: source.host_batch(seed, 'train', step, 32),
                    start=step, stop=steps) as batches:
        for batch in batches: ...

  Attributes:
    waited: seconds that the consumer has spent in `next` so far.
  """

  def __init__(self, make: Callable[[int], Item], start: int, stop: int,
               depth: int = 2):
    """Starts to make items.

    Args:
      make: step → item; called in the thread.
      start: the first step.
      stop: the step after the last one.
      depth: how many items may be made or waiting at a time, at least 1.
    """
    self.waited = 0.0
    self._make = make
    self._steps = iter(range(start, stop))
    self._thread = ThreadPoolExecutor(1, thread_name_prefix='prefetch')
    self._items: collections.deque[Future[Item]] = collections.deque()
    for _ in range(depth):
      self._submit()

  def __next__(self) -> Item:
    if not self._items:
      raise StopIteration
    started = time.perf_counter()
    try:
      item = self._items.popleft().result()
    except BaseException:
      self.close()
      raise
    finally:
      self.waited += time.perf_counter() - started
    self._submit()
    return item

  def __enter__(self) -> 'Prefetch[Item]':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends the thread, after the item that it is making; drops the rest."""
    self._thread.shutdown(cancel_futures=True)
    self._items.clear()

  def _submit(self) -> None:
    if (step := next(self._steps, None)) is not None:
      self._items.append(self._thread.submit(self._make, step))
