"""What makes two runs the same run: a hash of everything that shapes them."""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from data.sources.text import TextSource
from train import program
from train.config import Config


def as_dict(config: Config) -> dict[str, Any]:
  """The config as nested plain values."""
  return dataclasses.asdict(config)


@functools.cache
def run_id(config: Config) -> str:
  """Twelve hex digits that name a run.

  Fields that only change how fast the result comes are left out, and so are
  those that the data source does not read; a text is known by its content, not
  by its path.
  """
  whole = dataclasses.replace(config, data=config.data.normalised())
  semantic = {
    part.name: _semantic(getattr(whole, part.name))
    for part in dataclasses.fields(whole)
  }
  source = program.source_of(program.shape(config).data)
  if isinstance(source, TextSource):
    semantic['data']['text_path'] = source.fingerprint
  return digest(semantic)


def digest(value: Any) -> str:
  """Twelve hex digits of a value that JSON can hold."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _semantic(part: Any) -> dict[str, Any]:
  return {f.name: getattr(part, f.name) for f in dataclasses.fields(part)
          if f.metadata.get('role') != 'execution'}
