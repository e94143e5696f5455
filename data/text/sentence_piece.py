"""Vocabularies of SentencePiece, opened from a file or trained here."""

import hashlib
import io
import json
import os
import pathlib
import re
from typing import Any

import sentencepiece

from data import durable
from data.errors import InputError
from data.text.tokenizer import Tokenizer, guarded

# Chosen so that nothing is lost: no normalisation, no space put in front,
# blanks kept, and bytes for every character that has no piece of its own.
# The thread count is fixed because unigram sums its counts thread by thread.
_TRAINING: dict[str, Any] = {
  'normalization_rule_name': 'identity',
  'add_dummy_prefix': False,
  'remove_extra_whitespaces': False,
  'byte_fallback': True,
  'unk_id': 0,
  'bos_id': -1,
  'eos_id': 1,
  'pad_id': -1,
  'num_threads': 4,
}

# More text makes training slow (unigram: 2 s per MB) and pieces no better.
TRAINING_BYTES = 16_000_000

# SentencePiece skips lines of more than 4192 bytes; a character has up to 4.
_LINE = re.compile('.{1,1000}')

# Stands for a space inside a piece, so a real one must be spelled in bytes.
_SPACE = '\u2581'


class SentencePieceTokenizer(Tokenizer):
  """A SentencePiece model (Kudo & Richardson, 2018), unigram or BPE.

  The separator is the model's end-of-sentence mark, or one id more where it
  has none.
  """

  remedy = ('a model trained with the identity normalisation, byte fallback '
            'and no dummy prefix, or bytes, unigram or bpe')

  def __init__(self, model: bytes, origin: str):
    """Opens the bytes of a `.model` file.

    Args:
      model: the bytes.
      origin: where they come from, for messages.

    Raises:
      InputError: not a SentencePiece model.
    """
    sentencepiece.SetMinLogLevel(3)  # it would write its errors to stderr
    processor = sentencepiece.SentencePieceProcessor()
    with guarded(origin, 'is not a SentencePiece model, or is damaged'):
      processor.LoadFromSerializedProto(model)
      pieces = [_piece(processor, i) for i in range(processor.vocab_size())]
      separator = processor.eos_id()
    if separator < 0 or pieces[separator]:
      separator = len(pieces)
      pieces.append(b'')
    super().__init__(pieces, separator, hashlib.sha256(model).hexdigest(),
                     origin)
    self.file = ('tokenizer.model', model)
    self._processor = processor
    self._space = [processor.piece_to_id(f'<0x{byte:02X}>')
                   for byte in _SPACE.encode()]

  def _ids(self, text: str) -> list[int]:
    ids: list[int] = []
    with guarded(self.origin, 'cannot cut this text'):
      for part in re.split(f'({_SPACE})', text):
        ids += self._space if part == _SPACE else self._processor.encode(part)
    return ids

  def _marked(self, text: str) -> list[int]:
    # The mark of a beginning, where the model has one, as Llama's readers do.
    opening = self._processor.bos_id()
    with guarded(self.origin, 'cannot cut this text'):
      ids: list[int] = self._processor.encode(text)
    return ids if opening < 0 else [opening, *ids]

  def _decoded(self, ids: list[int]) -> str:
    with guarded(self.origin, 'cannot spell these ids'):
      text: str = self._processor.decode(
        [i for i in ids if i < self._processor.vocab_size()])
    return text

  def _mark(self, index: int) -> str:
    if index >= self._processor.vocab_size():
      return super()._mark(index)
    name: str = self._processor.id_to_piece(index)
    return name


def train(documents: list[str], kind: str, vocab_size: int) -> bytes:
  """Trains a SentencePiece model; the same documents give the same model.

  Args:
    documents: the train split. Of more than 16 MB, every second, third, …
      line is used.
    kind: 'unigram' or 'bpe'.
    vocab_size: V, with 256 bytes and the marks for unknown and end.

  Returns:
    The bytes of a `.model` file.

  Raises:
    InputError: V too large or too small for the documents; the message says
      which V fit.
  """
  lines = [line for document in documents for line in _LINE.findall(document)]
  size = sum(len(line.encode()) for line in lines)
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.Train(
      sentence_iterator=iter(lines[::1 + size // TRAINING_BYTES]),
      model_writer=model, model_type=kind, vocab_size=vocab_size,
      minloglevel=3, **_TRAINING)
  except (RuntimeError, ValueError) as error:
    raise _training_error(str(error), kind, vocab_size) from None
  return model.getvalue()


def cache_path(documents: list[str], kind: str,
               vocab_size: int) -> pathlib.Path:
  """The one place where a tokenizer trained on these documents is kept.

  It is `$XDG_CACHE_HOME/fathom/tokenizers/`, under `~/.cache` where that is
  unset: the text may lie where nobody can write, and is not ours to add to.
  The name holds a hash of the documents and of every training option.
  """
  digest = hashlib.sha256(json.dumps(_TRAINING).encode())
  for document in documents:
    digest.update(document.encode() + b'\xff')  # a byte that no text has
  base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return (pathlib.Path(base).expanduser() / 'fathom' / 'tokenizers'
          / f'{digest.hexdigest()[:16]}-{kind}-{vocab_size}.model')


def cached(documents: list[str], kind: str, vocab_size: int) -> Tokenizer:
  """The tokenizer trained on these documents, trained if it is not kept yet.

  Raises:
    InputError: as `train`, or the model cannot be kept.
  """
  try:
    path = cache_path(documents, kind, vocab_size)
    try:
      return SentencePieceTokenizer(path.read_bytes(), str(path))
    except (FileNotFoundError, InputError):  # not there yet, or damaged
      model = train(documents, kind, vocab_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable.written(path) as file:
      file.write(model)
  except (OSError, RuntimeError) as error:
    raise InputError(f'data.source.tokenizer: the trained model cannot be kept '
                     f'({error}); set XDG_CACHE_HOME to a folder that can be '
                     'written') from None
  return SentencePieceTokenizer(model, str(path))


def _piece(processor: Any, index: int) -> bytes:
  """The bytes that one id stands for."""
  if processor.is_control(index) or processor.is_unknown(index):
    return b''
  piece = processor.id_to_piece(index)
  if processor.is_byte(index):  # '<0x0A>'
    return bytes([int(piece[1:-1], 16)])
  return piece.replace(_SPACE, ' ').encode()


def _training_error(problem: str, kind: str, vocab_size: int) -> InputError:
  """SentencePiece's own words turned into the field, the numbers, the fix."""
  if found := re.search(r'smaller than required_chars\. \d+ vs (\d+)', problem):
    return InputError(f'data.source.vocab_size: {vocab_size} is too small; '
                      f'the characters of this text need at least {found[1]}')
  if found := re.search(r'value <= (\d+)', problem):
    return InputError(f'data.source.vocab_size: {vocab_size} is too large; '
                      f'this text has pieces for at most {found[1]} with '
                      f'{kind}')
  return InputError(f'data.source.tokenizer: {kind} cannot be trained on this '
                    f'text with data.source.vocab_size={vocab_size} '
                    f'({problem.strip()}); use data.source.tokenizer=bytes')
