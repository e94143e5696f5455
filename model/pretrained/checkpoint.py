"""Files of tensors that somebody else wrote: their names, shapes and slices.

Nothing in them is executed, and nothing is read before it is checked.
"""

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from model.config import ConfigError

INDEX = 'model.safetensors.index.json'
# Far more than a real config, index or vocabulary; each is held whole.
LARGEST = 64 * 2**20  # bytes
# Files that hold pickles, which would be executed.
PICKLES = ('.bin', '.pt', '.pth', '.ckpt', '.pkl')


class UnreadableModel(ConfigError):
  """A model that cannot be read; the message names what and the fix."""


class Tensor(NamedTuple):
  """What a file says of one tensor.

  Attributes:
    shape: its sizes.
    dtype: as it is stored: 'F32', 'BF16', 'F16', 'Q4_1'...
  """

  shape: tuple[int, ...]
  dtype: str


class Checkpoint(Protocol):
  """Tensors by name, of which slices can be read."""

  @property
  def tensors(self) -> Mapping[str, Tensor]:
    """All of them."""

  @property
  def readable(self) -> Collection[str]:
    """The dtypes that `read` widens to float32."""

  def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
    """One slice of a tensor, as float32.

    Args:
      name: one of `tensors`.
      index: for each axis a slice with its start and its end.
    """


class SafetensorsCheckpoint:
  """The safetensors of a folder: one file, or shards and their index.

  Raises:
    UnreadableModel: there are none, or they are damaged, or a name leads out
      of the folder.
  """

  readable = frozenset({'F32', 'F16', 'BF16'})

  def __init__(self, folder: str | Path):
    """Reads the headers of all files, which say what is where."""
    self.folder = Path(folder)
    self._shard: dict[str, Path] = {}
    self.tensors: dict[str, Tensor] = {}
    index = self._index()
    names = sorted(set(index.values())) if index else [self._single()]
    for name in names:
      path = inside(self.folder, name)
      for tensor, found in headers(path).items():
        if tensor in self.tensors:
          raise UnreadableModel(
            f'{path}: {tensor!r} is in {self._shard[tensor].name} too; remove '
            'one of the two files')
        self.tensors[tensor], self._shard[tensor] = found, path
    if index:
      self._agree(index)

  def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
    """One slice of a tensor, as float32.

    The file is opened anew, so that what was mapped of it is given back.
    """
    with access(self._shard[name]), safe_open(
        self._shard[name], framework='numpy') as file:
      part = file.get_slice(name)[index]
    return np.asarray(part, np.float32)

  def _single(self) -> str:
    """The one file of tensors."""
    if not self.folder.is_dir():
      raise UnreadableModel(f'{self.folder}: no such folder; give one with '
                            'config.json and *.safetensors, or a .gguf file')
    files = sorted(path.name for path in self.folder.glob('*.safetensors'))
    if 'model.safetensors' in files:
      return 'model.safetensors'
    if len(files) > 1:
      raise UnreadableModel(
        f'{self.folder}: {len(files)} files of tensors ({files[0]}, '
        f'{files[1]}…) and no {INDEX}; fetch it, or leave one file')
    if files:
      return files[0]
    others = sorted(path.name for path in self.folder.iterdir()
                    if path.suffix in (*PICKLES, '.gguf'))
    if not others:
      raise UnreadableModel(f'{self.folder}: no *.safetensors in this folder; '
                            'give the folder that has them')
    if others[0].endswith('.gguf'):
      raise UnreadableModel(f'{self.folder}: no *.safetensors in this folder; '
                            f'give the file {others[0]} itself')
    raise UnreadableModel(
      f'{self.folder / others[0]}: a pickle can run any code and is not '
      'opened; convert it to safetensors (save_pretrained of transformers '
      'writes them)')

  def _index(self) -> Mapping[str, str]:
    """The file of each tensor, as the index has it; empty without one."""
    if not os.path.lexists(self.folder / INDEX) or (
        self.folder / 'model.safetensors').exists():
      return {}
    path = inside(self.folder, INDEX)
    places = json_object(path).get('weight_map')
    if not isinstance(places, dict) or not places or not all(
        isinstance(place, str) for place in places.values()):
      raise UnreadableModel(f'{path}: weight_map does not say in which file '
                            'each tensor is; fetch the index again')
    return places

  def _agree(self, index: Mapping[str, str]) -> None:
    """Refuses an index that says something else than the shards."""
    found = {name: path.name for name, path in self._shard.items()}
    for name in sorted(found.keys() | index.keys()):
      if found.get(name) != index.get(name):
        said, real = index.get(name, 'no file'), found.get(name, 'no shard')
        raise UnreadableModel(
          f'{self.folder / INDEX}: {name!r} is said to be in {said}, and is in '
          f'{real}; fetch index and shards again, from one place')


