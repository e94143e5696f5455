"""A prepared corpus as a data source, on the device or streamed to it.

Training meets the windows of T + 1 tokens that begin at 0, T, 2T, … of the
train stream, each once in every epoch, in the order of `permutation.window`;
the last tokens that fill no window are left out. (Text that is not prepared is
cut anywhere instead, see `data/sources/text.py`.) Validation is the same for
both: all held-out windows in order.

A corpus of at most RESIDENT_BYTES is placed on the device whole; a larger one
is read by the host, batch by batch. Both give the same batches, bit for bit.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance
from data.errors import InputError
from data.sources.text import (
  TextConfig,
  TextSource,
  check_lengths,
  check_split,
  scored_windows,
)
from data.text import permutation, shards

# Bytes of tokens that are given room on every device: a thirtieth of the memory
# of the smallest accelerator that is aimed at (16 GiB). What a batch gains by
# it, a copy of some kilobytes, does not grow with the corpus.
RESIDENT_BYTES = 1 << 29


class PreparedText(TextSource):
  """Text out of token shards.

  The tokenizer, the vocabulary and the split are those that the corpus was
  prepared with; the fields of `TextConfig` that name them are not read.

  Attributes: see `TextSource`, and
    streams: whether batches come from `host_batch`; those of `batch` are for
      corpora on the device alone.
    windows: how many training windows an epoch has.
  """

  def __init__(self, config: TextConfig):
    """Opens the folder `text_path`.

    Raises:
      InputError: a corpus that is unfinished or damaged, or a split that is
        shorter than one window.
    """
    try:
      opened = shards.Corpus(Path(config.text_path).expanduser())
    except InputError as error:
      raise InputError(f'data.source.text_path: {error}') from None
    self.length = config.length
    self._stride = config.stride or config.length
    self.tokenizer = opened.tokenizer
    self.vocab_size = self.tokenizer.vocab_size
    self.bytes_V = self.tokenizer.bytes_V
    self.fingerprint = shards.facts(opened.index)
    self._streams = opened.streams
    self._scored = opened.scored
    self._instance = None
    check_lengths(config, self._streams)
    self._start_W = scored_windows(self._scored, config.length, self._stride)
    self.windows = (len(self._streams['train']) - 1) // self.length
    if self.windows > permutation.LARGEST:
      raise InputError(f'data.source.length: {self.length} makes '
                       f'{self.windows} windows, more than '
                       f'{permutation.LARGEST}; raise it')
    size = sum(len(s) * s.dtype.itemsize for s in self._streams.values())
    self.streams = size > RESIDENT_BYTES

  def instance(self, seed: int) -> Instance:
    """As `TextSource.instance`; nothing if the corpus is streamed."""
    if self.streams:
      return {}
    if self._instance is None:
      self._instance = {
        **{split: _signed(stream.whole())
           for split, stream in self._streams.items()},
        'scored': np.array(self._scored),
        'starts': self._start_W.astype(np.int32)}
    return super().instance(seed)

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """As `TextSource.batch`, in the order of the corpus.

    Raises:
      InputError: the corpus is not on the device, or there is no such split.
    """
    if self.streams:
      raise InputError(
        'data.source.text_path: a corpus of more than '
        f'{RESIDENT_BYTES >> 20} MiB of tokens is streamed, and what was asked '
        'for needs it on the device; prepare a smaller part of the text')
    return super().batch(instance, seed, split, step, batch_size)

  def host_batch(self, seed: int, split: str, step: int, batch_size: int,
                 rows: slice = slice(None)) -> Batch:
    """The batch that `batch` draws, or some rows of it, in host memory.

    A process that holds a share of each batch reads that share alone.

    Args:
      seed: of the order of train; validation ignores it.
      split: 'train' or 'validation'.
      step: which batch.
      batch_size: B of the whole batch.
      rows: which of its rows.

    Returns:
      NumPy arrays of as many rows.

    Raises:
      InputError: there is no such split.
    """
    check_split(split)
    stream = self._streams[split]
    row_B = np.arange(batch_size, dtype=np.uint64)[rows]
    window_B = np.uint64(step * batch_size) + row_B
    if split == 'train':
      window_B = permutation.window(window_B, self.windows, seed)
      start_B = window_B.astype(np.int64) * self.length
    else:
      start_B = np.full(len(row_B), len(stream))
      known = window_B < len(self._start_W)
      start_B[known] = self._start_W[window_B[known]]
    window_BT = stream.windows(start_B, self.length + 1)
    targets_BT = window_BT[:, 1:]
    index_BT = start_B[:, None] + np.arange(1, self.length + 1)
    weights_BT = index_BT < len(stream)
    if split == 'validation':
      weights_BT &= (self._scored[np.minimum(index_BT, len(stream) - 1)]
                     | (targets_BT == self.tokenizer.separator))
      weights_BT &= self._new(start_B)
    fields: dict[str, Any] = {
      'tokens_BT': window_BT[:, :-1],
      'targets_BT': targets_BT,
      'weights_BT': weights_BT.astype(np.float32),
      'group_B': np.zeros(len(row_B), np.int32)}
    return Batch(**fields)

  def _train_starts(self, size: int, seed: jax.Array | int,
                    step: jax.Array | int, batch_size: int) -> jax.Array:
    del size  # known before the tokens are on the device
    first = jnp.asarray(step, jnp.uint32) * np.uint32(batch_size)
    example_B = first + jnp.arange(batch_size, dtype=jnp.uint32)
    index_B = permutation.window(example_B, self.windows, seed)
    return index_B.astype(jnp.int32) * self.length


def _signed(tokens: np.ndarray) -> np.ndarray:
  """uint16, or int32 of what was stored as uint32: ids are far below 2^31."""
  return tokens if tokens.dtype.itemsize == 2 else tokens.view(np.int32)
