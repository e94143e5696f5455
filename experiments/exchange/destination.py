"""Where a model is to be written: a folder that is not there yet, or empty."""

import errno
import os
import shutil
from pathlib import Path

from data.errors import InputError


def check(out: Path, numbers: int = 0) -> None:
  """Refuses a folder that has something in it, or a disk that is too small.

  Args:
    out: the folder.
    numbers: how many float32 it is to hold.

  Raises:
    InputError: naming what to do.
  """
  try:
    taken = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if not taken:
      out.parent.mkdir(parents=True, exist_ok=True)
      if not os.access(out.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    free = shutil.disk_usage(out.parent).free
  except OSError as error:
    raise InputError(f'--out={out} cannot be made ({error.strerror}); name '
                     'another folder') from None
  if taken:
    raise InputError(f'--out={out} is there already, and is not overwritten; '
                     'name another folder, or remove it')
  if free < 4 * numbers:
    raise InputError(f'--out={out}: the parameters need {4 * numbers:,} bytes, '
                     f'and {free:,} are free there; free space, or name '
                     'another disk')
