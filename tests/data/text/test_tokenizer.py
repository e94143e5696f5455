"""No byte is lost, every byte is counted, training is repeatable."""

import io
import pathlib
import random

import numpy as np
import pytest
import sentencepiece

from data.errors import InputError
from data.text import corpus
from data.text.sentence_piece import (
  SentencePieceTokenizer,
  cache_path,
  train,
)
from data.text.tokenizer import ByteTokenizer, tokenizer

DOCUMENTS = corpus.read('')[:8]
VOCAB_SIZE = 384
AWKWARD = [
  '', ' ', '  two  blanks  ', '\n', '\r\n\t\v\f\x00\x1b\x7f', '\ufeffmark',
  '\u2581', '\u2581\u2581 \u2581x', '\u2585', '\ufffd\ufffe\uffff\U0010ffff',
  'e\u0301 é ﬁ Ａ ½ ㎏', '\u00a0\u2003\u3000\u200b\u200d\u2028', '👩‍👩‍👧🏽 🇩🇪',
  'שלום مرحبا', '深い理解', '<unk></s><s><pad><0x41>', '</s>', '%s\\n',
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  return tmp_path / 'fathom' / 'tokenizers'


@pytest.fixture(scope='module')
def models():
  return {kind: train(DOCUMENTS, kind, VOCAB_SIZE)
          for kind in ('unigram', 'bpe')}


@pytest.fixture(params=['bytes', 'unigram', 'bpe'])
def tokens(request, models):
  if request.param == 'bytes':
    return ByteTokenizer()
  return SentencePieceTokenizer(models[request.param], request.param)


def random_texts(count, seed=0):
  """Texts of letters, blanks and characters of every plane."""
  draw = random.Random(seed)
  for _ in range(count):
    points = [draw.choice([draw.randrange(128), draw.randrange(0xd800),
                           draw.randrange(0xe000, 0x110000), 0x20, 0x2581])
              for _ in range(draw.randrange(40))]
    yield ''.join(map(chr, points))


def test_round_trip_is_exact(tokens):
  for text in [*AWKWARD, *random_texts(300), *DOCUMENTS]:
    ids = tokens.encode(text)
    assert tokens.decode(ids) == text
    assert tokens.bytes_V[ids].sum() == len(text.encode())
    assert tokens.separator not in ids


def test_ids_are_in_range_and_pieces_are_the_bytes(tokens):
  ids = tokens.encode(DOCUMENTS[0])
  assert ids.dtype == np.int32
  assert ids.min() >= 0
  assert ids.max() < tokens.vocab_size == len(tokens.bytes_V)
  assert b''.join(tokens.pieces_V[i] for i in ids) == DOCUMENTS[0].encode()


def test_separator_stands_for_no_byte(tokens):
  assert tokens.bytes_V[tokens.separator] == 0
  assert tokens.decode([tokens.separator]) == ''


def test_decoding_takes_any_ids(tokens):
  lone = tokens.encode('é')[:1]  # half a character, as a model may emit
  assert tokens.decode(lone) == '\ufffd'


def test_vocab_size_is_the_one_asked_for(models):
  for kind, model in models.items():
    assert SentencePieceTokenizer(model, kind).vocab_size == VOCAB_SIZE
  assert ByteTokenizer().vocab_size == 257


def test_trained_pieces_are_longer_than_bytes(models):
  for kind, model in models.items():
    ids = SentencePieceTokenizer(model, kind).encode(DOCUMENTS[0])
    assert len(ids) < 0.8 * len(DOCUMENTS[0].encode())


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_training_is_repeatable_and_silent(kind, models, capfd):
  assert train(DOCUMENTS, kind, VOCAB_SIZE) == models[kind]
  assert capfd.readouterr() == ('', '')


def test_model_is_kept_and_taken_from_the_cache(cache, models, monkeypatch):
  first = tokenizer('bpe', VOCAB_SIZE, DOCUMENTS)
  path = cache_path(DOCUMENTS, 'bpe', VOCAB_SIZE)
  assert path.parent == cache
  assert list(cache.iterdir()) == [path]  # no temporary file stays
  assert path.read_bytes() == models['bpe']
  # It would fail if it were called.
  monkeypatch.setattr('data.text.sentence_piece.train', None)
  again = tokenizer('bpe', VOCAB_SIZE, DOCUMENTS)
  assert again.pieces_V == first.pieces_V
  assert again.name == first.name


def test_cache_tells_corpora_kinds_and_sizes_apart():
  paths = {cache_path(['ab', 'c'], 'bpe', 300),
           cache_path(['a', 'bc'], 'bpe', 300),
           cache_path(['ab', 'c'], 'unigram', 300),
           cache_path(['ab', 'c'], 'bpe', 301)}
  assert len(paths) == 4


def test_damaged_cache_is_made_anew(cache, models):
  path = cache_path(DOCUMENTS, 'bpe', VOCAB_SIZE)
  path.parent.mkdir(parents=True)
  path.write_bytes(models['bpe'][:100])
  assert tokenizer('bpe', VOCAB_SIZE, DOCUMENTS).vocab_size == VOCAB_SIZE
  assert path.read_bytes() == models['bpe']


def test_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('not a folder')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  with pytest.raises(InputError, match='set XDG_CACHE_HOME'):
    tokenizer('bpe', VOCAB_SIZE, DOCUMENTS)


def test_model_file_is_read(tmp_path, models):
  path = tmp_path / 'mine.model'
  path.write_bytes(models['unigram'])
  mine = tokenizer(str(path), 0, [])
  text = DOCUMENTS[1]
  expected = SentencePieceTokenizer(models['unigram'], '').encode(text)
  np.testing.assert_array_equal(mine.encode(text), expected)


def refusal(name, vocab_size=VOCAB_SIZE, documents=DOCUMENTS):
  with pytest.raises(InputError) as error:
    tokenizer(name, vocab_size, documents)
  assert '\n' not in str(error.value)
  assert error.value.__suppress_context__
  return str(error.value)


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_vocabulary_that_does_not_fit_says_what_would(kind, capfd):
  small = refusal(kind, vocab_size=270)
  least = int(small.split('at least ')[1])
  assert small.startswith('data.source.vocab_size: 270 is too small')
  large = refusal(kind, vocab_size=200_000)
  most = int(large.split('at most ')[1].split()[0])
  assert large.startswith('data.source.vocab_size: 200000 is too large')
  assert capfd.readouterr() == ('', '')
  for fits in (least, most):
    assert tokenizer(kind, fits, DOCUMENTS).vocab_size == fits


@pytest.mark.parametrize('vocab_size', [-1, 0, 1, 2**40])
def test_senseless_vocabulary_is_refused(vocab_size):
  assert 'data.source.vocab_size' in refusal('bpe', vocab_size)


def test_text_that_cannot_train_is_refused():
  refused = refusal('unigram', 300, ['\n\n', '\n'])
  assert 'data.source.tokenizer=bytes' in refused


def test_unknown_name_lists_the_choices():
  message = refusal('wordpiece')
  assert "'wordpiece' cannot be read" in message
  assert 'bytes, unigram, bpe or the path' in message


@pytest.mark.parametrize('damage', ['empty', 'garbage', 'cut'])
def test_wrong_model_file_is_named(tmp_path, models, damage, capfd):
  content = {'empty': b'', 'garbage': b'not a model',
             'cut': models['bpe'][:1000]}[damage]
  path = tmp_path / 'bad.model'
  path.write_bytes(content)
  assert 'bad.model is not a SentencePiece model' in refusal(str(path))
  assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('options', [
  {},  # the trainer's own defaults
  {'normalization_rule_name': 'identity', 'remove_extra_whitespaces': False,
   'byte_fallback': True},  # a space put in front
  {'normalization_rule_name': 'identity', 'remove_extra_whitespaces': False,
   'add_dummy_prefix': False, 'byte_fallback': False},
])
def test_model_that_loses_text_is_refused(options):
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.Train(
    sentence_iterator=iter(DOCUMENTS[0].splitlines()), model_writer=model,
    vocab_size=350 if options.get('byte_fallback') else 60, model_type='bpe',
    minloglevel=3, **options)
  lossy = SentencePieceTokenizer(model.getvalue(), 'lossy.model')
  with pytest.raises(InputError, match=r'lossy\.model does not keep the text'):
    lossy.encode('two  blanks, ﬁ and 🙂\n')


def test_model_without_an_end_mark_gets_a_separator():
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.Train(
    sentence_iterator=iter(DOCUMENTS[0].splitlines()), model_writer=model,
    vocab_size=350, model_type='bpe', minloglevel=3, byte_fallback=True,
    normalization_rule_name='identity', remove_extra_whitespaces=False,
    add_dummy_prefix=False, eos_id=-1, bos_id=-1)
  tokens = SentencePieceTokenizer(model.getvalue(), '')
  assert tokens.vocab_size == 351
  assert tokens.separator == 350


def test_home_is_the_default_cache(tmp_path, monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME')
  monkeypatch.setenv('HOME', str(tmp_path))
  path = cache_path(['a'], 'bpe', 300)
  assert path.is_relative_to(pathlib.Path(tmp_path, '.cache', 'fathom'))
