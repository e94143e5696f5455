"""What a person sees of a sweep or run that goes on: a bar, or plain lines."""

import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

import humanize
import numpy as np
from rich.console import Console
from rich.progress import (
  BarColumn,
  Progress,
  TaskProgressColumn,
  TextColumn,
  TimeRemainingColumn,
)

from experiments.sweeps import cost
from experiments.sweeps.packing import Group
from experiments.sweeps.plan import Plan

LINE_SECONDS = 5.0

log = logging.getLogger('fathom')


class Display:
  """A live bar on a terminal; elsewhere one line every few seconds.

  Work is measured in FLOPs, so the time left is right even though a deep run
  takes longer than a shallow one.
  """

  def __init__(self, plan: Plan, groups: Iterable[Group]):
    self._plan = plan
    self._flops = {g.id: sum(map(cost.train_flops, g.configs)) for g in groups}
    self._total = sum(self._flops.values()) or 1.0
    self._started = time.monotonic()
    self._last_line = -LINE_SECONDS
    self._bar: Progress | None = None
    self._initial: float | None = None

  def __enter__(self) -> 'Display':
    if sys.stdout.isatty():
      self._bar = Progress(
        TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(),
        TextColumn('{task.fields[rate]}'), TimeRemainingColumn(),
        console=Console())
      self._bar.start()
      self._task = self._bar.add_task(self._plan.experiment, total=1.0, rate='')
    return self

  def __exit__(self, *_: object) -> None:
    if self._bar:
      self._bar.stop()

  def update(self, running: Iterable[dict[str, Any]], done: Iterable[str]
             ) -> None:
    """Shows the state of the groups that run and the ids of those done."""
    running = list(running)
    done = set(done)
    work = sum(self._flops.get(g, 0.0) for g in done)
    work += sum(self._flops.get(s['group'], 0.0) * s['step'] / s['steps']
                for s in running if s['group'] not in done)
    share = work / self._total
    if self._initial is None:
      self._initial = share
    active = [s for s in running if s['group'] not in done]
    rate = sum(s['tokens_per_second'] for s in active)
    steps = sum(s['tokens_per_second'] / max(s.get('tokens_per_step', 1), 1)
                for s in active)
    runs = f'{self._plan.done()}/{len(self._plan.run_ids())} runs'
    speed = (f'{steps:,.0f} steps/s, '
             f'{humanize.metric(rate, precision=3).replace(" ", "")} tokens/s')
    if self._bar:
      self._bar.update(self._task, completed=share, rate=speed,
                       description=f'{self._plan.experiment} {runs}')
      return
    now = time.monotonic()
    if now - self._last_line < LINE_SECONDS:
      return
    self._last_line = now
    elapsed = now - self._started
    fresh = share - self._initial
    left = (f'{elapsed / fresh * (1 - share):.0f} s left'
            if fresh > 0.01 else 'time left unknown')
    print(f'{runs}, {share:.0%} of the work, {speed}, {elapsed:.0f} s gone, '
          f'{left}', flush=True)


class RunDisplay:
  """One training run: a live bar on a terminal, elsewhere plain lines."""

  def __init__(self, name: str, steps: int, tokens_per_step: int,
               seconds_per_token: float, visible: bool = True):
    """Prepares the display.

    Args:
      name: of the run.
      steps: how many it takes.
      tokens_per_step: of the whole batch.
      seconds_per_token: at the peak of the devices, for the MFU.
      visible: whether this process shows anything; all of them keep logs.
    """
    self._name = name
    self._steps = steps
    self._tokens_per_step = tokens_per_step
    self._seconds_per_token = seconds_per_token
    self._visible = visible
    self._started = time.monotonic()
    self._last_line = -LINE_SECONDS
    self._loss = ''
    self._bar: Progress | None = None

  def __enter__(self) -> 'RunDisplay':
    if self._visible and sys.stdout.isatty():
      self._bar = Progress(
        TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(),
        TextColumn('{task.fields[rate]}'), TextColumn('{task.fields[left]}'),
        console=Console())
      self._bar.start()
      self._task = self._bar.add_task(
        self._name, total=self._steps, rate='compiling', left='')
    return self

  def __exit__(self, *_: object) -> None:
    if self._bar:
      self._bar.stop()

  def mfu(self, rate: float) -> float:
    """Share of the devices' peak that `rate` tokens a second are."""
    return rate * self._seconds_per_token

  def line(self, line: dict[str, Any]) -> None:
    """Takes note of a line of metrics."""
    log.info('%s', line)
    loss = np.mean(np.array(line['loss'], float))
    if line['split'] == 'train':
      self._loss = f'loss {loss:.4f}, '
    else:
      self.say(f'step {line["step"]}: {line["split"]} loss {loss:.4f}')

  def update(self, step: int, rate: float) -> None:
    """Shows that `step` steps are asked for, at `rate` tokens a second."""
    if not self._visible:
      return
    speed = (f'{self._loss}'
             f'{humanize.metric(rate, precision=3).replace(" ", "")} tokens/s, '
             f'MFU {self.mfu(rate):.1%}')
    seconds = (self._steps - step) * self._tokens_per_step / max(rate, 1e-9)
    left = (f'{humanize.precisedelta(round(seconds), format="%d")} left'
            if rate else 'time left unknown')
    if self._bar:
      self._bar.update(self._task, completed=step, rate=speed, left=left)
      return
    now = time.monotonic()
    if now - self._last_line < LINE_SECONDS and step < self._steps:
      return
    self._last_line = now
    print(f'step {step}/{self._steps}, {speed}, '
          f'{now - self._started:.0f} s gone, {left}', flush=True)

  def say(self, text: str) -> None:
    """Prints a line above the bar."""
    log.info('%s', text)
    if self._bar:
      self._bar.console.print(text, highlight=False)
    elif self._visible:
      print(text, flush=True)
