"""The vocabulary that a GGUF file carries, in the form of its origin.

llama.cpp keeps pieces, scores, merges and a name for how text is split first;
what splits is in its source alone (`src/llama-vocab.cpp`). The splits here are
those of the models that the names stand for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from data.errors import InputError

_PREFIX = 'tokenizer.ggml.'
_SPACE = '\u2581'

# Kinds of pieces, numbered as in SentencePiece.
_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6
_KINDS_OF_PIECES = frozenset(range(1, 7))

# From tokenizer.json of Llama 3 (Meta, 2024) and of Qwen2 (Alibaba, 2024);
# they differ in how many digits go together.
_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|"
          r'{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+')


class _Split(NamedTuple):
  """How text is split before pieces are merged.

  Attributes:
    first: parts of `pre_tokenizer` before that which spells bytes.
    is_gpt2: whether that one also splits as GPT-2 does.
    composes: whether text is first put into NFC.
    keeps_words: whether a word that is a piece is taken without merging.
    begins: whether a text gets the first mark where the file does not say.
  """

  first: tuple[Mapping[str, Any], ...] = ()
  is_gpt2: bool = True
  composes: bool = False
  keeps_words: bool = False
  begins: bool = False


def _matches(pattern: str) -> Mapping[str, Any]:
  return {'type': 'Split', 'pattern': {'Regex': pattern},
          'behavior': 'Isolated', 'invert': False}


_GPT2 = _Split()
_NEOX = _Split(composes=True)
_SINGLE_DIGITS = _Split(({'type': 'Digits', 'individual_digits': True},))
_LLAMA3 = _Split((_matches(_WORDS.format(digits=r'\p{N}{1,3}')),),
                 is_gpt2=False, keeps_words=True, begins=True)
_QWEN2 = _Split((_matches(_WORDS.format(digits=r'\p{N}')),), is_gpt2=False,
                composes=True)

# By `tokenizer.ggml.pre`.
SPLITS: Mapping[str, _Split] = {
  'gpt-2': _GPT2, 'gpt2': _GPT2, 'phi-2': _GPT2, 'olmo': _NEOX,
  'smollm': _SINGLE_DIGITS, 'starcoder': _SINGLE_DIGITS,
  'llama-bpe': _LLAMA3, 'llama3': _LLAMA3, 'llama-v3': _LLAMA3,
  'qwen2': _QWEN2, 'deepseek-r1-qwen': _QWEN2,
}
# 'default' is what an old converter wrote for all; these had one vocabulary.
_DEFAULTS: Mapping[str, _Split] = {'gpt2': _GPT2, 'gptneox': _NEOX}


class UnknownVocabulary(InputError):
  """Nothing is wrong with a vocabulary; we cannot tell how it cuts texts."""


def tokenizer_file(metadata: Mapping[str, Any]) -> tuple[str, bytes]:
  """The name and the bytes of a file that `data.text.tokenizer` opens.

  Args:
    metadata: of a GGUF file, values by key.

  Raises:
    UnknownVocabulary: one of a kind that is not known here.
    InputError: it is damaged.
  """
  kind = str(metadata.get(f'{_PREFIX}model'))
  if kind not in _KINDS:
    raise UnknownVocabulary(
      f'{_PREFIX}model: {kind!r} is not known; known are {", ".join(_KINDS)}. '
      "Use the model's tokenizer.json or tokenizer.model")
  return _KINDS[kind](metadata)


def _byte_level(metadata: Mapping[str, Any]) -> tuple[str, bytes]:
  """Byte-level BPE (Radford et al., 2019)."""
  tokens, types = _pieces(metadata)
  split = _split(metadata)
  merges = [merge.split(' ') for merge in _list(metadata, 'merges', str)]
  if any(len(merge) != 2 for merge in merges):
    raise InputError(f'{_PREFIX}merges: not all are two pieces; download the '
                     'file again')
  spelled = {'type': 'ByteLevel', 'add_prefix_space': False,
             'trim_offsets': True, 'use_regex': split.is_gpt2}
  return _json(
    tokens, types,
    normalizer={'type': 'NFC'} if split.composes else None,
    pre_tokenizer={'type': 'Sequence', 'pretokenizers': [
      *split.first, spelled]},
    decoder={**spelled, 'use_regex': True},
    marks=_marks(metadata, tokens, split.begins),
    model={'type': 'BPE', 'dropout': None, 'unk_token': None,
           'continuing_subword_prefix': None, 'end_of_word_suffix': None,
           'fuse_unk': False, 'byte_fallback': False,
           'ignore_merges': split.keeps_words, 'vocab': _numbered(tokens),
           'merges': merges})


def _word_piece(metadata: Mapping[str, Any]) -> tuple[str, bytes]:
  """WordPiece (Schuster & Nakajima, 2012) as BERT has it.

  The file marks pieces that begin a word, BERT those that do not. It does not
  say whether letters are lowered: a vocabulary without capitals shows it.
  """
  stored, types = _pieces(metadata)
  tokens = [token if kind == _CONTROL
            else token[1:] if token.startswith(_SPACE) else f'##{token}'
            for token, kind in zip(stored, types)]
  lowers = not any(token != token.lower() for token, kind in zip(tokens, types)
                   if kind != _CONTROL and not token.startswith('['))
  for mark in ('[CLS]', '[SEP]', '[UNK]'):
    if mark not in tokens:
      raise InputError(f"{_PREFIX}tokens: {mark} is missing; use the model's "
                       'tokenizer.json')
  return _json(
    tokens, types,
    normalizer={'type': 'BertNormalizer', 'clean_text': True,
                'handle_chinese_chars': True, 'strip_accents': None,
                'lowercase': lowers},
    pre_tokenizer={'type': 'BertPreTokenizer'},
    decoder={'type': 'WordPiece', 'prefix': '##', 'cleanup': True},
    marks=(['[CLS]'], ['[SEP]']),
    model={'type': 'WordPiece', 'unk_token': '[UNK]',
           'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100,
           'vocab': _numbered(tokens)})


def _sentencepiece(metadata: Mapping[str, Any]) -> tuple[str, bytes]:
  """SentencePiece (Kudo & Richardson, 2018), BPE by score, as in Llama 2."""
  # Here, since few runs need it. What protobuf makes has no types.
  from sentencepiece import sentencepiece_model_pb2
  messages: Any = sentencepiece_model_pb2

  tokens, types = _pieces(metadata)
  scores = _list(metadata, 'scores', float)
  if len(scores) != len(tokens):
    raise InputError(f'{_PREFIX}scores: {len(scores)} of {len(tokens)} pieces; '
                     'download the file again')
  proto = messages.ModelProto()
  for token, score, kind in zip(tokens, scores, types):
    proto.pieces.add(piece=token, score=score, type=kind)
  trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
  trainer.model_type = messages.TrainerSpec.BPE
  trainer.vocab_size = len(tokens)
  trainer.byte_fallback = _BYTE in types
  if _UNKNOWN in types:
    trainer.unk_id = types.index(_UNKNOWN)
    trainer.unk_piece = tokens[trainer.unk_id]
  first, last = _marks(metadata, tokens, True)
  if last:
    raise InputError(f'{_PREFIX}add_eos_token: a SentencePiece model cannot '
                     "say it; use the model's tokenizer.json")
  # A name that no piece has says that there is no such mark.
  trainer.bos_piece = first[0] if first else '<no mark>'
  trainer.eos_piece = (
    _mark(metadata, 'eos', tokens)
    if f'{_PREFIX}eos_token_id' in metadata else '<no mark>')
  normalizer.name = 'identity'
  normalizer.add_dummy_prefix = bool(
    metadata.get(f'{_PREFIX}add_space_prefix', True))
  normalizer.remove_extra_whitespaces = bool(
    metadata.get(f'{_PREFIX}remove_extra_whitespaces', False))
  normalizer.escape_whitespaces = True
  return 'tokenizer.model', proto.SerializeToString(deterministic=True)


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, bytes]]] = {
  'gpt2': _byte_level, 'llama': _sentencepiece, 'bert': _word_piece}


def _split(metadata: Mapping[str, Any]) -> _Split:
  """How text is split first."""
  name = str(metadata.get(f'{_PREFIX}pre', 'default'))
  if name in SPLITS:
    return SPLITS[name]
  architecture = str(metadata.get('general.architecture'))
  if name == 'default' and architecture in _DEFAULTS:
    return _DEFAULTS[architecture]
  raise UnknownVocabulary(
    f'{_PREFIX}pre: {name!r} does not say how text is split before pieces are '
    f'merged; known are {", ".join(SPLITS)}. Use the model\'s tokenizer.json')


def _json(tokens: Sequence[str], types: Sequence[int],
          marks: tuple[list[str], list[str]],
          **parts: Any) -> tuple[str, bytes]:
  """A tokenizer.json; `marks` are put before and after a text."""
  added = [{'id': index, 'content': token, 'single_word': False,
            'lstrip': False, 'rstrip': False, 'normalized': False,
            'special': kind == _CONTROL}
           for index, (token, kind) in enumerate(zip(tokens, types))
           if kind in (_CONTROL, _USER_DEFINED)]
  first, last = ([{'SpecialToken': {'id': mark, 'type_id': 0}} for mark in side]
                 for side in marks)
  template = [*first, {'Sequence': {'id': 'A', 'type_id': 0}}, *last]
  second = [{'Sequence': {'id': 'B', 'type_id': 1}}, *(
    {'SpecialToken': {'id': mark, 'type_id': 1}} for mark in marks[1])]
  post_processor = {
    'type': 'TemplateProcessing', 'single': template,
    'pair': [*template, *second],
    'special_tokens': {mark: {'id': mark, 'ids': [tokens.index(mark)],
                              'tokens': [mark]}
                       for side in marks for mark in side}}
  content = {'version': '1.0', 'truncation': None, 'padding': None,
             'added_tokens': added, 'post_processor': post_processor, **parts}
  return 'tokenizer.json', json.dumps(content, ensure_ascii=False).encode()


def _marks(metadata: Mapping[str, Any], tokens: Sequence[str],
           begins: bool) -> tuple[list[str], list[str]]:
  """What is put before and after a text; `begins` where nothing says."""
  adds = (metadata.get(f'{_PREFIX}add_bos_token', begins),
          metadata.get(f'{_PREFIX}add_eos_token', False))
  first, last = ([_mark(metadata, side, tokens)] if add else []
                 for side, add in zip(('bos', 'eos'), adds))
  return first, last


def _mark(metadata: Mapping[str, Any], side: str,
          tokens: Sequence[str]) -> str:
  """The mark of a text's beginning or end."""
  index = metadata.get(f'{_PREFIX}{side}_token_id')
  if not isinstance(index, int) or not 0 <= index < len(tokens):
    raise InputError(f'{_PREFIX}{side}_token_id: {index!r} is no id of the '
                     f'{len(tokens)} pieces; download the file again')
  return tokens[index]


def _pieces(metadata: Mapping[str, Any]) -> tuple[list[str], list[int]]:
  """Pieces and their kinds, each by id."""
  tokens = _list(metadata, 'tokens', str)
  types = _list(metadata, 'token_type', int)
  if len(types) != len(tokens):
    raise InputError(f'{_PREFIX}token_type: {len(types)} of {len(tokens)} '
                     'pieces; download the file again')
  if unknown := set(types) - _KINDS_OF_PIECES:
    raise InputError(f'{_PREFIX}token_type: {min(unknown)} is no kind of piece '
                     '(1 to 6); download the file again')
  return tokens, types


def _list(metadata: Mapping[str, Any], key: str, kind: type) -> list[Any]:
  values = metadata.get(f'{_PREFIX}{key}')
  if not isinstance(values, list) or not all(
      isinstance(value, kind) for value in values):
    raise InputError(f'{_PREFIX}{key}: missing, or not a list of '
                     f"{kind.__name__}; use the model's tokenizer.json or "
                     'tokenizer.model')
  return values


def _numbered(tokens: Sequence[str]) -> dict[str, int]:
  """Ids by piece; of pieces that are there twice the first counts."""
  return {token: index for index, token in reversed(list(enumerate(tokens)))}
