"""Opens files that may be compressed, as a stream of bytes."""

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from data.errors import InputError

SUFFIXES = ('.gz', '.zst')

# A frame may decompress to a thousand times this.
_READ_BYTES = 1 << 16


def errors() -> tuple[type[Exception], ...]:
  """What reading a damaged file raises."""
  damage: tuple[type[Exception], ...] = (EOFError, zlib.error,
                                         gzip.BadGzipFile)
  try:
    import zstandard
  except ImportError:
    return damage
  return (*damage, zstandard.ZstdError)


def opened(path: Path, raw: BinaryIO) -> BinaryIO:
  """The text inside a file.

  Args:
    path: its name says how it is compressed, if at all.
    raw: the file as it lies on disk.

  Raises:
    InputError: `.zst` without the package that reads it.
  """
  if path.suffix.lower() == '.gz':
    return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
  if path.suffix.lower() == '.zst':
    require_zstandard(path)
    return io.BufferedReader(_Zstandard(raw), 1 << 20)
  return raw


def require_zstandard(path: Path) -> Any:
  """The package; it is an extra, since few inputs need its 24 MB.

  Raises:
    InputError: it is not installed.
  """
  try:
    import zstandard
  except ImportError:
    raise InputError(
      f'{path} needs the package zstandard; install the extra zstd '
      "(pip install -e '.[zstd]'), or unpack the file") from None
  return zstandard


class _Zstandard(io.RawIOBase):
  """All frames of a Zstandard file.

  The package's own `stream_reader` ends in silence where a file is cut off;
  this one raises EOFError, as gzip does.
  """

  def __init__(self, raw: BinaryIO):
    import zstandard
    self._raw = raw
    self._new_frame = zstandard.ZstdDecompressor().decompressobj
    self._frame = self._new_frame()
    self._inside = False  # a frame
    self._compressed = b''
    self._text = b''

  def readable(self) -> bool:
    """It is."""
    return True

  def readinto(self, buffer: Any) -> int:
    """Fills the buffer with what comes next; 0 at the end."""
    while not self._text:
      self._compressed = self._compressed or self._raw.read(_READ_BYTES)
      if not self._compressed:
        if self._inside:
          raise EOFError('the last frame is cut off')
        return 0
      self._inside = True
      self._text = self._frame.decompress(self._compressed)
      self._compressed = b''
      if self._frame.eof:
        self._compressed = self._frame.unused_data
        self._frame, self._inside = self._new_frame(), False
    size = min(len(buffer), len(self._text))
    buffer[:size], self._text = self._text[:size], self._text[size:]
    return size
