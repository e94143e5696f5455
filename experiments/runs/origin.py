"""Where a model is loaded from: a run of ours, or what others have trained."""

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

import data
from data.errors import InputError
from data.sources.text import TextConfig, vocabulary
from data.text.tokenizer import Tokenizer, opened
from experiments.exchange import folder, opening
from experiments.exchange.opening import Opened
from experiments.machine import usage
from experiments.machine.usage import UsageError
from experiments.runs.loaded import Model
from experiments.runs.store import Store
from experiments.runs.subject import Subject
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Train
from model import ModelConfig
from model.language_model import Params
from model.pretrained.checkpoint import (
  UnreadableModel,
  access,
  inside,
  json_object,
)
from train import (
  Config,
  MeshConfig,
  initial,
  placement,
  programs,
  saved,
  serialization,
)

WHAT = ("a run's folder (RUNS/trained/ID) or its id, a folder that `fathom "
        'import` wrote, a Hugging Face folder, or a .gguf file')


class _Folder(Store):
  """One run's folder, wherever it lies."""

  def run(self, run_id: str) -> Path:
    """The folder itself."""
    return self.root


def load(path: str | Path, runs: str | Path = 'runs',
         mesh: Mapping[str, int] | None = None) -> Model:
  """Opens a model.

  Args:
    path: of a run's folder, or the run's id; an imported folder; a Hugging Face
      folder; a .gguf file.
    runs: the folder in which an id is looked for.
    mesh: devices along each axis; one device when not given.

  Raises:
    UsageError: it is none of these, a run that is not finished, or no such
      axis.
    InputError, ConfigError: it is damaged.
  """
  place = _place(path, runs)
  with access(place):
    return _load(path, place, mesh)


def exists(path: str | Path, runs: str | Path = 'runs') -> bool:
  """Whether anything is where `load` would look, or should be: an id."""
  place = _place(path, runs)
  return place.exists() or place != Path(os.path.expanduser(path))


def subject(path: str | Path, runs: str | Path = 'runs') -> Subject | None:
  """A finished run of ours with its own data; None where it is no run.

  Args:
    path: of its folder, or its id.
    runs: the folder in which an id is looked for.

  Raises:
    UsageError: it is not finished, or its data cannot be made again from its
      folder alone.
    InputError, ConfigError: it is damaged.
  """
  place = _place(path, runs)
  with access(place):
    if not place.exists() or not (run := _run(place)):
      return None
    store, result = _finished(place, run)
    values = result['config']
    config = serialization.from_dict(
      Config, {**values, 'data': {**values['data'], 'evaluate': []}})
    if data.writes(programs.source_of(config)):
      raise UsageError(f'{place}: its parent wrote what it read; give other '
                       'text with --text')
    task = Train(config)
    # Else it started from another run, and does not say from which.
    known = run_id(task) == run
    return Subject(run, task, params=lambda: _params(store, run, result),
                   initial=(lambda: initial(config)) if known else None)


def _place(path: str | Path, runs: str | Path) -> Path:
  """Where something is: a path, or that of a run by its id."""
  place = Path(os.path.expanduser(path))
  if not place.exists() and re.fullmatch('[0-9a-f]{12}', str(path)):
    return Path(os.path.expanduser(runs)) / 'trained' / str(path)
  return place


def _finished(place: Path, run: str) -> tuple[Store, dict[str, Any]]:
  """A run's store and result.

  Raises:
    UsageError: there are no parameters, and why.
  """
  store = _Folder(place)
  result = store.result(run)
  if result is None:
    raise UsageError(f'{place}: run {run} is not finished; go on with the '
                     'command that began it')
  if result['status'] == 'diverged':
    raise UsageError(f'{place}: run {run} diverged, so it has no parameters')
  return store, result


