"""Processes that do parts; one process does them itself."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from data.prepare import work
from data.prepare.parts import Part
from data.prepare.work import Job

Progress = Callable[[int, int], None]  # bytes of input done, of all
Records = Generator[dict[str, Any], None, None]
Missing = Sequence[tuple[Part, str]]  # parts and their keys

PROGRESS_SECONDS = 0.5
_COUNTED_BYTES = 1 << 20  # the counter is shared, and each use of it is a lock


class _Stopped(Exception):
  """The run has failed elsewhere."""


def run(job: Job, missing: Missing, workers: int, total: int,
        progress: Progress) -> Records:
  """Does parts; yields their records, in the order of `missing`.

  Closing the iterator stops the work.

  Args:
    job: what the parts have in common.
    missing: the parts.
    workers: the number of processes.
    total: bytes of all parts, the finished ones too.
    progress: is told how many of them are done.

  Raises:
    InputError: a damaged file.
    OSError: a file that cannot be read or written, or a process that was
      killed.
  """
  before = total - sum(part.cost for part, _ in missing)
  if min(workers, len(missing)) <= 1:
    return _alone(job, missing, lambda done: progress(before + done, total))
  return _together(job, missing, min(workers, len(missing)),
                   lambda done: progress(before + done, total))


def _alone(job: Job, missing: Missing,
           progress: Callable[[int], None]) -> Records:
  done, told = 0, time.monotonic()

  def advance(count: int) -> None:
    nonlocal done, told
    done += count
    if time.monotonic() - told >= PROGRESS_SECONDS:
      told = time.monotonic()
      progress(done)

  for part, key in missing:
    yield work.run(job, part, key, advance)


def _together(job: Job, missing: Missing, workers: int,
              progress: Callable[[int], None]) -> Records:
  # Not forked: this process may have threads, of JAX among others.
  context = multiprocessing.get_context('spawn')
  counter, stopping = context.Value('Q', 0), context.Event()
  pool = futures.ProcessPoolExecutor(
    workers, context, initializer=_begin, initargs=(counter, stopping))
  try:
    pending = [pool.submit(_run, job, part, key) for part, key in missing]
    for future in pending:
      while not future.done():
        futures.wait([future], PROGRESS_SECONDS)
        progress(counter.value)
        _raise_failure(pending)
      yield future.result()
  except BrokenProcessPool:
    raise ChildProcessError(
      'a process was killed, perhaps for want of memory; use fewer '
      '--workers') from None
  finally:
    stopping.set()
    pool.shutdown(cancel_futures=True)


def _raise_failure(pending: Sequence[futures.Future[Any]]) -> None:
  """Raises what went wrong in any part, without waiting for those before."""
  for future in pending:
    if future.done() and (error := future.exception()):
      raise error


_counter: Any
_stopping: Any
_uncounted = 0


def _begin(counter: Any, stopping: Any) -> None:
  """Prepares a worker process."""
  global _counter, _stopping
  _counter, _stopping = counter, stopping
  # The parent says when to stop; a key press reaches all processes at once.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  # There is a process for every core; Polars would start as many threads.
  os.environ['POLARS_MAX_THREADS'] = '1'
  threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
  """Ends this process when the one that started it is gone, even by SIGKILL."""
  parent = multiprocessing.parent_process()
  if parent:
    parent.join()
    os._exit(1)


def _run(job: Job, part: Part, key: str) -> dict[str, Any]:
  _end_if_stopped()  # this part may have been handed out before
  return work.run(job, part, key, _advance)


def _advance(count: int) -> None:
  global _uncounted
  _uncounted += count
  if _uncounted >= _COUNTED_BYTES:
    with _counter.get_lock():
      _counter.value += _uncounted
    _uncounted = 0
    _end_if_stopped()


def _end_if_stopped() -> None:
  if _stopping.is_set():
    raise _Stopped
