"""Tokenizers as `transformers.AutoTokenizer` reads them.

A `tokenizer.json` is copied. A SentencePiece `tokenizer.model` is copied too:
transformers makes a tokenizer of its own of it, with the same ids, but for a
text that spells a mark, which is that mark to transformers, and, where the
model puts a blank in front, for one that begins with a blank. Bytes become a
byte-level vocabulary without merges (Radford et al., 2019).
"""

import json
from typing import Any

from data.text.hugging_face import byte_letters
from data.text.tokenizer import ByteTokenizer, Tokenizer

SEPARATOR = '<|endoftext|>'


def files(tokenizer: Tokenizer, length: int) -> dict[str, bytes]:
  """What stands in the folder, by name.

  Args:
    tokenizer: whose ids are wanted.
    length: positions that the model has.
  """
  name, content = tokenizer.file or (
    'tokenizer.json', _json(_bytes(tokenizer)))
  marks: dict[str, Any] = {
    key: mark for key, index in (('bos_token', _opening(tokenizer)),
                                 ('eos_token', tokenizer.separator))
    if (mark := _mark(tokenizer, index))}
  if name == 'tokenizer.model':  # a tokenizer.json says it itself
    marks['add_bos_token'] = tokenizer.ids('').size > 0
  return {name: content, 'tokenizer_config.json': _json({
    # Takes the file as it is; a model's own class would add to it.
    'tokenizer_class': 'PreTrainedTokenizerFast', 'model_max_length': length,
    'clean_up_tokenization_spaces': False, **marks})}


def ids(tokenizer: Tokenizer | None, vocab_size: int) -> dict[str, Any]:
  """The marks that a config names; null where there are none.

  Args:
    tokenizer: None where a model reads no text.
    vocab_size: of the model.
  """
  if tokenizer is None:
    return {'bos_token_id': None, 'eos_token_id': None}
  opening = _opening(tokenizer)
  ends = sorted(index for index in tokenizer.ends if index < vocab_size)
  return {'bos_token_id': opening if opening < vocab_size else None,
          'eos_token_id': ends if len(ends) > 1 else (*ends, None)[0]}


def _opening(tokenizer: Tokenizer) -> int:
  """What stands before a text: a mark of its own, or the separator."""
  marks = tokenizer.ids('')
  return int(marks[0]) if len(marks) else tokenizer.separator


def _mark(tokenizer: Tokenizer, index: int) -> str:
  """How a mark is spelled; '' where the file does not have it."""
  if tokenizer.file is None:
    return SEPARATOR
  name = tokenizer.token(index)
  return '' if name == Tokenizer.NAMELESS else name


def _json(content: Any) -> bytes:
  return json.dumps(content, ensure_ascii=False, indent=1).encode() + b'\n'


def _bytes(tokenizer: Tokenizer) -> dict[str, Any]:
  """The ids of bytes, and the separator."""
  assert isinstance(tokenizer, ByteTokenizer)
  level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True,
           'use_regex': False}
  return {
    'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None,
    'added_tokens': [{
      'id': tokenizer.separator, 'content': SEPARATOR, 'single_word': False,
      'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}],
    'pre_tokenizer': level, 'post_processor': None, 'decoder': level,
    'model': {'type': 'BPE', 'dropout': None, 'unk_token': None,
              'continuing_subword_prefix': None, 'end_of_word_suffix': None,
              'fuse_unk': False, 'byte_fallback': False,
              'ignore_merges': False, 'vocab': byte_letters(), 'merges': []}}
