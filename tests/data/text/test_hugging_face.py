"""Vocabularies of Hugging Face keep every byte, or say that they do not."""

import json
import sys

import pytest
from corpora import all_texts, documents, prepare, write_jsonl

from data.errors import InputError
from data.text.tokenizer import tokenizer

tokenizers = pytest.importorskip('tokenizers')

END = '<|endoftext|>'
AWKWARD = ['', ' ', '  two\n\n\tblanks ', '\ufeffé e\u0301 深い 👩‍👩‍👧🏽',
           '\u2581x', f'a {END} b', '<0x41>', 'ÄĠĊ']


def byte_level(path):
  made = tokenizers.Tokenizer(tokenizers.models.BPE())
  made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False)
  made.decoder = tokenizers.decoders.ByteLevel()
  made.train_from_iterator(documents(20), tokenizers.trainers.BpeTrainer(
    vocab_size=400, show_progress=False, special_tokens=['<pad>', END],
    initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
  made.add_tokens(['        '])  # as some models have for code
  made.enable_truncation(4)
  made.enable_padding(length=8)
  made.post_processor = tokenizers.processors.TemplateProcessing(
    single=f'{END} $A', special_tokens=[(END, 1)])
  made.save(str(path))
  return path


def byte_fallback(path):
  """In the form of vocabularies that were SentencePiece's."""
  pieces = ['<unk>', '</s>', *(f'<0x{i:02X}>' for i in range(256)),
            '\u2581', 'a', 'b', '\u2581a']
  made = tokenizers.Tokenizer(tokenizers.models.BPE(
    {piece: i for i, piece in enumerate(pieces)}, [('\u2581', 'a')],
    unk_token='<unk>', byte_fallback=True))
  made.normalizer = tokenizers.normalizers.Replace(' ', '\u2581')
  made.add_special_tokens(['<unk>', '</s>'])
  made.save(str(path))
  return path


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  return byte_level(tmp_path_factory.mktemp('vocabulary') / 'tokenizer.json')


@pytest.mark.parametrize('text', AWKWARD)
def test_round_trip_is_exact(path, text):
  tokens = tokenizer(str(path), 0, [])
  ids = tokens.encode(text)
  assert tokens.decode(ids) == text
  assert tokens.bytes_V[ids].sum() == len(text.encode())
  assert tokens.separator not in ids


def test_marks_stand_for_no_bytes_and_added_text_for_its_own(path):
  tokens = tokenizer(str(path), 0, [])
  assert tokens.separator == 1  # the end mark
  assert tokens.pieces_V[:2] == (b'', b'')
  assert tokens.pieces_V[tokens.encode(' ' * 8)[0]] == b' ' * 8
  assert tokens.vocab_size == 401


@pytest.mark.parametrize('text', ['', 'a b a', 'né 深\n', ' a'])
def test_byte_fallback_is_read(text, tmp_path):
  tokens = tokenizer(str(byte_fallback(tmp_path / 'tokenizer.json')), 0, [])
  assert tokens.separator == 1
  assert tokens.decode(tokens.encode(text)) == text


def test_a_vocabulary_without_an_end_mark_gets_one(path, tmp_path):
  content = json.loads(path.read_text().replace(END, '<|other|>'))
  (tmp_path / 'tokenizer.json').write_text(json.dumps(content))
  tokens = tokenizer(str(tmp_path / 'tokenizer.json'), 0, [])
  assert tokens.separator == 401
  assert tokens.vocab_size == 402


def test_corpus_is_prepared_with_it(path, tmp_path):
  found = documents()
  _, made = prepare([write_jsonl(tmp_path / 'in.jsonl', found)],
                    tmp_path / 'out', workers=2, tokenizer=str(path),
                    shard_bytes=20_000)
  assert sorted(all_texts(made)) == sorted(found)
  assert (tmp_path / 'out' / 'tokenizer.json').read_bytes() == path.read_bytes()


def test_a_vocabulary_that_changes_text_is_refused(path, tmp_path):
  made = tokenizers.Tokenizer.from_file(str(path))
  made.normalizer = tokenizers.normalizers.Lowercase()
  made.save(str(tmp_path / 'tokenizer.json'))
  tokens = tokenizer(str(tmp_path / 'tokenizer.json'), 0, [])
  with pytest.raises(InputError, match="'Two' comes back as 'two'"):
    tokens.encode('Two')
  found = [text.lower() for text in documents(49)] + ['ONE IN FIFTY']
  malformed, made = prepare(
    [write_jsonl(tmp_path / 'in.jsonl', found)], tmp_path / 'out',
    max_bad=0.02, tokenizer=str(tmp_path / 'tokenizer.json'))
  assert malformed.problems == {'changed by the tokenizer': 1}
  assert ':50: changed by the tokenizer' in malformed.first[0]
  assert len(all_texts(made)) == 49


def test_a_missing_package_is_named_with_its_extra(path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tokenizers', None)
  with pytest.raises(InputError, match=r"pip install -e '\.\[hf\]'"):
    tokenizer(str(path), 0, [])


@pytest.mark.parametrize('content', ['', '{}', '[1]', '{"model": 3}'])
def test_another_file_is_refused(content, tmp_path):
  (tmp_path / 'x.json').write_text(content)
  with pytest.raises(InputError, match=r'not a Hugging Face tokenizer\.json'):
    tokenizer(str(tmp_path / 'x.json'), 0, [])


WORDS = {'type': 'WordPiece', 'unk_token': '[UNK]', 'vocab': {'a': 0},
         'continuing_subword_prefix': '##', 'max_input_chars_per_word': 9}
CLASSIFIED = {'type': 'BertProcessing', 'sep': ['x', 5],
              'cls': ['y', 2**32 - 1]}
EXPANDED = {'type': 'Replace', 'pattern': {'Regex': ''}, 'content': 'x'}
BACKTRACKING = {'type': 'Split', 'pattern': {'Regex': '(a+)+$'},
                'behavior': 'Isolated', 'invert': False}


@pytest.mark.parametrize(('changes', 'says'), [
  ({'model': {**WORDS, 'vocab': {'a': 2**32 - 1}}}, 'id 4294967295 is beyond'),
  ({'model': WORDS}, 'cannot cut this text .*Missing'),
  ({'post_processor': CLASSIFIED}, 'makes id 4294967295 of a text'),
  ({'normalizer': EXPANDED}, 'cannot cut this text'),  # a panic in Rust
  ({'pre_tokenizer': BACKTRACKING}, 'cannot cut this text'),
  ({'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': 'AAAAAA=='}},
   'x.json')])
def test_what_its_library_cannot_do_is_one_message(changes, says, path,
                                                   tmp_path):
  (tmp_path / 'x.json').write_text(json.dumps(
    json.loads(path.read_text()) | changes))
  with pytest.raises(InputError, match=says):
    tokenizer(str(tmp_path / 'x.json'), 0, []).ids('a' * 40 + 'b')


def test_a_piece_that_looks_like_a_byte_is_a_piece(tmp_path):
  made = json.loads(byte_fallback(tmp_path / 'x.json').read_text())
  made['model']['vocab']['<0xZZ>'] = len(made['model']['vocab'])
  (tmp_path / 'x.json').write_text(json.dumps(made))
  assert tokenizer(str(tmp_path / 'x.json'), 0, []).pieces_V[-1] == b'<0xZZ>'
