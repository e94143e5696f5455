"""Does the work of a plan: train what is missing, measure what is missing."""

import contextlib
import dataclasses
import json
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from data import durable
from experiments.machine import usage
from experiments.runs import failure, instrument
from experiments.runs.executor import Executor
from experiments.runs.logs import log
from experiments.runs.remaining import Work, untrained
from experiments.runs.subject import Subject
from experiments.sweeps.identity import run_id
from experiments.sweeps.packing import Group
from experiments.sweeps.task import Train
from train import distributed
from train.stop import Diverged, Preempted

LEASE_SECONDS = 0.5


def work(executor: Executor, items: Sequence[Work]) -> int:
  """Does what is left of the items that no other worker holds.

  Several processes of one run call it together; the first decides for all.

  Returns:
    The exit code: 0, `PREEMPTED`, or that of the last failure. Each failure
    left a failure.json that says why.
  """
  failed: dict[str, int] = {}
  finished: set[str] = set()  # asked of the disk once
  while True:
    waits = False
    for item in items:
      if item.group.id in failed or item.group.id in finished:
        continue
      if _all(_is_done(executor, item)):
        finished.add(item.group.id)
        continue
      if executor.preemption.told():
        return usage.PREEMPTED
      if not _all(item.ready(executor.store)):
        waits = True  # for a parent that another worker trains
        if any(_blocked(item, other, failed) for other in items):
          failed[item.group.id] = usage.FAILED
        continue
      with _lease(executor, item) as mine:
        if not mine:
          waits = True
          continue
        try:
          code = distributed.broadcast(_attempts(executor, item))
        except Preempted as stopped:
          executor.telling.say(
            f'Told to stop: saved step {stopped.step}; the same command goes '
            'on from there.')
          return usage.PREEMPTED
        if code:
          failed[item.group.id] = code
    if not waits:
      return max(failed.values(), default=0)
    if executor.preemption.told():
      return usage.PREEMPTED
    # Whoever holds the rest may die; then this worker takes it over.
    time.sleep(LEASE_SECONDS)


def _is_done(executor: Executor, item: Work) -> bool:
  return jax.process_index() == 0 and item.done(executor.store)


def _all(decision: bool) -> bool:
  """What process 0 decides, in every process."""
  return bool(distributed.broadcast(int(decision)))


def _blocked(item: Work, other: Work, failed: dict[str, int]) -> bool:
  """Whether an item waits for a run that has failed."""
  needed = {run_id(task.start) for task in item.group.tasks
            if isinstance(task, Train) and task.start}
  return other.group.id in failed and not needed.isdisjoint(other.group.ids)


@contextlib.contextmanager
def _lease(executor: Executor, item: Work) -> Any:
  """Whether this run's processes may do an item; process 0 holds the lease."""
  if jax.process_index() != 0:
    yield _all(False)
    return
  with executor.store.lease(item.group.ids) as mine:
    # Another worker may have finished it while this one was looking.
    yield _all(mine and not item.done(executor.store))


def _attempts(executor: Executor, item: Work) -> int:
  """Does an item, again where that can help; the exit code."""
  attempt = 0
  while True:
    attempt += 1
    try:
      return _do(executor, item)
    except (Preempted, KeyboardInterrupt):
      raise
    except Diverged:  # an outcome: the runs are published as diverged
      return 0
    except Exception as error:  # one bad group must not end a sweep
      found = failure.kind(error)
      if failure.ends_all(error) or jax.process_count() > 1:
        raise  # a peer that is gone stays away, too
      _note(executor, item.group, error)
      if attempt >= failure.ATTEMPTS[found]:
        executor.telling.say(f'failed: {failure.message(error)}')
        return usage.FAILED
      if found == 'infrastructure':
        time.sleep(failure.BACK_OFF_SECONDS * 2**(attempt - 1))


def _do(executor: Executor, item: Work) -> int:
  """Trains what is missing of an item, then measures what is missing."""
  store = executor.store
  subjects: dict[str, Subject] = {}
  group = untrained(item.group, store)
  if group is not None:
    subjects = {s.id: s for s in executor.execute(group)}
  if jax.process_index() != 0:
    return 0
  code = 0
  for task in item.group.tasks:
    run = run_id(task)
    left = item.unmeasured(store)[run]
    if not left:
      continue
    subject = subjects.get(run) or instrument.stored(store, task)
    for measure in left:
      code = max(code, _measure(executor, item.group, subject, measure))
      executor.telling.measured()
  if not code:
    (store.group(item.group) / 'failure.json').unlink(missing_ok=True)
  return code


def _measure(executor: Executor, group: Group, subject: Subject,
             measure: instrument.Measure) -> int:
  """Measures a subject; an instrument that fails costs no training."""
  try:
    instrument.take(executor.store, subject, measure)
  except Exception as error:
    log.exception('measuring %s', subject.id)
    _note(executor, group, error, f'measuring run {subject.id}')
    executor.telling.say(f'measuring run {subject.id} failed: '
                         f'{failure.message(error)}')
    return usage.FAILED
  return 0


def _note(executor: Executor, group: Group, error: Exception,
          while_: str = 'training') -> None:
  """Keeps why a group failed, where `fathom status` finds it."""
  folder = executor.store.group(group)
  with contextlib.suppress(OSError):  # a full disk, which may be the failure
    folder.mkdir(parents=True, exist_ok=True)
    durable.write_json(folder / 'failure.json', {
      'runs': group.ids, 'while': while_, 'kind': failure.kind(error),
      'error': failure.message(error),
      'traceback': ''.join(traceback.format_exception(error))})


@dataclasses.dataclass
class FileProgress:
  """Progress that another process can read, written at most twice a second."""

  path: Path
  last: float = 0.0

  def __call__(self, state: dict[str, Any]) -> None:
    """Writes how far a group is."""
    now = time.monotonic()
    if now - self.last < 0.5 and state['step'] < state['steps']:
      return
    self.last = now
    durable.replace(self.path, json.dumps(state))
