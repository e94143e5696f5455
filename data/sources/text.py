"""Text as a data source: windows of a token stream, scored in bits per byte."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sized
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, batch_key
from data.errors import InputError
from data.text import corpus, leak
from data.text.tokenizer import TRAINED, Tokenizer, tokenizer


@dataclasses.dataclass(frozen=True)
class TextConfig:
  """A text, and how it is cut."""

  causal: ClassVar[bool] = True

  length: int = 64  # T
  # tokens from one held-out window to the next; 0: as many as `length`. With
  # fewer, each token is scored once, after `length - stride` others or more
  stride: int = 0
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
    """The text's own name, without its folder: results may travel."""
    return pathlib.PurePath(self.text_path).name or 'embedded prose'

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
  never a target. All bytes of the held-out documents are scored but for what
  stands in the training text too (`data/text/leak.py`): the same bytes for
  every tokenizer, up to the tokens at the edges of such copies.

  Attributes: see `data.batch.Source`, and
    tokenizer: text to ids and back.
    fingerprint: what the manifest keeps: sha256, documents and bytes of the
      corpus, the tokenizer ('bytes', or the sha256 of its model), the held-out
      bytes and the share of them that is left out.
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
    self._stride = config.stride or config.length
    self.tokenizer: Tokenizer = tokenizer(
      config.tokenizer, config.vocab_size, train)
    self.vocab_size = self.tokenizer.vocab_size
    self.bytes_V: np.ndarray | None = self.tokenizer.bytes_V
    streams = {'train': _stream(self.tokenizer, train),
               'validation': _stream(self.tokenizer, validation)}
    check_lengths(config, streams)
    held_out = [streams['validation']]
    scored = leak.scored(self.tokenizer, held_out, [streams['train']])
    self.fingerprint: Mapping[str, Any] = {
      **corpus.fingerprint(documents), 'tokenizer': self.tokenizer.name,
      **leak.share(self.tokenizer, held_out, scored)}
    self._start_W = scored_windows(scored, config.length, self._stride)
    self._instance: Instance | None = {
      **streams, 'scored': scored, 'starts': self._start_W.astype(np.int32)}

  def instance(self, seed: int) -> Instance:
    """What batches are cut from; the same arrays for every seed.

    Returns:
      The tokens of `train` and of `validation`, uint16 where V fits, else
      int32; `scored`, whether a held-out token has bytes and none that leaks;
      `starts`, where the held-out windows begin.
    """
    del seed  # there is one text
    assert self._instance is not None
    return self._instance

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Cuts windows of `length` tokens; each target is the next token.

    Windows of train start anywhere, drawn from (seed, step). Those of
    validation begin every `stride` tokens, without those in which all new bytes
    leak. Tokens that an earlier window has scored or that are not scored at
    all, and positions past the end, have weight 0.

    Args:
      instance: see `instance`.
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
      window_B = step * batch_size + jnp.arange(batch_size)
      start_B = jnp.take(instance['starts'], window_B, fill_value=size)
    index_BT = start_B[:, None] + jnp.arange(self.length + 1)  # T + 1 of them
    window_BT = jnp.take(stream, index_BT, mode='clip').astype(jnp.int32)
    targets_BT, index_BT = window_BT[:, 1:], index_BT[:, 1:]
    weights_BT = index_BT < size
    if split == 'validation':
      weights_BT &= (jnp.take(instance['scored'], index_BT, mode='clip')
                     | (targets_BT == self.tokenizer.separator))
      weights_BT &= self._new(start_B)
    return Batch(
      tokens_BT=window_BT[:, :-1],
      targets_BT=targets_BT,
      weights_BT=weights_BT.astype(jnp.float32),
      group_B=jnp.zeros(batch_size, jnp.int32))

  def _new(self, start_B: Any) -> Any:
    """Which targets of held-out windows no earlier window has, (B, T)."""
    again = np.arange(self.length) < self.length - self._stride
    return (start_B[:, None] == 0) | ~again

  def _train_starts(self, size: int, seed: jax.Array | int,
                    step: jax.Array | int, batch_size: int) -> jax.Array:
    """Where the windows of a batch begin, (B,), in a stream of `size`."""
    return jax.random.randint(
      batch_key(seed, 'train', step), (batch_size,), 0, size - self.length)

  def evaluation_steps(self, split: str, batch_size: int) -> int | None:
    """Steps that meet every held-out window once; None for train."""
    check_split(split)
    if split == 'train':
      return None
    return math.ceil(len(self._start_W) / batch_size)


def vocabulary(config: TextConfig) -> Tokenizer:
  """The tokenizer of a text, without reading more than it takes.

  Raises:
    InputError: the text or the tokenizer cannot be used any more.
  """
  from data.text import shards
  if shards.is_prepared(config.text_path):
    return shards.Corpus(pathlib.Path(config.text_path).expanduser()).tokenizer
  documents: list[str] = []
  if config.tokenizer in TRAINED:
    documents, _ = corpus.split(corpus.read(config.text_path), config.held_out)
  return tokenizer(config.tokenizer, config.vocab_size, documents)


def _stream(tokens: Tokenizer, documents: list[str]) -> np.ndarray:
  """Ids of the documents in order, a separator before each."""
  dtype = np.uint16 if tokens.vocab_size <= 2**16 else np.int32
  parts = []
  for document in documents:
    parts.append(np.array([tokens.separator], dtype))
    parts.append(tokens.encode(document).astype(dtype))
  return np.concatenate(parts)


def scored_windows(scored: np.ndarray, length: int,
                   stride: int) -> np.ndarray:
  """Where the held-out windows begin in which a byte is scored, (W,), int64.

  Args:
    scored: bool, of each held-out token; False for separators. These are
      scored too, in the windows that are left.
    length: T, tokens of a window.
    stride: tokens from one window to the next, as many as the next scores.

  Raises:
    InputError: there are none.
  """
  before = length - stride
  # The target of a position is the token after it. The first window scores all
  # of its targets, the others those that no earlier one has.
  first_W = np.append(0, np.arange(length, len(scored) - 1, stride))
  start_W = np.maximum(first_W - before, 0)
  start_W = start_W[np.logical_or.reduceat(scored[1:], first_W)]
  if not len(start_W):
    raise InputError(
      'data.source.text_path: every held-out byte lies in a copy of training '
      f'text, of {leak.SHINGLE} bytes or more, so there is nothing to score; '
      'give other text, or change data.source.held_out')
  return start_W


def check_lengths(config: TextConfig, streams: Mapping[str, Sized]) -> None:
  """Raises InputError where a split cannot fill a window, or windows gape."""
  length, stride = config.length, config.stride
  if length < 1:
    raise InputError(f'data.source.length: {length} must be at least 1')
  if not 0 <= stride <= length:
    raise InputError(f'data.source.stride: {stride} must be from 1 to '
                     f'data.source.length={length}, or 0 for as many')
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
