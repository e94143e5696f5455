"""Tokenizers: text to token ids and back.

Of one that loses nothing every token id stands for a known string of bytes
(`pieces_V`), and the pieces of a text's tokens, joined, are the text's own
bytes. So a loss in nats per token, whatever the tokenizer, becomes bits per
byte: the bits spent on all predicted tokens over the bytes that these tokens
stand for. One id, the separator, stands for no byte: it opens every document,
and what is spent on predicting it counts.

Those of pretrained models may alter a text (to lower case, with a space in
front). Models can be run and asked with them; bits per byte cannot be had.
"""

import contextlib
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from data.errors import InputError

TRAINED = ('unigram', 'bpe')

# Ids of a vocabulary; published ones have a tenth of that.
MOST_IDS = 2**22

# What a tokenizer that alters texts does not give back: capitals, blanks, a
# letter with a mark of its own, scripts and symbols.
PROBE = 'Ab  \u00e9e\u0301\n\u6df1\U0001f642'

# How many tokens before a text decide how its first is spelled.
CONTEXT = 8


class Tokenizer:
  """What ids stand for. A kind of tokenizer has `_ids`.

  Attributes:
    pieces_V: the bytes of each id; none for the separator and other marks.
    vocab_size: V, the number of ids.
    bytes_V: int32, the number of bytes of each id.
    separator: the id that opens a document.
    ends: the ids that end a text: the separator, and other end marks.
    name: what a manifest says: 'bytes', or the hash of the model.
    origin: the file that it comes from, for messages.
    file: the name and the bytes of its file, where it comes from one.
  """

  file: tuple[str, bytes] | None = None
  NAMELESS = '<separator>'  # what one is called that has no name of its own

  # What one that changes texts is to be replaced by.
  remedy = ''

  def __init__(self, pieces_V: Sequence[bytes], separator: int, name: str,
               origin: str = ''):
    self.pieces_V = tuple(pieces_V)
    self.vocab_size = len(self.pieces_V)
    self.bytes_V = np.array([len(piece) for piece in pieces_V], np.int32)
    self.separator = separator
    self.ends = frozenset((separator,))
    self.name = name
    self.origin = origin

  def encode(self, text: str) -> np.ndarray:
    """Ids of a text, int32, without a separator.

    Raises:
      InputError: the text is changed, for example to lower case, by a model
        that was not trained here.
    """
    ids = self._ids(text)
    if self._joined(ids) != text.encode():
      raise InputError(
        f'data.source.tokenizer: {self.origin} does not keep the text '
        f'({_first_difference(text, self._joined(ids))}), so bits per byte '
        f'would be wrong; use {self.remedy}')
    return np.array(ids, np.int32)

  def ids(self, text: str, marks: bool = True) -> np.ndarray:
    """Ids of any text, int32, even of one that is altered.

    Args:
      text: the text.
      marks: whether a mark that the text spells is that mark, and the
        vocabulary's own are put around the text: `[CLS]` and `[SEP]`, `<s>`.
    """
    found = self._marked(text) if marks else self._ids(text)
    if found and max(found) >= self.vocab_size:
      raise InputError(
        f'data.source.tokenizer: {self.origin} makes id {max(found)} of a text '
        f'and has {self.vocab_size} ids; fetch the file again')
    return np.array(found, np.int32)

  def decode(self, ids: Iterable[int]) -> str:
    """Text of ids; bytes that are not UTF-8 become U+FFFD.

    Marks, and ids that the vocabulary does not have, stand for nothing. Where
    texts are altered, the library's own decoder puts them together.
    """
    known = [int(i) for i in ids if i < self.vocab_size]
    if self.keeps:
      return self._joined(known).decode(errors='replace')
    return self._decoded(known)

  def spelled(self, ids: Iterable[int],
              after: Sequence[int] = ()) -> Iterator[str]:
    """Text of ids as they come, in whole characters.

    Args:
      ids: one after the other.
      after: what stands before them.

    Yields:
      Pieces that make up the text, none of them empty.
    """
    # Spaces depend on the token before, and characters can have several
    # tokens, so what is new is what a few tokens more add to a text.
    context = list(after[-CONTEXT:])
    new: list[int] = []
    for index in ids:
      new.append(index)
      before, text = self.decode(context), self.decode([*context, *new])
      if len(text) > len(before) and not text.endswith('\ufffd'):
        yield text[len(before):]
        context, new = [*context, *new][-CONTEXT:], []
    before, text = self.decode(context), self.decode([*context, *new])
    if len(text) > len(before):
      yield text[len(before):]

  def token(self, index: int) -> str:
    """How one id is shown: its text, or the name of a mark."""
    if index >= self.vocab_size:
      return f'<{index}>'
    return self.pieces_V[index].decode(errors='replace') or self._mark(index)

  @functools.cached_property
  def keeps(self) -> bool:
    """Whether texts come back as they are, judged by one."""
    return self._joined(self._ids(PROBE)) == PROBE.encode()

  def _ids(self, text: str) -> list[int]:
    """Ids of a text, of which nothing is a mark."""
    raise NotImplementedError

  def _marked(self, text: str) -> list[int]:
    """Ids of a text, with marks."""
    return self._ids(text)

  def _decoded(self, ids: list[int]) -> str:
    """Text of ids, by the library."""
    return self._joined(ids).decode(errors='replace')

  def _mark(self, index: int) -> str:
    """The name of an id that stands for no bytes."""
    del index
    return self.NAMELESS

  def _joined(self, ids: Iterable[int]) -> bytes:
    return b''.join(self.pieces_V[i] for i in ids)


