"""What models are trained on: text, and sources whose structure is known."""

from data.batch import Batch, Instance, Source, StreamedSource
from data.config import DataConfig, InputError

__all__ = ['Batch', 'DataConfig', 'InputError', 'Instance', 'Source',
           'StreamedSource', 'source']


def source(config: DataConfig) -> Source:
  """Opens the data source that `config` names.

  Raises:
    InputError: a field that the source uses has a value it cannot work with,
      or a file cannot be read; the message names it and what would work.
  """
  # Imported here, so that a synthetic source does not need a tokenizer.
  match config.source:
    case 'pointer_chasing':
      from data.sources.pointer_chasing import PointerChasing
      return PointerChasing(config)
    case 'hop_string':
      from data.sources.hop_string import HopString
      return HopString(config)
    case 'tree':
      from data.sources.tree import Tree
      return Tree(config)
    case 'text':
      from data.text import shards
      if shards.is_prepared(config.text_path):
        from data.sources.prepared import PreparedText
        return PreparedText(config)
      from data.sources.text import TextSource
      return TextSource(config)
  raise InputError(f'data.source: {config.source!r} is none of '
                   'pointer_chasing, hop_string, tree, text')
