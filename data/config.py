"""What a model is trained on. Field roles: see `model/config.py`.

One more is known here: `place` says where data lie. A run's identity holds the
source's fingerprint in its stead.
"""

import dataclasses

from data.batch import SourceConfig
from data.sources import SOURCES
from data.sources.text import TextConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """One data source, and how much of it makes a batch."""

  source: SourceConfig = dataclasses.field(
    default=TextConfig(), metadata={'kinds': SOURCES})
  seed: int = dataclasses.field(default=0, metadata={'role': 'traced'})
  batch_size: int = 32