class ByteTokenizer(Tokenizer):
  """One token per byte, and the separator: 257 ids."""

  def __init__(self) -> None:
    super().__init__([bytes([i]) for i in range(256)] + [b''], 256, 'bytes')

  def encode(self, text: str) -> np.ndarray:
    """Ids of a text, int32: its UTF-8 bytes."""
    return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

  def _ids(self, text: str) -> list[int]:
    return list(text.encode())


@contextlib.contextmanager
def guarded(origin: str, what: str) -> Iterator[None]:
  """Has whatever a library raises be one message that names the file.

  Args:
    origin: the file.
    what: what it then is, or does.

  Raises:
    InputError: something was raised; a panic in Rust is no Exception.
  """
  try:
    yield
  except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
    raise
  except BaseException as error:
    reason = ' '.join(str(error).split())[:200]
    raise InputError(f'data.source.tokenizer: {origin} {what} ({reason}); '
                     'name another, or use bytes, unigram or bpe') from None


def _first_difference(text: str, kept: bytes) -> str:
  """Where a text and what came back of it part, in words."""
  decoded = kept.decode(errors='replace')
  at = next((i for i, (a, b) in enumerate(zip(text, decoded)) if a != b),
            min(len(text), len(decoded)))
  return f'{text[at:at + 12]!r} comes back as {decoded[at:at + 12]!r}'


def tokenizer(name: str, vocab_size: int, documents: list[str]) -> Tokenizer:
  """The tokenizer that `data.tokenizer` asks for.

  Args:
    name: 'bytes', 'unigram', 'bpe', or the path of a SentencePiece `.model`
      or of a Hugging Face `tokenizer.json`.
    vocab_size: V of a tokenizer that is trained here.
    documents: what it is trained on; the train split, and nothing else.

  Raises:
    InputError: no such tokenizer or file, a wrong or damaged file, or a
      vocabulary that does not fit the documents.
  """
  if name == 'bytes':
    return ByteTokenizer()
  if name in TRAINED:
    # Imported here, like the other, since bytes do without.
    from data.text import sentence_piece
    return sentence_piece.cached(documents, name, vocab_size)
  return opened(*read_model(name))


def read_model(name: str) -> tuple[bytes, str]:
  """The bytes of a vocabulary's file, and its path.

  Raises:
    InputError: it cannot be read.
  """
  try:
    path = pathlib.Path(os.path.expanduser(name))
    return path.read_bytes(), str(path)
  except OSError as error:
    reason = getattr(error, 'strerror', None) or error
    raise InputError(f'data.source.tokenizer: {name!r} cannot be read '
                     f'({reason}); use bytes, unigram, bpe or the path of a '
                     '.model or tokenizer.json file') from None


def opened(model: bytes, origin: str) -> Tokenizer:
  """The tokenizer of a file: Hugging Face's if it ends in .json."""
  if origin.endswith('.json'):
    from data.text.hugging_face import HuggingFaceTokenizer
    return HuggingFaceTokenizer(model, origin)
  from data.text.sentence_piece import SentencePieceTokenizer
  return SentencePieceTokenizer(model, origin)
