"""Files that are whole or not there, whatever ends the process."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

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