def inside(folder: Path, name: str) -> Path:
  """A file of a folder, by its plain name.

  A link may lead to another file of the folder. In a snapshot of a download
  cache (`models--…/snapshots/<revision>/`) it may lead to the cache's `blobs`,
  where all of its files lie.

  Raises:
    UnreadableModel: the name leads elsewhere, or there is no such file.
  """
  path = folder / name
  if not name or name in ('.', '..') or Path(name).name != name or (
      '\\' in name or '\0' in name):
    raise UnreadableModel(f'{folder}: {name!r} is not the plain name of a file '
                          'of this folder, and is not opened')
  if not path.is_file():
    raise UnreadableModel(f'{path}: no such file; fetch it, or give the folder '
                          'that has it')
  places, home = [folder.resolve()], folder.resolve().parent
  if home.name == 'snapshots':
    places.append(home.parent / 'blobs')
  if path.resolve().parent not in places:
    raise UnreadableModel(f'{path}: is a link out of the folder, and is not '
                          'followed; copy the file here (cp -rL)')
  return path


@contextlib.contextmanager
def access(path: Path) -> Iterator[None]:
  """Has a path named that cannot be read, or changes while it is.

  Raises:
    UnreadableModel: what reads it said so.
  """
  try:
    yield
  except (OSError, SafetensorError) as error:
    place = getattr(error, 'filename', None) or path
    reason = getattr(error, 'strerror', None) or error
    raise UnreadableModel(f'{place}: cannot be read ({reason}); let it be read '
                          '(chmod), or fetch it again') from None


def small_file(path: Path) -> bytes:
  """All of a file that is small: a config, a vocabulary.

  Raises:
    UnreadableModel: it is not, or cannot be read.
  """
  with access(path), path.open('rb') as file:
    found = file.read(LARGEST + 1)
  if len(found) > LARGEST:
    raise UnreadableModel(f'{path}: more than {LARGEST:,} bytes, which is no '
                          'config and no vocabulary; fetch the file again')
  return found


def json_value(path: Path) -> Any:
  """What a file of JSON says.

  Raises:
    UnreadableModel: it is too large, or no JSON.
  """
  try:
    return json.loads(small_file(path))
  except (ValueError, RecursionError) as error:
    if isinstance(error, ConfigError):
      raise
    raise UnreadableModel(f'{path}: not JSON ({error}); fetch the file '
                          'again') from None


def json_object(path: Path) -> dict[str, Any]:
  """An object that a file of JSON says.

  Raises:
    UnreadableModel: it is too large, no JSON, or no object.
  """
  value = json_value(path)
  if not isinstance(value, dict):
    raise UnreadableModel(f'{path}: a JSON object {{…}} is expected, not '
                          f'{type(value).__name__}; fetch the file again')
  return value


def headers(path: Path) -> dict[str, Tensor]:
  """What a file of safetensors says of its tensors; opening it checks it.

  Raises:
    UnreadableModel: it is cut short, or its header lies.
  """
  with access(path):  # of which safe_open says that it is not there
    path.open('rb').close()
  try:
    with safe_open(path, framework='numpy') as file:
      names = list(file.keys())
      slices = {name: file.get_slice(name) for name in names}
      return {name: Tensor(tuple(part.get_shape()), part.get_dtype())
              for name, part in slices.items()}
  except (SafetensorError, OSError, ValueError, MemoryError) as error:
    raise UnreadableModel(f'{path}: damaged, or no safetensors ({error}); '
                          'fetch the file again') from None