def _load(path: str | Path, place: Path,
          mesh: Mapping[str, int] | None) -> Model:
  if place != Path(os.path.expanduser(path)) and not place.exists():
    raise UsageError(f'{path}: no such run in {place.parent}; name another '
                     'folder of results with runs (--runs)')
  if not place.exists():
    raise UsageError(f'{place}: nothing is there; give {WHAT}')
  devices = _mesh(mesh) if mesh else None
  if run := _run(place):
    return _trained(place, run, devices)
  if place.is_dir() and not any(
      any(place.glob(name))
      for name in (folder.RECORD, 'config.json', '*.safetensors')):
    raise UsageError(f'{place} is no model; give {WHAT}')
  return _pretrained(opening.opened(place), devices)


def _mesh(axes: Mapping[str, int]) -> Mesh:
  sizes = dict.fromkeys(('data', 'fsdp', 'tensor'), 1)
  if not isinstance(axes, Mapping) or not all(
      isinstance(size, int) for size in axes.values()):
    raise UsageError(f'mesh: {axes!r} is no number of devices along each axis; '
                     "give a dict such as {'fsdp': 4}")
  for axis in map(str, axes):
    usage.choose('mesh: axis', axis, list(sizes))
  sizes.update(axes)
  return placement.make_mesh(MeshConfig(
    1, sizes['data'], sizes['fsdp'], sizes['tensor']))


def _run(place: Path) -> str:
  """The id of the run whose folder this is; '' where it is none."""
  for name in ('result.json', 'config.json'):
    with contextlib.suppress(UnreadableModel, KeyError):
      return str(json_object(inside(place, name))['run'])
  return ''


def _pretrained(source: Opened, mesh: Mesh | None) -> Model:
  try:
    tokenizer = source.tokenizer
    why = source.unknown_vocabulary or 'it has no file of a tokenizer'
  except InputError as error:
    tokenizer, why = None, f'its tokenizer cannot be opened ({error})'
  return Model(source.config, source.params(mesh), tokenizer, source.path.name,
               source.pooling, source.normalized, source.longest, source.stored,
               why, mesh, lambda: source.fingerprint)


def _trained(place: Path, run: str, mesh: Mesh | None) -> Model:
  store, result = _finished(place, run)
  values = result['config']
  config = serialization.from_dict(
    ModelConfig, {**values['model'], 'unroll': 1}, 'model.')
  tokenizer, why = _tokenizer(place, values['data']['source'], result)
  params = _params(store, run, result)
  if mesh:
    params = jax.device_put(params, placement.parameter_shardings(params, mesh))
  return Model(config, params, tokenizer, f'run {run}', ids_only=why,
               mesh=mesh, content=lambda: run)


def _params(store: Store, run: str, result: dict[str, Any]) -> Params:
  if result['parameters'] is not None:
    return store.params(run)
  # Too large for one file: they lie in the checkpoints. What else it was
  # evaluated on has no part in them.
  values = result['config']
  config = serialization.from_dict(
    Config, {**values, 'data': {**values['data'], 'evaluate': []}})
  large: Params = saved(config, store.run(run))
  return large


def _tokenizer(place: Path, source: Any, result: dict[str, Any]
               ) -> tuple[Tokenizer | None, str]:
  """What a run's ids stand for, or why that is not known."""
  for file in (place / 'tokenizer.json', place / 'tokenizer.model'):
    content = file.read_bytes() if file.is_file() else b''
    if hashlib.sha256(content).hexdigest() == result.get('tokenizer'):
      return opened(content, str(file)), ''
  text = _text(source)
  if text is None:
    return None, f'it was trained on {source["kind"]}, which is no text'
  try:
    found = vocabulary(text)
  except InputError as error:
    return None, f'its tokenizer cannot be made again ({error})'
  if result.get('tokenizer', found.name) != found.name:
    return None, (f'its tokenizer cannot be made again, since {text.name} is '
                  'not what it was')
  return found, ''


def _text(source: Any) -> TextConfig | None:
  """The text that a source reads, or has mixed in; None where there is none."""
  if isinstance(source, dict):
    if source.get('kind') == 'text':
      held = {name: value for name, value in source.items() if name != 'kind'}
      found: TextConfig = serialization.from_dict(TextConfig, held)
      return found
    source = list(source.values())
  inner = map(_text, source if isinstance(source, list) else ())
  return next((text for text in inner if text), None)
