"""Where a model is to be written: a folder that is not there yet, or empty."""

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
  if out.exists() and not (out.is_dir() and not any(out.iterdir())):
    raise InputError(f'--out={out} is there already, and is not overwritten; '
                     'name another folder, or remove it')
  out.parent.mkdir(parents=True, exist_ok=True)
  free = shutil.disk_usage(out.parent).free
  if free < 4 * numbers:
    raise InputError(f'--out={out}: the parameters need {4 * numbers:,} bytes, '
                     f'and {free:,} are free there; free space, or name '
                     'another disk')
