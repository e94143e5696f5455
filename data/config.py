"""What a model is trained on. Field roles: see `model/config.py`.

One more is known here: `place` says where data lie. A run's identity holds the
source's fingerprint in its stead.
"""

import dataclasses
import functools

from data.batch import Source, SourceConfig
from data.sources import SOURCES
from data.sources.mixture import check_same_tokens, unique
from data.sources.text import TextConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """One data source, and how much of it makes a batch."""

  source: SourceConfig = dataclasses.field(
    default=TextConfig(), metadata={'kinds': SOURCES})
  seed: int = dataclasses.field(default=0, metadata={'role': 'traced'})
  batch_size: int = 32
  evaluate: tuple[SourceConfig, ...] = ()  # scored beside `source`


@functools.lru_cache
def opened(config: SourceConfig) -> Source:
  """A source, opened once for all that ask for the same.

  Raises:
    InputError: as `SourceConfig.open`.
  """
  return config.open()


def evaluation_sources(config: DataConfig) -> tuple[tuple[str, Source], ...]:
  """What a run is scored on beside its own source: names, all different.

  Raises:
    InputError: a source that cannot be opened, or whose ids stand for
      other bytes than those that the run is trained on.
  """
  names = unique(source.name for source in config.evaluate)
  named = {name: opened(source)
           for name, source in zip(names, config.evaluate)}
  if named:
    check_same_tokens('data.evaluate',
                      {'data.source': opened(config.source), **named})
  return tuple(named.items())
