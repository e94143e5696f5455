"""What a person sees of work that goes on: a bar, or plain lines."""

import sys
import time

import humanize
from rich.console import Console
from rich.progress import (
  BarColumn,
  Progress,
  TaskProgressColumn,
  TextColumn,
  TimeRemainingColumn,
)

LINE_SECONDS = 5.0


class Display:
  """A live bar on a terminal; elsewhere one line every few seconds."""

  def __init__(self, title: str, visible: bool = True):
    """Prepares the display.

    Args:
      title: what goes on.
      visible: whether this process shows anything.
    """
    self._title = title
    self._visible = visible
    self._started = time.monotonic()
    self._last_line = self._started - LINE_SECONDS
    self._where = ''  # that was told of last
    self._first: float | None = None  # the share that was done at the start
    self._bar: Progress | None = None

  def __enter__(self) -> 'Display':
    if self._visible and sys.stdout.isatty():
      self._bar = Progress(
        TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(),
        TextColumn('{task.fields[words]}'), TimeRemainingColumn(),
        console=Console())
      self._bar.start()
      self._task = self._bar.add_task(self._title, total=1.0, words='')
    return self

  def __exit__(self, *_: object) -> None:
    if self._bar:
      self._bar.stop()

  def update(self, share: float, where: str, words: str) -> None:
    """Shows how much is done.

    Args:
      share: of the work, 0 to 1.
      where: how far that is: 'step 20/100'.
      words: what else there is to tell, above all how fast it goes.
    """
    if not self._visible:
      return
    if self._first is None:
      self._first = share
    if self._bar:
      self._bar.update(self._task, completed=share, words=words,
                       description=f'{self._title} {where}')
      return
    now = time.monotonic()
    ends = share >= 1 and where != self._where
    if now - self._last_line < LINE_SECONDS and not ends:
      return
    self._last_line, self._where = now, where
    gone, fresh = now - self._started, share - self._first
    left = 'time left unknown'
    if share >= 1:
      left = 'nothing left'
    elif fresh > 0.001:
      left = duration(gone / fresh * (1 - share)) + ' left'
    print(f'{where}, {words}, {gone:.0f} s gone, {left}', flush=True)

  def say(self, text: str) -> None:
    """Prints a line above the bar."""
    if self._bar:
      self._bar.console.print(text, highlight=False)
    elif self._visible:
      print(text, flush=True)


def duration(seconds: float) -> str:
  """'about 40 minutes': a guess at a time, no finer than a guess is."""
  sizes = {'second': 1, 'minute': 60, 'hour': 3600, 'day': 86_400}
  unit = next((unit for unit, size in sizes.items()
               if round(seconds / size) < 100), 'day')
  number = round(seconds / sizes[unit])
  return f'about {number:,} {unit}{"" if number == 1 else "s"}'


def rate(number: float, unit: str) -> str:
  """'1.23k tokens/s'."""
  return f'{humanize.metric(number, precision=3).replace(" ", "")} {unit}/s'
