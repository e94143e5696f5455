"""Text: where it is read from, its documents, and which are held out.

A corpus is a list of documents, each a string. Nothing is normalised: line
endings, byte order marks and trailing blanks stay, so that the documents
joined and encoded are the bytes on disk.
"""

import hashlib
import itertools
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from data.errors import InputError

# What a folder is searched for; a file that is named itself may end in
# anything.
SUFFIXES = ('.md', '.py', '.rst', '.text', '.txt')

# A single file is cut into documents of about this many characters (a page or
# two), or into about ten when it is shorter than ten of them.
DOCUMENT_CHARACTERS = 4096
LEAST_DOCUMENTS = 10

# Tried in this order: after blank lines, after a line, anywhere.
_BOUNDARIES = (r'\n(?:[ \t\r]*\n)+', r'\n', r'(?s:.)')


def read(path: str) -> list[str]:
  """Reads a corpus.

  Args:
    path: a UTF-8 file, which is cut into documents where paragraphs end; or a
      folder, in which every file that ends in one of `SUFFIXES`, at any depth,
      is one document, in the order of their relative paths (hidden files and
      folders, links to folders and blank files are left out; a folder of one
      file counts as that file); or '', the English prose that ships with
      Python, each of its chapters one document.

  Returns:
    The documents, in an order that depends on nothing but their names.

  Raises:
    InputError: nothing there, nothing readable, not UTF-8, no text.
  """
  if not path:
    return _embedded()
  where = pathlib.Path(path)
  try:
    where = where.expanduser()
    files = _files(where)
  except (OSError, RuntimeError) as error:
    _refuse(where, f'cannot be read: {_reason(error)}; name a UTF-8 file or '
            'a folder of them')
  texts = [text for text in map(_text, files) if not _blank(text)]
  if not texts:
    _refuse(where, 'holds no text, only blanks; name another' if files else
            f'is a folder without a {", ".join(SUFFIXES)} file; name a file or '
            'another folder')
  return _documents(texts[0]) if len(texts) == 1 else texts


def fingerprint(documents: list[str]) -> dict[str, Any]:
  """What a manifest keeps of a corpus.

  Returns:
    `sha256` of the documents' bytes in order (of a single file: what the
    command `sha256sum` prints), the number of `documents` and of `bytes`, and
    `cut`, a hash of where each ends: the same bytes can be cut otherwise.
  """
  digest, cut, size = hashlib.sha256(), hashlib.sha256(), 0
  for document in documents:
    encoded = document.encode()
    digest.update(encoded)
    size += len(encoded)
    cut.update(f'{size} '.encode())
  return {'sha256': digest.hexdigest(), 'documents': len(documents),
          'bytes': size, 'cut': cut.hexdigest()[:12]}


def split(documents: list[str],
          held_out: float) -> tuple[list[str], list[str]]:
  """Splits a corpus by document into train and validation.

  Document i is held out when the hash of i falls below `held_out`: no state,
  no random generator, no look at the content, and adding documents at the end
  moves none of the others. So the share is met on average only. A split that
  would stay empty gets the one document whose hash is nearest.

  Args:
    documents: at least two.
    held_out: share of documents for validation, in (0, 1).

  Returns:
    The documents of train and of validation, each at least one, in order.

  Raises:
    InputError: a share out of range, or fewer than two documents.
  """
  if not 0 < held_out < 1:
    raise InputError(f'data.source.held_out: {held_out} must lie between 0 '
                     'and 1, both excluded')
  if len(documents) < 2:
    raise InputError('data.source.text_path: one document of '
                     f'{len(documents[0].encode())} bytes cannot be split into '
                     'train and validation; give more text')
  places = [_hash(index) for index in range(len(documents))]
  # Clipped into the range of the hashes, so that neither split stays empty.
  threshold = min(max(held_out, min(places)), sorted(places)[-2])
  train = [d for d, place in zip(documents, places) if place > threshold]
  validation = [d for d, place in zip(documents, places) if place <= threshold]
  return train, validation


def _hash(index: int) -> float:
  """A number in [0, 1) that is a fixed function of the index."""
  digest = hashlib.sha256(f'document {index}'.encode()).digest()
  return int.from_bytes(digest[:8], 'big') / 2**64


def _embedded() -> list[str]:
  try:
    from pydoc_data.topics import topics
  except ImportError:
    raise InputError(
      'data.source.text_path: this Python comes without pydoc_data, the '
      'embedded prose; name a UTF-8 file or folder of your own') from None
  return [topics[name] for name in sorted(topics)]


def _files(where: pathlib.Path) -> list[pathlib.Path]:
  """The file itself, or those of a folder in the order of their paths."""
  where.stat()  # raises what is_file() and is_dir() would swallow
  if where.is_file():
    return [where]
  if not where.is_dir():
    # Never opened: reading a pipe or a device could wait for ever.
    _refuse(where, 'is neither a file nor a folder; save the text in a file')
  return walk(where, lambda name: name.endswith(SUFFIXES))


def walk(folder: pathlib.Path,
         accepts: Callable[[str], bool]) -> list[pathlib.Path]:
  """The files of a folder, at any depth, in the order of their paths.

  Hidden files and folders and links to folders are left out.

  Args:
    folder: where to look.
    accepts: says of a file's name, in lower case, whether it is one.

  Raises:
    OSError: a folder that cannot be read.
  """
  def stop(error: OSError) -> NoReturn:
    raise error

  found = []
  for root, folders, names in os.walk(folder, onerror=stop):
    folders[:] = [name for name in folders if not name.startswith('.')]
    for name in names:
      file = pathlib.Path(root, name)
      if (accepts(name.lower()) and not name.startswith('.')
          and file.is_file()):
        found.append(file)
  return sorted(found, key=lambda f: f.relative_to(folder).as_posix())


def _text(file: pathlib.Path) -> str:
  try:
    return file.read_bytes().decode()
  except OSError as error:
    _refuse(file, f'cannot be read: {_reason(error)}; mend or remove it, or '
            'name another')
  except UnicodeDecodeError as error:
    _refuse(file, f'is not UTF-8 at byte {error.start}; if it is text, '
            'convert it, for example with `iconv -f LATIN1 -t UTF-8`')


def _documents(text: str) -> list[str]:
  """Cuts one text into documents; joined, they are the text again."""
  size = max(1, min(DOCUMENT_CHARACTERS, len(text) // LEAST_DOCUMENTS))
  documents = [text]
  for boundary in _BOUNDARIES:
    documents = [
      part for document in documents
      for part in (_cut(document, boundary, size)
                   if len(document) > 4 * size else [document])]
  return documents


def _cut(text: str, boundary: str, size: int) -> list[str]:
  """Cuts after the first boundary that makes a part at least `size` long."""
  cuts = [0]
  for match in re.finditer(boundary, text):
    if match.end() - cuts[-1] >= size:
      cuts.append(match.end())
  cuts.append(len(text))
  return [text[a:b] for a, b in itertools.pairwise(cuts) if a < b]


def _blank(text: str) -> bool:
  return not text.strip('\ufeff \t\r\n\v\f')


def _reason(error: Exception) -> str:
  return getattr(error, 'strerror', None) or str(error)


def _refuse(path: pathlib.Path, problem: str) -> NoReturn:
  raise InputError(f'data.source.text_path: {path} {problem}') from None
