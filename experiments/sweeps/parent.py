"""What a run takes from a pretrained model that it starts from."""

import dataclasses
from collections.abc import Mapping

from data.sources.text import TextConfig
from data.text import shards
from experiments.exchange.opening import Opened, opened
from experiments.machine.usage import UsageError
from experiments.sweeps import flags, overrides
from experiments.sweeps.task import Pretrained, Train
from model.config import ConfigError
from train import programs
from train.config import Config

TOKENIZER = 'data.source.tokenizer'
# May differ from the parent's: how large a vocabulary grows (new rows start
# random), how long the texts are, what is computed in, and what only says how
# random parameters start.
FREE = ('model.vocab_size', 'model.max_length', 'model.dtype',
        'model.init_scale', 'model.base_layers', 'model.base_width')


def adopted(config: Config, path: str) -> Config:
  """A config with the model of a pretrained one.

  How fast it is computed stays as the config says, and in which dtype. Its
  steps are long, and the first losses tell whether the rate is too high, so
  each step is told of.
  """
  own = config.model
  return dataclasses.replace(
    config, model=dataclasses.replace(
      opened(path).config, unroll=own.unroll, remat=own.remat,
      dtype=own.dtype),
    train=dataclasses.replace(config.train, chunk_steps=1))


def tokens(config: Config, texts: Mapping[str, str],
           path: str) -> dict[str, str]:
  """What was typed, and the parent's tokenizer where it says of none.

  Args:
    config: with the parent's model.
    texts: overrides, as typed.
    path: of the parent.

  Raises:
    UsageError: the parent's tokenizer lies in no file of its own.
  """
  values = overrides.parse(config, texts)
  source = overrides.replace(config, values).data.source
  if (not isinstance(source, TextConfig) or TOKENIZER in values
      or shards.is_prepared(source.text_path)):  # brings its own
    return dict(texts)
  return {**texts, TOKENIZER: _tokenizer(opened(path))}


def _tokenizer(parent: Opened) -> str:
  """The path of its file."""
  if parent.tokenizer_file is None:
    raise UsageError(
      f'{parent.path} has no tokenizer of its own; name one with '
      f'{flags.PREFIX}{TOKENIZER}=FILE')
  file = parent.path / parent.tokenizer_file[0]
  if not file.is_file():
    raise UsageError(
      f'{parent.path}: its tokenizer lies in no file of its own; import it '
      f'(fathom import {parent.path} --out=DIR) and start from DIR')
  return str(file.absolute())  # the run may be read from another folder


def check(task: Train) -> None:
  """Refuses a run that would read a pretrained model's parameters as another's.

  Raises:
    ConfigError: its model computes something else than the parent's, or its
      texts do not fit into it; the message names the field.
  """
  if not isinstance(task.start, Pretrained):
    return
  own, parent = task.config.model, opened(task.start.path).config
  theirs = dict(overrides.semantic(parent, 'model.'))
  for path, value in overrides.semantic(own, 'model.'):
    if path not in FREE and value != theirs.get(path):
      raise ConfigError(
        f'{path}: {value} here, and {theirs.get(path, "absent")} in '
        f'{task.start.path}, from which this run is to start; leave the model '
        'to it')
  source = programs.source_of(task.config)
  if source.vocab_size > own.vocab_size:
    raise ConfigError(
      f'model.vocab_size: {own.vocab_size} tokens, and data.source has '
      f'{source.vocab_size}; set it to as many (new rows start random), or '
      "use the parent's tokenizer")
  if parent.max_length and source.length > parent.max_length:
    raise ConfigError(
      f'data.source.length: {source.length} positions, and '
      f'{task.start.path} knows {parent.max_length}; use as many or fewer')
