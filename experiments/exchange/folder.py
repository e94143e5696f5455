"""The imported folder: a pretrained model as our own stacked parameters.

    fathom.json                      config, where it came from, all hashes
    parameters-00001.safetensors     float32, about 1 GiB each
    tokenizer.json, tokenizer.model  its vocabulary, where it has one
    parity.json                      what a comparison gave, where one was made
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from data import durable
from experiments.exchange import destination, shards
from experiments.exchange.original import Original
from experiments.exchange.pretrained import Opened, shardings
from experiments.exchange.sentences import Pooling
from experiments.exchange.shards import Piece, Pieces
from model import count, pretrained
from model.config import ConfigError, ModelConfig
from model.language_model import Params
from model.pretrained import loading
from model.pretrained.checkpoint import (
  UnreadableModel,
  inside,
  json_object,
  small_file,
)
from train import serialization

RECORD = 'fathom.json'
PARITY = 'parity.json'
SCHEMA = 1
AGAIN = 'copy the folder again, or import the model into another one'


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Imported(Opened):
  """A model that `fathom import` wrote.

  Attributes:
    source: what its file or folder was called.
    recorded: its fingerprint.
    tensors: the sha256 of every tensor of theirs, under its family's name.
    pieces: what each parameter is made of, by its path.
  """

  source: str
  recorded: str
  tensors: Mapping[str, str]
  pieces: Pieces

  @property
  def fingerprint(self) -> str:
    """As it was when the folder was written."""
    return self.recorded

  def params(self, mesh: Mesh | None = None) -> Params:
    """Reads its parameters; the first time, each is held to its hash."""
    self._verified  # noqa: B018
    return loading.place(
      shards.parameters(self.path, self.pieces),
      shardings(pretrained.FAMILIES[self.family], self.config, mesh))

  @functools.cached_property
  def _verified(self) -> None:
    with _mended():
      shards.verify(self.path, self.pieces)


def read(folder: Path) -> Imported:
  """Opens an imported folder; names and shapes are checked, no value is read.

  Raises:
    UnreadableModel: naming the file, and the fix.
  """
  place = folder / RECORD
  try:
    return _imported(folder, place, recorded(folder))
  except UnreadableModel:
    raise
  except ConfigError as error:
    text = str(error)
    raise UnreadableModel(text if text.startswith(str(place)) else
                          f'{place}: {text}; {AGAIN}') from None
  except (KeyError, TypeError, AttributeError, IndexError) as error:
    raise UnreadableModel(f'{place}: is not what Fathom writes ({error!r}); '
                          f'{AGAIN}') from None


def _imported(folder: Path, place: Path, record: dict[str, Any]) -> Imported:
  if record['pooling'] not in typing.get_args(Pooling) or not all(
      isinstance(record[name], str)
      for name in ('source', 'stored', 'fingerprint')) or (
        type(record['longest']) is not int):
    raise TypeError('pooling, source, stored, fingerprint or longest')
  family = pretrained.FAMILIES.get(record['family'])
  if family is None:
    raise UnreadableModel(f'{place}: family {record["family"]!r} is none of '
                          f'{", ".join(pretrained.FAMILIES)}; use the version '
                          'of Fathom that wrote it')
  config = serialization.from_dict(ModelConfig, record['config'],
                                   f'{place}: config.')
  config.validate()
  pieces = {path: tuple(Piece(**{**piece, 'shape': tuple(piece['shape'])})
                        for piece in own)
            for path, own in record['parameters'].items()}
  with _mended():
    shards.check(folder, pieces, loading.shapes(family, config))
  return Imported(
    path=folder, form='imported', family=family.name, config=config,
    stored=record['stored'], pooling=record['pooling'],
    normalized=record['normalized'], longest=record['longest'],
    source=record['source'], recorded=record['fingerprint'],
    tensors=record['tensors'], pieces=pieces,
    tokenizer_file=_vocabulary(folder, record['tokenizer']))


def recorded(folder: Path) -> dict[str, Any]:
  """What `fathom.json` says.

  Raises:
    UnreadableModel: it is not as it was written, or of another version.
  """
  path = inside(folder, RECORD)
  record = json_object(path)
  if record.get('schema') != SCHEMA:
    raise UnreadableModel(f'{path}: schema {record.get("schema")!r} is of '
                          f'another version of Fathom; {AGAIN}')
  if record.pop('checksum', None) != _checksum(record):
    raise UnreadableModel(f'{path}: is not what was written; {AGAIN}')
  return record


def write(model: Original, out: Path,
          tell: Callable[[float], None] = lambda _: None) -> Imported:
  """Imports a model into a folder, which is whole or not there.

  Args:
    model: what others wrote.
    out: the folder, which is not there yet, or is empty.
    tell: told of the share of it that is written.

  Raises:
    InputError: the folder is there, or the disk is too small.
  """
  out = out.resolve()  # the folder where one stands is replaced by another
  numbers = count.parameters(model.config).total
  destination.check(out, numbers)
  with durable.folder(out) as folder:
    pieces = shards.write(
      folder, loading.parameters(model.contents),
      lambda done: tell(done / numbers))
    vocabulary = None
    if model.tokenizer_file:
      name, content = model.tokenizer_file
      with durable.written(folder / name) as file:
        file.write(content)
      vocabulary = {'file': name, 'sha256': _sha256(content)}
    record = json.loads(json.dumps({  # as it will be read
      'schema': SCHEMA, 'source': model.path.resolve().name,
      'form': model.form, 'family': model.family, 'stored': model.stored,
      'config': serialization.as_dict(model.config),
      'fingerprint': model.fingerprint, 'tensors': dict(model.tensors),
      'parameters': {path: [dataclasses.asdict(piece) for piece in own]
                     for path, own in pieces.items()},
      'tokenizer': vocabulary, 'pooling': model.pooling,
      'normalized': model.normalized, 'longest': model.longest}))
    durable.write_json(folder / RECORD, {**record,
                                         'checksum': _checksum(record)})
  return read(out)


def twins(model: Imported) -> list[str]:
  """What is odd about the imported folders beside one, in sentences.

  Two models of a series that are the same bytes, or nearly, are one model to
  whoever compares them.
  """
  said = []
  own = set(model.tensors.items())
  for path in sorted(model.path.absolute().parent.glob(f'*/{RECORD}')):
    if path.parent.name == model.path.name:
      continue
    try:
      other = recorded(path.parent)
    except UnreadableModel:
      continue
    same = len(own & set(other['tensors'].items()))
    if other['fingerprint'] == model.fingerprint:
      said.append(f'{path.parent} is the same model: its config and all of its '
                  'tensors are these')
    elif same > len(own) / 2:
      said.append(f'{path.parent} shares {same} of the {len(own)} tensors')
  return said


@contextlib.contextmanager
def _mended() -> Iterator[None]:
  """Has what is wrong with a folder say what to do."""
  try:
    yield
  except UnreadableModel as error:
    raise UnreadableModel(f'{error}; {AGAIN}') from None


def _vocabulary(folder: Path,
                said: Mapping[str, str] | None) -> tuple[str, bytes] | None:
  if said is None:
    return None
  path = inside(folder, said['file'])
  model = small_file(path)
  if _sha256(model) != said['sha256']:
    raise UnreadableModel(f'{path}: is not what was written; {AGAIN}')
  return path.name, model


def _checksum(record: Mapping[str, Any]) -> str:
  return _sha256(json.dumps(record, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()
