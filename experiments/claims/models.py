"""Where claims on real models find them: what `make models` has linked."""

from collections.abc import Callable
from pathlib import Path

from experiments.machine.process import ROOT

FOLDER = 'models'
SMOLLM2 = 'smollm2.gguf'
MINILM = 'minilm'
WORDS = 'words'  # similarity of words, as people judge it


def find(name: str) -> Path | None:
  """The path of one; in `models/` where one stands, else in the checkout's."""
  places = (Path(FOLDER) / name, ROOT / FOLDER / name)
  return next((place for place in places if place.exists()), None)


def path(name: str) -> str:
  """The same of one that is there, as tasks take it.

  Raises:
    FileNotFoundError: it is not; a part that `needs` it never asks.
  """
  found = find(name)
  if found is None:
    raise FileNotFoundError(f'{FOLDER}/{name}')
  return str(found)


def needed(*names: str) -> Callable[[str], str]:
  """For `Part.needs`: why a part cannot be run here, or ''."""

  def absent(preset: str) -> str:
    del preset
    missing = [f'no {FOLDER}/{name}' for name in names if find(name) is None]
    return (f'there is {" and ".join(missing)}; run make models'
            if missing else '')

  return absent
