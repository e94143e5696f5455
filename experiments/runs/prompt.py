"""What a model is given to read: texts or ids, as rows of ids that it knows."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.text.tokenizer import Tokenizer
from experiments.machine.usage import UsageError
from model import ModelConfig

# A text or its ids, and several of either.
Text = str | Sequence[int] | np.ndarray
Texts = Text | Sequence[Text]

_HALVES = re.compile('[\ud800-\udfff]')  # of pairs that UTF-16 has

NEITHER = 'text: {!r} is neither a text nor a list of ids (whole numbers)'


class Prompts:
  """What turns texts into ids, and refuses what a model cannot read."""

  def __init__(self, config: ModelConfig, tokenizer: Tokenizer | None,
               name: str, ids_only: str):
    """Says for which model.

    Args:
      config: the model's.
      tokenizer: None where it reads ids alone.
      name: of the model, for messages.
      ids_only: why there is no tokenizer.
    """
    self._config, self._tokenizer, self._name = config, tokenizer, name
    self._ids_only = ids_only

  def tokenize(self, text: str) -> np.ndarray:
    """Ids of a text, int32, with marks; raises UsageError where it has none."""
    if self._tokenizer is None:
      raise UsageError(f'{self._name} reads ids alone: {self._ids_only}; '
                       'give a list of ids instead of a text')
    if not isinstance(text, str) or _HALVES.search(text):
      raise UsageError(f'text: {text!r} is no text in Unicode; give a str '
                       'without halves of characters (surrogates)')
    return self._tokenizer.ids(text)

  def token(self, index: int) -> str:
    """How an id is shown."""
    return self._tokenizer.token(index) if self._tokenizer else str(index)

  def rows(self, text: Texts,
           open_empty: bool = False) -> tuple[list[list[int]], bool]:
    """The ids of each text, and whether one was given on its own.

    Args:
      text: a text, its ids, or a list of either.
      open_empty: whether an empty text stands for the mark that opens a
        document.

    Raises:
      UsageError: it is none of these, or the model does not know such ids or
        so many.
    """
    given: Any = text
    if not hasattr(given, '__getitem__') or isinstance(given, Mapping):
      raise UsageError(NEITHER.format(given))
    single = isinstance(given, str) or (
      len(given) > 0 and not isinstance(given[0], str | list | tuple)
      and np.ndim(given[0]) == 0)
    rows = [self._ids(each) for each in ([given] if single else given)]
    if not rows:
      raise UsageError('text: the list is empty; give a text, or ids')
    if open_empty and self._tokenizer and (
        self._tokenizer.separator < self._config.vocab_size):
      rows = [row or [self._tokenizer.separator] for row in rows]
    for row in rows:
      self._check(row)
    return rows, single

  def _ids(self, text: Text) -> list[int]:
    if isinstance(text, str):
      return [int(i) for i in self.tokenize(text)]
    try:
      ids = np.asarray(text)
    except ValueError:  # lists of unequal lengths
      raise UsageError(NEITHER.format(text)) from None
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in 'iu'):
      raise UsageError(NEITHER.format(text))
    return [int(i) for i in ids]

  def _check(self, row: Sequence[int]) -> None:
    size, longest = self._config.vocab_size, self._config.max_length
    if not row:
      raise UsageError('text: nothing to read; give at least one token')
    if outside := [i for i in row if not 0 <= i < size]:
      raise UsageError(f'text: {outside[0]} is no id of {self._name}, which '
                       f'knows 0 to {size - 1}')
    if longest and len(row) > longest:
      raise UsageError(f'text: {len(row)} tokens, and {self._name} reads '
                       f'{longest} (model.max_length); give a shorter one')
