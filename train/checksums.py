"""A seal on a finished folder: the SHA-256 of every file in it.

Orbax does not notice flipped bytes: a damaged checkpoint restores without an
error and with wrong values. So a checkpoint counts as saved only once its seal
is on disk, and is read only while its seal holds.
"""

import hashlib
import io
import json
import os
from pathlib import Path

from data import durable

SEAL = 'checksums.json'


def seal(folder: Path) -> None:
  """Brings every file of `folder` to the disk itself, then writes its seal."""
  digests = {}
  for path in _files(folder):
    with path.open('rb') as f:
      digests[path.relative_to(folder).as_posix()] = _digest(f)
      os.fsync(f.fileno())
  durable.write_json(folder / SEAL, digests)
  for parent in {folder, folder.parent, *(p for p in folder.rglob('*')
                                          if p.is_dir())}:
    durable.sync(parent)


def sealed(folder: Path) -> bool:
  """Whether the folder was ever finished."""
  return (folder / SEAL).exists()


def damage(folder: Path) -> str:
  """The first thing wrong with a sealed folder; '' when it is whole."""
  try:
    digests = json.loads((folder / SEAL).read_text())
  except (OSError, ValueError) as error:
    return f'{SEAL} cannot be read ({error})'
  for name, digest in digests.items():
    try:
      with (folder / name).open('rb') as f:
        if _digest(f) != digest:
          return f'{name} is not what was written'
    except OSError as error:
      return f'{name} cannot be read ({error.strerror})'
  return ''


def _files(folder: Path) -> list[Path]:
  return sorted(p for p in folder.rglob('*')
                if p.is_file() and SEAL not in p.name)


def _digest(file: io.BufferedReader) -> str:
  return hashlib.file_digest(file, 'sha256').hexdigest()
