"""Text as a data source: windows of a token stream, scored in bits per byte."""

import dataclasses
import math
from collections.abc import Mapping, Sized
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, batch_key
from data.errors import InputError
from data.text import corpus
from data.text.tokenizer import Tokenizer, tokenizer


@dataclasses.dataclass(frozen=True)
class TextConfig:
  """A text, and how it is cut."""

  causal: ClassVar[bool] = True

  length: int = 64  # T
  # file or folder; '': embedded prose. A folder that `fathom data prepare`
  # wrote brings its tokenizer and split: the next three are not read then
  text_path: str = dataclasses.field(default='', metadata={'role': 'place'})
  # bytes, unigram, bpe, or the path of a .model or tokenizer.json
  tokenizer: str = dataclasses.field(
    default='bytes', metadata={'role': 'place'})
  vocab_size: int = 512  # of a tokenizer trained here
  held_out: float = 0.1  # share of documents

  @property
  def name(self) -> str:
    """The path of the text."""
    return self.text_path or 'embedded prose'

  def open(self) -> 'TextSource':
    """Reads the text, or opens the prepared corpus that `text_path` names.

    Raises:
      InputError: text or a tokenizer that cannot be used, or a split that is
        shorter than one window.
    """
    # Imported here: a prepared text is a text.
    from data.sources.prepared import PreparedText
    from data.text import shards
    prepared = shards.is_prepared(self.text_path)
    return PreparedText(self) if prepared else TextSource(self)


class TextSource:
  """A corpus, tokenized, with some documents held out.

  The tokens of each split lie in one stream, every document after a
  separator. The separator that opens the stream is the one token that is
  never a target, so all bytes of the held-out documents are scored, and they
  are the same bytes for every tokenizer.

  Attributes: see `data.batch.Source`, and
    tokenizer: text to ids and back.
    fingerprint: what the manifest keeps: sha256, documents and bytes of the
      corpus, and the tokenizer ('bytes', or the sha256 of its model).
  """

  groups: tuple[str, ...] = ('all',)
  streams = False

  def __init__(self, config: TextConfig):
    """Reads, splits and tokenizes the corpus.

    Args:
      config: `text_path`, `held_out`, `tokenizer`, `vocab_size` and `length`.

    Raises:
      InputError: text or a tokenizer that cannot be used, or a split that is
        shorter than one window.
    """
    documents = corpus.read(config.text_path)
    train, validation = corpus.split(documents, config.held_out)
    self.length = config.length
    self.tokenizer: Tokenizer = tokenizer(
      config.tokenizer, config.vocab_size, train)
    self.vocab_size = self.tokenizer.vocab_size
    self.bytes_V: np.ndarray | None = self.tokenizer.bytes_V
    self.fingerprint: Mapping[str, Any] = {
      **corpus.fingerprint(documents), 'tokenizer': self.tokenizer.name}
    self._streams: Mapping[str, Any] = {
      'train': _stream(self.tokenizer, train),
      'validation': _stream(self.tokenizer, validation)}
    check_lengths(config.length, self._streams)

  def instance(self, seed: int) -> Instance:
    """The token stream of each split, uint16 where V fits, else int32.

    The same arrays for every seed.
    """
    del seed  # there is one text
    return self._streams

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Cuts windows of `length` tokens; each target is the next token.

    Windows of train start anywhere, drawn from (seed, step). Those of
    validation follow one another, and positions past the end have weight 0.

    Args:
      instance: the token streams.
      seed: of the windows of train; validation ignores it.
      split: 'train' or 'validation'.
      step: which batch.
      batch_size: B, the number of windows.

    Returns:
      One batch; every example is of the only group.

    Raises:
      InputError: there is no such split.
    """
    check_split(split)
    stream = instance[split]
    size = stream.shape[0]
    if split == 'train':
      start_B = self._train_starts(size, seed, step, batch_size)
    else:
      start_B = (step * batch_size + jnp.arange(batch_size)) * self.length
    index_BT = start_B[:, None] + jnp.arange(self.length + 1)  # T + 1 of them
    window_BT = jnp.take(stream, index_BT, mode='clip').astype(jnp.int32)
    return Batch(
      tokens_BT=window_BT[:, :-1],
      targets_BT=window_BT[:, 1:],
      weights_BT=(index_BT[:, 1:] < size).astype(jnp.float32),
      group_B=jnp.zeros(batch_size, jnp.int32))

  def _train_starts(self, size: int, seed: jax.Array | int,
                    step: jax.Array | int, batch_size: int) -> jax.Array:
    """Where the windows of a batch begin, (B,), in a stream of `size`."""
    return jax.random.randint(
      batch_key(seed, 'train', step), (batch_size,), 0, size - self.length)

  def evaluation_steps(self, split: str, batch_size: int) -> int | None:
    """Steps that score every held-out token once; None for train."""
    check_split(split)
    if split == 'train':
      return None
    targets = len(self._streams[split]) - 1
    return math.ceil(math.ceil(targets / self.length) / batch_size)


def _stream(tokens: Tokenizer, documents: list[str]) -> np.ndarray:
  """Ids of the documents in order, a separator before each."""
  dtype = np.uint16 if tokens.vocab_size <= 2**16 else np.int32
  parts = []
  for document in documents:
    parts.append(np.array([tokens.separator], dtype))
    parts.append(tokens.encode(document).astype(dtype))
  return np.concatenate(parts)


def check_lengths(length: int, streams: Mapping[str, Sized]) -> None:
  """Raises InputError where a split cannot fill one window of `length`."""
  if length < 1:
    raise InputError(f'data.source.length: {length} must be at least 1')
  for split, stream in streams.items():
    if len(stream) <= length:
      raise InputError(
        f'data.source.length: a window of {length} positions needs '
        f'{length + 1} tokens, and the {split} split has {len(stream)}; lower '
        'data.source.length, change data.source.held_out, or give more text')


def check_split(split: str) -> None:
  """Raises InputError for a split that text has not."""
  if split not in ('train', 'validation'):
    raise InputError(f'text has no {split!r} split; use train or validation')
