"""A pretrained model, whatever form it has on disk."""

import abc
import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

from jax.sharding import Mesh

from data.text import tokenizer as tokenizers
from data.text.tokenizer import Tokenizer
from model.config import ModelConfig

Params = dict[str, Any]
Form = Literal['hugging face', 'gguf', 'imported']
Pooling = Literal['', 'mean', 'cls']


@dataclasses.dataclass(frozen=True)
class Opened(abc.ABC):
  """What is known of a pretrained model before its parameters are read.

  Attributes:
    path: its file or folder.
    form: of that.
    family: name of the table that reads it (`model.pretrained.FAMILIES`).
    config: the model, its layers looped and never unrolled.
    stored: the dtypes that its tensors have on disk, in words.
    tokenizer_file: its vocabulary, as the name and the bytes of a file.
    pooling: how a sentence encoder makes one vector of many; '' for others.
    normalized: whether that vector gets length 1.
  """

  path: Path
  form: Form
  family: str
  config: ModelConfig
  stored: str
  tokenizer_file: tuple[str, bytes] | None = None
  pooling: Pooling = ''
  normalized: bool = False

  @functools.cached_property
  def tokenizer(self) -> Tokenizer | None:
    """Its tokenizer; None where it brings none."""
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
      mesh: the devices; the default device when not given.

    Raises:
      UnreadableModel: a tensor is damaged.
    """
