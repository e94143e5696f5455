"""Vocabularies in the form of Hugging Face: `tokenizer.json`.

Needs the package `tokenizers`, which the extra `hf` brings.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from data.errors import MissingPackage
from data.text.tokenizer import MOST_IDS, Tokenizer, guarded

# A tokenizer.json does not say which of its marks ends a text; these are the
# ones that published models use.
_SEPARATORS = ('<|endoftext|>', '<|end_of_text|>', '</s>', '<eos>',
               '<|im_end|>', '[SEP]')

_SPACE = '\u2581'  # of vocabularies that were SentencePiece's
_BYTE = re.compile('<0x([0-9A-Fa-f]{2})>')


class HuggingFaceTokenizer(Tokenizer):
  """A tokenizer.json.

  Special marks (the separator among them) stand for no bytes. `encode` never
  finds them in a text: text that happens to spell one is encoded like any
  other, and what a post-processor would put around it is left out. Added
  tokens that are not special stand for the text they match. The separator is
  the first of the known end marks that the vocabulary has, or one id more. Ids
  that the vocabulary skips stand for nothing.

  Every byte is kept by those that are byte-level or have byte fallback; others
  alter texts, and bits per byte cannot be had of them.
  """

  remedy = ('a byte-level tokenizer, or one with byte fallback, without '
            'normalisation or a dummy prefix')

  def __init__(self, model: bytes, origin: str):
    """Opens the bytes of a `tokenizer.json`.

    Args:
      model: the bytes.
      origin: where they come from, for messages.

    Raises:
      MissingPackage: no `tokenizers`.
      InputError: not a tokenizer.json.
    """
    try:
      import tokenizers
    except ImportError:
      raise MissingPackage(
        f'data.source.tokenizer: {origin} needs the package tokenizers; '
        "install the extra hf (pip install -e '.[hf]')") from None
    with guarded(origin, 'is not a Hugging Face tokenizer.json, or is damaged'):
      content = json.loads(model)
      self._encoder = tokenizers.Tokenizer.from_str(model.decode())
      self._encoder.no_truncation()
      self._encoder.no_padding()
      self._encoder.encode_special_tokens = True
      pieces = _pieces(self._encoder, content)
    ends = [found for mark in _SEPARATORS
            if (found := self._encoder.token_to_id(mark)) is not None]
    separator = ends[0] if ends else None
    if separator is None:
      separator = len(pieces)
      pieces.append(b'')
    pieces[separator] = b''
    super().__init__(pieces, separator, hashlib.sha256(model).hexdigest(),
                     origin)
    self.ends = frozenset((separator, *ends))
    self.file = ('tokenizer.json', model)

  def _ids(self, text: str) -> list[int]:
    with guarded(self.origin, 'cannot cut this text'):
      # The fast form leaves out the offsets, which nobody reads.
      ids: list[int] = self._encoder.encode_batch_fast(
        [text], add_special_tokens=False)[0].ids
    return ids

  def _marked(self, text: str) -> list[int]:
    self._encoder.encode_special_tokens = False
    try:
      with guarded(self.origin, 'cannot cut this text'):
        ids: list[int] = self._encoder.encode(text).ids
    finally:
      self._encoder.encode_special_tokens = True
    return ids

  def _decoded(self, ids: list[int]) -> str:
    with guarded(self.origin, 'cannot spell these ids'):
      text: str = self._encoder.decode(ids)
    return text

  def _mark(self, index: int) -> str:
    return self._encoder.id_to_token(index) or super()._mark(index)


def _pieces(encoder: Any, content: dict[str, Any]) -> list[bytes]:
  """The bytes of every id, in the order of the ids."""
  added = encoder.get_added_tokens_decoder()
  vocabulary = encoder.get_vocab(with_added_tokens=True)
  last = max(vocabulary.values(), default=-1)
  if last >= MOST_IDS:
    raise ValueError(f'id {last} is beyond {MOST_IDS - 1}')
  pieces = [b''] * (last + 1)
  byte_level = 'ByteLevel' in {
    *_kinds(content.get('decoder')), *_kinds(content.get('pre_tokenizer'))}
  letters = byte_letters()
  for token, index in vocabulary.items():
    if index in added:
      pieces[index] = (b'' if added[index].special
                       else added[index].content.encode())
    elif byte_level:
      # A letter outside the table cannot come out of a byte-level encoder.
      pieces[index] = bytes(letters[c] for c in token if c in letters)
    elif byte := _BYTE.fullmatch(token):
      pieces[index] = bytes.fromhex(byte[1])
    else:
      pieces[index] = token.replace(_SPACE, ' ').encode()
  return pieces


def _kinds(part: Any) -> Iterator[str]:
  """The types of a component of a tokenizer.json and of those inside it."""
  if isinstance(part, dict):
    yield part.get('type', '')
    for inner in part.get('decoders', []) + part.get('pretokenizers', []):
      yield from _kinds(inner)


def byte_letters() -> dict[str, int]:
  """The letter that stands for each byte (Radford et al., 2019, GPT-2).

  Printable bytes of Latin-1 stand for themselves; the others, in order, are
  the letters from U+0100 on.
  """
  printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
  others = [byte for byte in range(256) if byte not in printable]
  return {**{chr(byte): byte for byte in printable},
          **{chr(0x100 + i): byte for i, byte in enumerate(others)}}
