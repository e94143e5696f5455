"""Tokenizers that alter texts load, and what they say comes back as text."""

import io

import pytest
import sentencepiece

from data.errors import InputError
from data.text import corpus
from data.text.sentence_piece import SentencePieceTokenizer
from data.text.tokenizer import ByteTokenizer

tokenizers = pytest.importorskip('tokenizers')

WORDS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'the', 'cat', 'un', '##like',
         '##ly', ',']


@pytest.fixture(scope='module')
def word_piece():
  """As BERT's: lower case, words in pieces, marks around a text."""
  from data.text.hugging_face import HuggingFaceTokenizer
  made = tokenizers.Tokenizer(tokenizers.models.WordPiece(
    {word: i for i, word in enumerate(WORDS)}, unk_token='[UNK]'))
  made.normalizer = tokenizers.normalizers.BertNormalizer()
  made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
  made.decoder = tokenizers.decoders.WordPiece()
  made.add_special_tokens(WORDS[:4])
  made.post_processor = tokenizers.processors.TemplateProcessing(
    single='[CLS] $A [SEP]', special_tokens=[('[CLS]', 2), ('[SEP]', 3)])
  return HuggingFaceTokenizer(made.to_str().encode(), 'words.json')


@pytest.fixture(scope='module')
def prefixed():
  """As Llama's: a space in front of every text, and a mark of its beginning."""
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.Train(
    sentence_iterator=iter(corpus.read('')[0].splitlines()),
    model_writer=model, vocab_size=350, model_type='bpe', minloglevel=3,
    byte_fallback=True, normalization_rule_name='identity',
    remove_extra_whitespaces=False)
  return SentencePieceTokenizer(model.getvalue(), 'prefixed.model')


def test_marks_stand_around_a_text_and_may_be_spelled(word_piece):
  assert list(word_piece.ids('The CAT')) == [2, 4, 5, 3]
  assert list(word_piece.ids('The CAT', marks=False)) == [4, 5]
  assert list(word_piece.ids('the [SEP] cat')) == [2, 4, 3, 5, 3]
  assert 3 not in word_piece.ids('the [SEP] cat', marks=False)
  assert [word_piece.token(i) for i in (2, 7, 3, 99)] == [
    '[CLS]', '##like', '[SEP]', '<99>']


def test_words_are_put_together_as_the_library_does(word_piece):
  assert not word_piece.keeps
  ids = word_piece.ids('Unlikely, the cat')
  assert word_piece.decode(ids) == 'unlikely, the cat'
  assert ''.join(word_piece.spelled(ids)) == 'unlikely, the cat'
  with pytest.raises(InputError, match='does not keep the text'):
    word_piece.encode('The cat')


def test_a_space_that_was_put_in_front_is_not_read_out(prefixed):
  assert not prefixed.keeps
  text = 'the quick 深 fox'
  ids = prefixed.ids(text)
  assert prefixed.token(ids[0]) == '<s>'
  assert list(ids[1:]) == list(prefixed.ids(text, marks=False))
  assert prefixed.decode(ids) == text
  assert prefixed.decode([*ids, prefixed.separator]) == text
  assert prefixed.ends == {prefixed.separator}


@pytest.mark.parametrize('cut', range(1, 8))
def test_what_is_spelled_goes_on_where_the_text_ended(prefixed, cut):
  ids = list(prefixed.ids('the quick 深 fox'))
  pieces = list(prefixed.spelled(ids[cut:], after=ids[:cut]))
  assert ''.join(pieces) == 'the quick 深 fox'[len(prefixed.decode(ids[:cut])):]


def test_characters_of_several_tokens_are_spelled_whole():
  tokens = ByteTokenizer()
  assert list(tokens.spelled(tokens.ids('a深🙂'))) == ['a', '深', '🙂']
  assert list(tokens.spelled(tokens.ids('深')[:2])) == ['\ufffd']
  assert ''.join(tokens.spelled([0xff, 0x41, 256, 300])) == '\ufffdA'
  assert tokens.keeps
