"""A folder that `transformers` loads, with the same logits.

    config.json, generation_config.json      the model, in their words
    model.safetensors, or shards and index   float32
    tokenizer.json or tokenizer.model, tokenizer_config.json

The family is the one whose table can say what the config computes; nothing is
approximated.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data import durable
from data.text.tokenizer import Tokenizer
from experiments.exchange import destination, folding, shards, vocabulary
from model import count, pretrained
from model.config import ConfigError, ModelConfig
from model.language_model import Params
from model.pretrained import loading
from model.pretrained.checkpoint import INDEX
from model.pretrained.family import Family

FAMILIES = ('llama', 'gpt2', 'neox')  # those that continue texts
SHARD = 5 * 10**9  # bytes, as transformers cuts


class Expression(NamedTuple):
  """A config in the words of a family.

  Attributes:
    family: whose words.
    config: in ours, as the parameters are to be folded for it.
    theirs: `config.json`.
  """

  family: Family
  config: ModelConfig
  theirs: dict[str, Any]


def expressed(config: ModelConfig) -> Expression:
  """The config in the words of the family that has them.

  Raises:
    ConfigError: none has; for each family the field that prevents it.
  """
  refused = []
  for name in FAMILIES:
    try:
      return _of_family(pretrained.FAMILIES[name], folding.simple(config))
    except ConfigError as error:
      refused.append(f'  {name}: {error}')
  raise ConfigError('\n'.join((
    'the model cannot be written for transformers:', *refused)))


def _of_family(family: Family, config: ModelConfig) -> Expression:
  biased = folding.biased(config)
  refused = []
  for form in (config, biased, folding.tabled(biased)):
    try:
      return Expression(family, form, family.theirs(form))
    except ConfigError as error:
      refused.append(error)
  # A position that could be a table is not what prevents it.
  *_, second, last = refused
  raise second if 'model.position' in str(last) else last


def write(expression: Expression, config: ModelConfig, params: Params,
          out: Path, tokenizer: Tokenizer | None = None) -> None:
  """Writes the folder, which is whole or not there.

  Args:
    expression: of the config.
    config: of the parameters.
    params: as `model.init` makes them.
    out: the folder; empty or not there.
    tokenizer: whose ids the model reads, where it reads texts.

  Raises:
    InputError: something is there, or the disk is too small.
  """
  family, target, theirs = expression
  destination.check(out, count.parameters(target).total)
  marks = vocabulary.ids(tokenizer, config.vocab_size)
  folded = folding.fold(config, params, target)
  with durable.folder(out) as folder:
    _weights(folder, loading.unload(family, target, folded))
    for name, content in (vocabulary.files(tokenizer, config.max_length).items()
                          if tokenizer else ()):
      with durable.written(folder / name) as file:
        file.write(content)
    durable.write_json(folder / 'generation_config.json', marks)
    durable.write_json(folder / 'config.json', {
      **theirs, 'torch_dtype': 'float32', **marks})


def _weights(folder: Path, tensors: Iterator[tuple[str, np.ndarray]]) -> None:
  """Writes tensors, those of one shard in memory at a time."""
  files: list[list[str]] = []
  held: dict[str, np.ndarray] = {}
  size = 0

  def finish() -> None:
    shards.save(folder / f'{len(files)}', held, {'format': 'pt'})
    files.append(list(held))
    held.clear()

  for name, tensor in tensors:
    if held and sum(x.nbytes for x in held.values()) + tensor.nbytes > SHARD:
      finish()
    held[name] = tensor
    size += tensor.nbytes
  finish()
  names = (['model.safetensors'] if len(files) == 1 else
           [f'model-{i + 1:05d}-of-{len(files):05d}.safetensors'
            for i in range(len(files))])
  for i, name in enumerate(names):
    (folder / f'{i}').rename(folder / name)
  if len(files) > 1:
    durable.write_json(folder / INDEX, {
      'metadata': {'total_size': size},
      'weight_map': {tensor: name for name, file in zip(names, files)
                     for tensor in file}})
