"""What a process of a training run says, kept in its folder."""

import contextlib
import faulthandler
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from absl import logging as absl_logging

log = logging.getLogger('fathom')


class _File(logging.StreamHandler):
  """Goes on without the log where the disk is full, or the run has ended."""

  def handleError(self, record: logging.LogRecord) -> None:
    """Keeps the traceback of a line that was not written to itself."""


@contextlib.contextmanager
def to_file(folder: Path, process: int) -> Iterator[None]:
  """Keeps what this process says, and where it crashed, in a file."""
  folder.mkdir(parents=True, exist_ok=True)
  file = (folder / f'process-{process}.log').open('a')
  handler = _File(file)
  handler.setFormatter(logging.Formatter(
    '%(asctime)s %(levelname)s %(message)s'))
  log.setLevel(logging.INFO)
  absl, screen = absl_logging.get_absl_logger(), absl_logging.get_absl_handler()
  for logger in (log, absl):
    logger.addHandler(handler)
    # Past the root's handlers: any library may have put one there.
    logger.propagate = False
  # What failed in an event loop of a library is told when Python forgets it,
  # which may be after all else; this one logger therefore keeps the file.
  loops = logging.getLogger('asyncio')
  loops.handlers, loops.propagate = [handler], False
  # What a person needs of a library's errors is told in one line.
  screen.addFilter(_is_own)
  absl.addHandler(screen)
  faulthandler.enable(file)
  sys.unraisablehook = _unraisable
  try:
    yield
  finally:
    sys.unraisablehook = sys.__unraisablehook__
    faulthandler.disable()
    screen.removeFilter(_is_own)
    absl.removeHandler(screen)
    for logger in (log, absl):
      logger.removeHandler(handler)
      logger.propagate = True
    with contextlib.suppress(OSError):
      file.close()


def _is_own(record: logging.LogRecord) -> bool:
  return 'orbax' not in record.pathname


def _unraisable(unraisable: 'sys.UnraisableHookArgs') -> None:
  """Leaves to the log what fails in a callback that nobody waits for.

  Tensorstore goes on calling an event loop that a full disk has closed.
  """
  error = unraisable.exc_value or unraisable.exc_type()
  log.error('In a callback', exc_info=error)
