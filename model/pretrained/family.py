"""What a family of models is: a table, and its config in both directions."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from model.config import ModelConfig
from model.pretrained.table import Entry


@dataclasses.dataclass(frozen=True)
class Family:
  """Models that one table reads; what differs between them is config.

  Attributes:
    name: what we call it.
    model_types: what Hugging Face calls its kinds in `model_type`.
    config: their config in our words. Raises UnreadableModel naming the key
      that is wrong or that we cannot express.
    theirs: our config in their words, `model_type` included. Raises
      ConfigError naming the field that prevents it.
    table: the entries of a config.
    ignored: regular expressions, matched from the start, of keys of theirs that
      carry nothing of ours.
    spellings: pairs of a regular expression and what it is replaced by, which
      make other spellings of their keys the table's: those of older files, of
      files without a head.
    copies: keys that may repeat another tensor of theirs, and must then be
      equal to it: {'lm_head.weight': 'model.embed_tokens.weight'}.
  """

  name: str
  model_types: tuple[str, ...]
  config: Callable[[Mapping[str, Any]], ModelConfig]
  theirs: Callable[[ModelConfig], dict[str, Any]]
  table: Callable[[ModelConfig], tuple[Entry, ...]]
  ignored: tuple[str, ...] = ()
  spellings: tuple[tuple[str, str], ...] = ()
  copies: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def spelled(self, name: str) -> str:
    """One of their keys as the table spells it."""
    for pattern, replacement in self.spellings:
      name = re.sub(pattern, replacement, name)
    return name

  def ignores(self, name: str) -> bool:
    """Whether a key, as the table spells it, carries nothing of ours."""
    return any(re.match(pattern, name) for pattern in self.ignored)
