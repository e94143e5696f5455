"""What models are trained on: text, and sources whose structure is known."""

from data.batch import (
  Batch,
  Instance,
  Source,
  SourceConfig,
  StreamedSource,
  writes,
)
from data.config import DataConfig, evaluation_sources, opened
from data.errors import InputError
from data.sources import SOURCES

__all__ = ['SOURCES', 'Batch', 'DataConfig', 'InputError', 'Instance',
           'Source', 'SourceConfig', 'StreamedSource', 'evaluation_sources',
           'opened', 'writes']
