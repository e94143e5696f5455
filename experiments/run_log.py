"""What a process of a training run says, kept in its folder."""

import contextlib
import faulthandler
import logging
from collections.abc import Iterator
from pathlib import Path

from absl import logging as absl_logging

log = logging.getLogger('fathom')


class _File(logging.StreamHandler):
  """Goes on without the log where the disk is full; what fails says so."""

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
  log.propagate = False
  listeners = (log, absl_logging.get_absl_logger())
  for logger in listeners:
    logger.addHandler(handler)
  faulthandler.enable(file)
  # What a person needs of a library's errors is told in one line.
  absl_logging.get_absl_handler().addFilter(_is_own)
  try:
    yield
  finally:
    faulthandler.disable()
    absl_logging.get_absl_handler().removeFilter(_is_own)
    for logger in listeners:
      logger.removeHandler(handler)
    with contextlib.suppress(OSError):
      file.close()


def _is_own(record: logging.LogRecord) -> bool:
  return 'orbax' not in record.pathname
