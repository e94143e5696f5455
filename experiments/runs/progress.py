"""How far a sweep, or one run, is: in words, on a display."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.runs.display import Display, rate
from experiments.runs.instrument import name
from experiments.runs.remaining import Work
from experiments.runs.store import Store


class SweepProgress:
  """Adds up what workers say.

  Work is measured in FLOPs, so the time left is right even though a deep run
  takes longer than a shallow one.
  """

  def __init__(self, display: Display, items: Sequence[Work], store: Store):
    self._display = display
    self._items = items
    self._store = store
    self._done: set[str] = set()
    self._total = sum(item.group.flops for item in items) or 1.0

  def complete(self) -> bool:
    """Whether nothing is left."""
    self._look()
    return len(self._done) == len(self._items)

  def update(self, running: Iterable[Mapping[str, Any]]) -> None:
    """Shows the groups that are done, and those that run."""
    self._look()
    finished = {run for item in self._items if item.group.id in self._done
                for run in item.group.ids}
    active = [s for s in running if s['run'] not in finished]
    work = sum(item.group.flops * (
      1.0 if item.group.id in self._done else sum(
        s['step'] / s['steps'] for s in active if s['run'] in item.group.ids))
      for item in self._items)
    tokens = sum(s['tokens_per_second'] for s in active)
    steps = sum(s['tokens_per_second'] / max(s['tokens_per_step'], 1)
                for s in active)
    count = sum(len(item.group.ids) for item in self._items)
    self._display.update(
      work / self._total, f'{len(finished)} of {count} runs',
      f'{work / self._total:.0%} of the work, {steps:,.0f} steps/s, '
      f'{rate(tokens, "tokens")}')

  def _look(self) -> None:
    for item in self._items:
      if item.group.id not in self._done and item.done(self._store):
        self._done.add(item.group.id)


class MeasuringProgress(SweepProgress):
  """Counts what instruments were taken of, where nothing is trained.

  The first run of a shape counts for more: its programs are compiled.
  """

  COMPILED = 30  # runs that take as long as compiling for one

  def __init__(self, display: Display, items: Sequence[Work], store: Store):
    super().__init__(display, items, store)
    self._left = [
      (self.COMPILED if index == 0 else 1, run, name(measure))
      for item in items for index, run in enumerate(item.group.ids)
      for measure in item.measures[run]]
    self._all = sum(weight for weight, *_ in self._left) or 1
    self._count = len(self._left)

  def update(self, running: Iterable[Mapping[str, Any]]) -> None:
    """Shows how many there are; workers need not say how far they are."""
    self._left = [each for each in self._left
                  if not self._store.measured(*each[1:])]
    done = self._count - len(self._left)
    share = 1 - sum(weight for weight, *_ in self._left) / self._all
    self._display.update(share, f'{done} of {self._count} measurements',
                         f'{share:.0%} of the work')


class RunProgress:
  """Shows one run, with its speed beside the peak of the devices."""

  def __init__(self, display: Display, peak: float):
    """Takes the FLOP/s that the devices could reach at best."""
    self._display = display
    self._peak = peak

  def __call__(self, state: Mapping[str, Any]) -> None:
    """Shows how far a run is, and how fast."""
    loss, speed = state['loss'], state['tokens_per_second']
    words = [] if loss is None else [f'loss {loss:.4f}']
    # The first steps are compiled with, and say nothing of the speed.
    words += [f'{rate(speed, "tokens")}, MFU '
              f'{state["flops_per_second"] / self._peak:.1%}'
              ] if speed else ['compiled']
    self._display.update(
      state['step'] / state['steps'], f'step {state["step"]}/{state["steps"]}',
      ', '.join(words))
