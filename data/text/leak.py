"""Held-out text that stands in the training text too, and so is not scored.

A held-out byte leaks if it lies in a shingle, 64 consecutive bytes of one
document, that some training document has too. No shingle reaches from one
document into the next, on either side. A token is scored if none of its bytes
leaks. (Shingles: Broder, 1997.)

The held-out side is hashed, in about 15 bytes of memory for each of its bytes;
the training side is streamed past it, once. A shingle is known by 64 bits, a
polynomial over random numbers that stand for bytes: of 10^10 training and 10^8
held-out shingles, 0.05 are expected to be taken for copies wrongly.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np

from data.text.tokenizer import Tokenizer

SHINGLE = 64  # bytes
BLOCK = SHINGLE // 2

# What stands between documents. Neither byte is in any UTF-8 text, and they
# differ, so a shingle across a border is never found on the other side.
_HELD_OUT_BORDER, _TRAINING_BORDER = 0xfe, 0xff

_random = np.random.default_rng(SHINGLE)
_NUMBERS = _random.integers(2**64, size=256, dtype=np.uint64)
# Arrays of one, since those overflow in silence: that is the arithmetic here.
_FACTOR, _PROBE = _random.integers(2**63, size=(2, 1), dtype=np.uint64) * 2 + 1
_PAIR_FACTOR = _FACTOR ** BLOCK

_CHUNK = 1 << 17  # tokens that are handled together


def scored(tokens: Tokenizer, held_out: Sequence[np.ndarray],
           training: Sequence[np.ndarray], threads: int = 1,
           progress: Callable[[int], None] = lambda _: None) -> np.ndarray:
  """Which held-out tokens stand for bytes of which none leaks.

  Args:
    tokens: what the ids stand for.
    held_out: ids, a separator before each document; an array begins with one.
    training: ids likewise; what is mapped from disk is read in stretches.
    threads: how many training arrays are searched at a time.
    progress: is told the tokens of each training array that is done.

  Returns:
    bool, as long as the held-out arrays together. False for a separator.
  """
  shingles = _Shingles(tokens, held_out)
  stopping = threading.Event()

  def search(ids: np.ndarray) -> int:
    for text in _Pieces(tokens, _TRAINING_BORDER).texts(ids):
      if stopping.is_set():
        break
      shingles.meet(text)
    return len(ids)

  # NumPy leaves the interpreter to other threads while it computes.
  with futures.ThreadPoolExecutor(threads) as pool:
    try:
      for done in futures.as_completed([pool.submit(search, ids)
                                        for ids in training]):
        progress(done.result())
    finally:
      stopping.set()
  return np.concatenate([shingles.scored(ids) for ids in held_out])


def share(tokens: Tokenizer, held_out: Sequence[np.ndarray],
          scored: np.ndarray) -> dict[str, Any]:
  """What a fingerprint says: `held_out_bytes`; `left_out`, a share of them."""
  size = kept = at = 0
  for ids in held_out:
    bytes_T = tokens.bytes_V[ids]
    size += int(bytes_T.sum())
    kept += int(bytes_T[scored[at:at + len(ids)]].sum())
    at += len(ids)
  return {'held_out_bytes': size, 'left_out': round(1 - kept / size, 6)}


def sentences(fingerprint: Mapping[str, Any]) -> list[str]:
  """What people are told of a source: one sentence for each text in it.

  Args:
    fingerprint: of any source; one without text has nothing to say.
  """
  if 'left_out' in fingerprint:
    return [f'{fingerprint["left_out"]:.1%} of the '
            f'{fingerprint["held_out_bytes"]:,} held-out bytes are not scored: '
            f'they lie in copies of training text, of {SHINGLE} bytes or more.']
  return [f'Part {number}: {sentence}'
          for number, part in enumerate(fingerprint.get('parts', ()), 1)
          for sentence in sentences(part)]


class _Pieces:
  """The bytes of ids. What has none is a border."""

  def __init__(self, tokens: Tokenizer, border: int):
    pieces = [piece or bytes([border]) for piece in tokens.pieces_V]
    self._bytes = np.frombuffer(b''.join(pieces), np.uint8)
    self._size_V = np.array([len(piece) for piece in pieces])
    self._start_V = np.cumsum(self._size_V) - self._size_V

  def texts(self, ids: np.ndarray) -> Iterator[np.ndarray]:
    """All bytes in stretches that overlap, so each shingle is in one."""
    tail = np.empty(0, np.uint8)
    for start in range(0, len(ids), _CHUNK):
      text = np.concatenate([tail, self._text(ids[start:start + _CHUNK])])
      yield text
      tail = text[-(SHINGLE - 1):]

  def starts(self, ids: np.ndarray) -> np.ndarray:
    """Where in the bytes each id begins."""
    size = self._size_V[ids]
    return np.cumsum(size) - size

  def _text(self, ids: np.ndarray) -> np.ndarray:
    if len(self._bytes) == len(self._size_V):  # one for each id
      return self._bytes[ids]
    places = np.repeat(self._start_V[ids] - self.starts(ids), self._size_V[ids])
    return self._bytes[places + np.arange(len(places))]


class _Shingles:
  """The shingles of the held-out text, and which of them were met."""

  def __init__(self, tokens: Tokenizer, held_out: Sequence[np.ndarray]):
    self._pieces = _Pieces(tokens, _HELD_OUT_BORDER)
    self._has_bytes_V = tokens.bytes_V > 0
    size = sum(int(self._pieces.starts(ids)[-1]) + 1 for ids in held_out)
    self._blocks = _Filter(size)
    # As many as there may be; the last is larger than any.
    self._hashes = np.full(size + 1, 2**64 - 1, np.uint64)
    filled = 0
    for ids in held_out:
      for text in self._pieces.texts(ids):
        blocks = _blocks(text)
        self._blocks.add(blocks)
        pairs = _pairs(blocks)
        self._hashes[filled:filled + len(pairs)] = pairs
        filled += len(pairs)
    self._hashes.sort()
    self._met = np.zeros(len(self._hashes), bool)

  def meet(self, text: np.ndarray) -> None:
    """Marks the shingles that a training text has.

    Wherever a shingle begins, one of the blocks at 0, 32, 64, … lies in it. So
    only around a block that is known are shingles looked for.
    """
    rows = text[:len(text) // BLOCK * BLOCK].reshape(-1, BLOCK)
    near = np.flatnonzero(self._blocks.may_have(_whole(rows))) * BLOCK
    if not len(near):
      return
    around = np.pad(text, BLOCK, constant_values=_TRAINING_BORDER)
    spans = np.lib.stride_tricks.sliding_window_view(around, 3 * BLOCK)[near]
    hashes = _pairs(_blocks(spans)).ravel()
    hashes.sort()  # neighbours are then found at neighbouring places
    places = np.searchsorted(self._hashes, hashes)
    self._met[places[self._hashes[places] == hashes]] = True

  def scored(self, ids: np.ndarray) -> np.ndarray:
    """Which ids of a held-out array have bytes, none of which leaks."""
    leaks = [self._is_met(_pairs(_blocks(text)))
             for text in self._pieces.texts(ids)]
    leaked = np.concatenate([*leaks, np.zeros(SHINGLE - 1, bool)])
    span = 1
    while span < SHINGLE:  # each leaks with those that follow
      leaked[span:] |= leaked[:-span]
      span *= 2
    return (~np.logical_or.reduceat(leaked, self._pieces.starts(ids))
            & self._has_bytes_V[ids])

  def _is_met(self, hashes: np.ndarray) -> np.ndarray:
    order = np.argsort(hashes)
    met = np.empty(len(hashes), bool)
    met[order] = self._met[np.searchsorted(self._hashes, hashes[order])]
    return met


class _Filter:
  """A set of hashes that may say yes wrongly, but never no (Bloom, 1970)."""

  def __init__(self, size: int):
    """Makes room for `size` hashes: 16 to 32 bits for each."""
    log_bits = max((16 * size).bit_length(), 10)
    self._bits = np.zeros(1 << log_bits - 3, np.uint8)
    self._shift = np.uint64(64 - log_bits)

  def add(self, hashes: np.ndarray) -> None:
    """Adds hashes."""
    for place in self._places(hashes):
      np.bitwise_or.at(self._bits, place >> 3, _bit(place))

  def may_have(self, hashes: np.ndarray) -> np.ndarray:
    """Whether each may have been added: wrongly for under one in fifty."""
    first, second = (self._bits[place >> 3] & _bit(place)
                     for place in self._places(hashes))
    return (first > 0) & (second > 0)

  def _places(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = hashes >> self._shift, hashes * _PROBE >> self._shift
    return first.astype(np.int64), second.astype(np.int64)


def _bit(place: np.ndarray) -> np.ndarray:
  return np.left_shift(1, place & 7).astype(np.uint8)


def _whole(rows: np.ndarray) -> np.ndarray:
  """Hashes of rows of one block each: (n, 32) → (n,); as `_blocks`, sooner."""
  hashes, factor = _NUMBERS[rows], _FACTOR
  while hashes.shape[1] > 1:
    hashes = hashes[:, ::2] * factor + hashes[:, 1::2]
    factor = factor * factor
  return hashes[:, 0]


def _blocks(text: np.ndarray) -> np.ndarray:
  """Hashes of all blocks along the last axis: (…, n) → (…, n - 31)."""
  hashes, factor, span = _NUMBERS[text], _FACTOR, 1
  while span < BLOCK:
    hashes = hashes[..., :-span] * factor + hashes[..., span:]
    factor, span = factor * factor, 2 * span
  return hashes


def _pairs(blocks: np.ndarray) -> np.ndarray:
  """Hashes of all shingles, from those of their halves."""
  return blocks[..., :-BLOCK] * _PAIR_FACTOR + blocks[..., BLOCK:]

