"""Opens a pretrained model, whatever lies there."""

import functools
import os
from pathlib import Path

from experiments.exchange import folder, original
from experiments.exchange.pretrained import Opened
from model.pretrained.checkpoint import UnreadableModel, access

__all__ = ['Opened', 'opened']


def opened(path: str | Path) -> Opened:
  """A model in a Hugging Face folder, a `.gguf` file or an imported folder.

  What is read of it is kept for as long as its files stay as they are.

  Raises:
    UnreadableModel: naming the file, field or tensor, and the fix.
  """
  place = Path(os.path.expanduser(path))
  with access(place):
    if place.is_dir():
      files = sorted(each for each in place.iterdir() if each.is_file())
    elif place.is_file():
      files = [place]
    else:
      raise UnreadableModel(
        f'{place}: no such file or folder; name a folder with config.json and '
        '*.safetensors, or a .gguf file')
    state = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns)
                  for file in files)
    return _opened(place, state)


@functools.lru_cache(maxsize=8)
def _opened(path: Path, state: tuple[tuple[str, int, int], ...]) -> Opened:
  names = {name for name, _, _ in state}
  if path.is_file():
    return original.from_gguf(path)
  if folder.RECORD in names:
    return folder.read(path)
  return original.from_folder(path)
