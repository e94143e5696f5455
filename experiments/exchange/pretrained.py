"""A pretrained model, whatever form it has on disk."""

import abc
import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict
from jax.sharding import Mesh

from data.text import tokenizer as tokenizers
from data.text.tokenizer import Tokenizer
from experiments.exchange.sentences import Pooling
from model.config import ModelConfig
from model.language_model import Params
from model.pretrained import loading
from model.pretrained.family import Family
from train import placement

Form = Literal['hugging face', 'gguf', 'imported']


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Opened(abc.ABC):
  """What is known of a pretrained model before its parameters are read.

  Attributes:
    path: its file or folder.
    form: of that.
    family: name of the table that reads it (`model.pretrained.FAMILIES`).
    config: the model, its layers looped and never unrolled.
    stored: the dtypes that its tensors had where they come from, in words.
    tokenizer_file: its vocabulary, as the name and the bytes of a file.
    unknown_vocabulary: why the one that it has cannot be told; ids are read all
      the same.
    pooling: how a sentence encoder makes one vector of many; '' for others.
    normalized: whether that vector gets length 1.
    longest: tokens of a text that it is made of at most; 0: all that the model
      reads.
  """

  path: Path
  form: Form
  family: str
  config: ModelConfig
  stored: str
  tokenizer_file: tuple[str, bytes] | None = None
  unknown_vocabulary: str = ''
  pooling: Pooling = ''
  normalized: bool = False
  longest: int = 0

  @functools.cached_property
  def tokenizer(self) -> Tokenizer | None:
    """Its tokenizer; None where it brings none.

    Raises:
      InputError: its file is damaged, or needs a package.
    """
    if self.tokenizer_file is None:
      return None
    name, content = self.tokenizer_file
    return tokenizers.opened(content, f'{self.path}/{name}')

  @property
  @abc.abstractmethod
  def fingerprint(self) -> str:
    """Names its content, config and tensors, in whatever form it lies there."""

  @abc.abstractmethod
  def params(self, mesh: Mesh | None = None) -> Params:
    """Reads its parameters, each device its own share.

    Args:
      mesh: the devices; the first one when not given.

    Raises:
      UnreadableModel: a tensor is damaged.
    """


def shardings(family: Family, config: ModelConfig, mesh: Mesh | None) -> Any:
  """Where the parameters of a model belong; None without a mesh."""
  if mesh is None:
    return None
  return placement.parameter_shardings(unflatten_dict({
    path: jax.ShapeDtypeStruct(shape, jnp.float32)
    for path, shape in loading.shapes(family, config).items()}, sep='/'), mesh)
