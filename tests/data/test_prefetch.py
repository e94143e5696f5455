"""Order, bounds, errors, and an end without a thread left over."""

import threading
import time

import pytest

from data.prefetch import Prefetch


def threads():
  return [t for t in threading.enumerate() if t.name.startswith('prefetch')]


@pytest.mark.parametrize('depth', [1, 2, 10])
def test_steps_come_in_order(depth):
  with Prefetch(lambda step: step * step, 3, 9, depth) as items:
    assert list(items) == [9, 16, 25, 36, 49, 64]
    with pytest.raises(StopIteration):
      next(items)
  assert not threads()


def test_at_most_depth_items_are_made_ahead():
  made = []
  with Prefetch(lambda step: made.append(step), 0, 100, depth=3) as items:
    next(items)
    deadline = time.monotonic() + 900
    while len(made) < 4 and time.monotonic() < deadline:
      time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3]


def test_an_error_comes_with_the_step_that_it_belongs_to():
  def make(step):
    if step == 2:
      raise ValueError('step 2')
    return step

  with Prefetch(make, 0, 5) as items:
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match='step 2'):
      next(items)
    with pytest.raises(StopIteration):
      next(items)
  assert not threads()


def test_closing_early_ends_the_thread():
  with Prefetch(lambda step: step, 0, 10**9) as items:
    assert next(items) == 0
  assert not threads()


def ask(items):
  """When the next item was asked for, the seconds it took, those counted."""
  asked, before = time.perf_counter(), items.waited
  next(items)
  return asked, time.perf_counter() - asked, items.waited - before


def test_only_the_consumer_s_waiting_is_counted():
  gate, opened = threading.Event(), []

  def open_gate():
    opened.append(time.perf_counter())
    gate.set()

  with Prefetch(lambda step: gate.wait(900), 0, 2, depth=2) as items:
    time.sleep(0.1)  # the consumer's own work
    assert items.waited == 0
    threading.Timer(0.2, open_gate).start()
    asked, took, waited = ask(items)
    # Bounds that hold however late either thread gets a core.
    assert (opened[0] - asked) / 2 < waited < took
    time.sleep(0.1)
    _, took, waited = ask(items)
    assert waited < took
