"""What a lens was fitted to be, kept beside its model."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from data import durable
from experiments.instruments.instrument import Given
from experiments.instruments.passages import Passages
from experiments.runs import digest

Arrays = Mapping[str, np.ndarray]
Fit = Callable[[Given, Passages], Arrays]
KEY = 'fitted_on'
CONTENT = 'sha256'


def kept(given: Given, name: str, calibration: Passages, fit: Fit) -> Arrays:
  """What `fit` gives, read from the model's folder if it was fitted before.

  The file says of which model it is, and what it was fitted on: the digests of
  the passages and of the code that fits. Where one is another, or the file is
  damaged, it is fitted again and written anew.

  Args:
    given: its folder, where there is one, is of this model alone.
    name: of the file, without its ending.
    calibration: what is fitted on.
    fit: to arrays by name.
  """
  if given.folder is None:
    return fit(given, calibration)
  path = given.folder / f'{name}.safetensors'
  key = _key(given.folder, calibration, fit)
  if _fitted_on(path) == key and (known := _read(path)) is not None:
    return known
  found = {own: np.array(x, order='C')
           for own, x in fit(given, calibration).items()}
  given.folder.mkdir(parents=True, exist_ok=True)
  with durable.written(path) as out:
    out.write(save(found, {KEY: key, CONTENT: _sha256(found)}))
  return found


def is_kept(given: Given, name: str, calibration: Passages, fit: Fit) -> bool:
  """Whether `kept` would only read it."""
  folder = given.folder
  return folder is not None and _key(folder, calibration, fit) == _fitted_on(
    folder / f'{name}.safetensors')


def _key(folder: Path, calibration: Passages, fit: Fit) -> str:
  # Two names of the path: a model's baseline has a folder in the model's.
  return json.dumps({'model': folder.parts[-2:],
                     'calibration': content(calibration),
                     'code': digest.digest(fit)}, sort_keys=True)


def _fitted_on(path: Path) -> str | None:
  """What a file says that it was fitted on; None where it cannot be read."""
  try:
    with safe_open(path, 'numpy') as file:
      return (file.metadata() or {}).get(KEY)
  except (OSError, SafetensorError):
    return None


def _read(path: Path) -> Arrays | None:
  """What was fitted; None where it is not what was written."""
  with safe_open(path, 'numpy') as file:
    names = file.keys()
    found = {own: file.get_tensor(own) for own in names}
    return found if file.metadata().get(CONTENT) == _sha256(found) else None


def content(passages: Passages) -> str:
  """The sha256 of passages."""
  return _sha256(passages._asdict())


def _sha256(arrays: Arrays) -> str:
  found = hashlib.sha256()
  for name, x in sorted(arrays.items()):
    found.update(f'{name} {x.dtype} {x.shape} '.encode())
    found.update(np.ascontiguousarray(x).tobytes())
  return found.hexdigest()
