"""Files that are whole or not there, whatever ends the process."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import psutil

# What a killed process may leave behind; swept away by the next one.
PARTIAL = '.partial'


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
  """A file to write, which gets its name when it is complete and on disk."""
  # The number keeps a process that is about to end out of its successor's way.
  partial = path.with_name(f'.{path.name}.{os.getpid()}{PARTIAL}')
  try:
    with named(path):
      with partial.open('wb') as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
      partial.replace(path)
  finally:
    partial.unlink(missing_ok=True)
  sync(path.parent)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
  """A folder to fill, which gets its name when all of it is there.

  Its files are to be on disk. What an ended process left of it is removed.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  for left in path.parent.glob(f'.{path.name}.*{PARTIAL}'):
    number = left.name.removesuffix(PARTIAL).rpartition('.')[2]
    if number.isdigit() and not psutil.pid_exists(int(number)):
      shutil.rmtree(left)
  partial = path.with_name(f'.{path.name}.{os.getpid()}{PARTIAL}')
  try:
    with named(partial):
      partial.mkdir()
      yield partial
      sync(partial)
      _rename(partial, path)
  finally:
    shutil.rmtree(partial, ignore_errors=True)
  sync(path.parent)


def _rename(partial: Path, path: Path) -> None:
  try:
    partial.rename(path)
  except OSError as error:
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
      raise FileExistsError(
        errno.EEXIST, 'written by another process meanwhile',
        str(path)) from None
    raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
  """Has what fails in it name a file: a full disk does not by itself."""
  try:
    yield
  except OSError as error:
    error.filename = error.filename or str(path)
    raise


def replace(path: Path, text: str) -> None:
  """Writes a file of one writer that nobody sees half written.

  It does not wait for the disk, as `written` does: for what is written often,
  and missed by nobody if a power cut brings back what was there before.
  """
  partial = path.with_name(f'.{path.name}{PARTIAL}')
  with named(path):
    partial.write_text(text)
    partial.replace(path)


def write_json(path: Path, content: Any) -> None:
  """Writes plain values, the same bytes for the same values."""
  with written(path) as file:
    file.write(json.dumps(content, indent=1, sort_keys=True).encode() + b'\n')


def read_json(path: Path) -> Any:
  """The content of a JSON file; None when it is missing or damaged."""
  try:
    return json.loads(path.read_bytes())
  except (OSError, ValueError):
    return None


def sync(folder: Path) -> None:
  """Makes the names in a folder outlive a power cut."""
  handle = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)
