"""Held-out bytes that the training text has too are found, and no others."""

import string

import numpy as np
import pytest
from corpora import leaked_bytes, scored_tokens

from data.text import leak
from data.text.tokenizer import ByteTokenizer, Tokenizer

BYTES = ByteTokenizer()


class Longest(Tokenizer):
  """Takes the longest of its pieces that fits, or else a byte."""

  def __init__(self, pieces):
    super().__init__([*(bytes([i]) for i in range(256)), *pieces, b''],
                     256 + len(pieces), 'longest')
    self._longest = sorted(enumerate(self.pieces_V[:-1]),
                           key=lambda piece: -len(piece[1]))

  def encode(self, text):
    rest, ids = text.encode(), []
    while rest:
      index, piece = next((i, p) for i, p in self._longest
                          if rest.startswith(p))
      ids.append(index)
      rest = rest[len(piece):]
    return np.array(ids, np.int32)


def stream(tokens, documents):
  return np.concatenate([[tokens.separator, *tokens.encode(document)]
                         for document in documents]).astype(np.uint16)


def check(tokens, held_out, training, **options):
  """Compares with the slow way; returns how many bytes leak."""
  found = leak.scored(tokens, [stream(tokens, held_out)],
                      [stream(tokens, training)], **options)
  assert (found == scored_tokens(tokens, held_out, training)).all()
  return sum(int(marks.sum()) for marks in leaked_bytes(held_out, training))


@pytest.fixture
def prose(rng):
  def draw(size):
    return ''.join(rng.choice(list(string.ascii_lowercase + ' '), size))
  return draw


@pytest.fixture
def rng():
  return np.random.default_rng(0)


@pytest.mark.parametrize(('size', 'leaks'), [(63, 0), (64, 64), (65, 65),
                                             (200, 200)])
@pytest.mark.parametrize('before', [0, 1, 31, 32, 33, 500])
@pytest.mark.parametrize('after', [0, 700])
def test_copies_of_a_shingle_or_more_leak(size, leaks, before, after, prose):
  """In the middle of a document, at its beginning, at its end."""
  copy = prose(size)
  held_out = [prose(100), prose(after) + copy + prose(before), prose(100)]
  # In capitals, so that no neighbour makes the copy longer by chance.
  training = [text.upper() for text in (prose(300), prose(50))]
  training.insert(1, prose(before).upper() + '\n' * bool(before) + copy
                  + '\n' * bool(after) + prose(after).upper())
  assert check(BYTES, held_out, training) == leaks


def test_no_shingle_reaches_into_the_next_document(prose):
  a, b = prose(40), prose(40)
  assert check(BYTES, [a, b], [a + b]) == 0
  assert check(BYTES, [a + b], [a, b]) == 0
  assert check(BYTES, [a, b], [a, b]) == 0
  assert check(BYTES, [a + b], [a + b]) == 80


def test_copies_that_overlap_leak_as_one(prose):
  text = prose(150)
  assert check(BYTES, [text], [text[:100], text[50:]]) == 150
  # All but the bytes 64 to 85, which no whole shingle reaches.
  assert check(BYTES, [text], [text[:64], text[86:]]) == 128


def test_a_character_that_a_copy_cuts_is_one_of_bytes(prose):
  copy = prose(62)
  # 深 and 淳 begin with the same two bytes, 沱 with the same one.
  assert check(BYTES, [copy + '深' + prose(9)], [copy + '淳' + prose(9)]) == 64
  assert check(BYTES, [copy + '深' + prose(9)], [copy + '沱' + prose(9)]) == 0
  tokens = Longest(['深'.encode()])
  held_out = stream(tokens, [copy + '深' + 'x'])
  found = leak.scored(tokens, [held_out],
                      [stream(tokens, [copy + '淳' + 'y'])])
  # The character is one token, so it is left out whole.
  assert held_out[found].tolist() == [ord('x')]


@pytest.mark.parametrize('cut', [0, 1, 35])
def test_a_token_leaks_if_any_of_its_bytes_does(cut, prose):
  copy, own = prose(64), prose(300)
  tokens = Longest([(copy[40:] + own[:150]).encode(), own[150:260].encode(),
                    copy[3:9].encode()])
  assert max(tokens.bytes_V) > 2 * leak.SHINGLE
  held_out = [prose(cut) + copy + own, own + copy]
  assert check(tokens, held_out, [prose(30) + copy + prose(30)]) == 128
  assert check(tokens, held_out, [prose(30) + own]) == 600


@pytest.mark.parametrize('chunk', [1, 7, 64, 100])
def test_stretches_change_nothing(chunk, prose, monkeypatch):
  tokens = Longest([b'abc', prose(90).encode()])
  texts = [prose(n) for n in (10, 64, 65, 200, 1, 90, 300)]
  held_out = [a + b for a, b in zip(texts, texts[::-1])]
  training = [prose(50) + text + prose(20) for text in texts]
  monkeypatch.setattr(leak, '_CHUNK', chunk)
  for kind in (BYTES, tokens):
    assert check(kind, held_out, training) > 600


def test_many_arrays_and_threads_are_as_one(prose, rng):
  texts = [prose(n) for n in rng.integers(1, 300, 200)]
  training = [prose(20) + text for text in texts[::3]] + texts[1::3]
  whole = leak.scored(BYTES, [stream(BYTES, texts)], [stream(BYTES, training)])
  counted = []
  parts = leak.scored(
    BYTES, [stream(BYTES, texts[i:i + 9]) for i in range(0, 200, 9)],
    [stream(BYTES, training[i:i + 5]) for i in range(0, len(training), 5)],
    threads=4, progress=counted.append)
  np.testing.assert_array_equal(whole, parts)
  assert 0.2 < whole.mean() < 0.6
  assert sum(counted) == len(stream(BYTES, training))


def test_text_that_repeats_itself(prose):
  """The same shingles over and over, which one hash stands for."""
  line = prose(20) + '\n'
  assert check(BYTES, [line * 50 + prose(99)], [line * 4]) == 21 * 50
  assert check(BYTES, ['-' * 500 + prose(99)], ['-' * 63, prose(300)]) == 0
  assert check(BYTES, ['-' * 500 + prose(99)], ['-' * 64]) == 500


def test_documents_of_one_byte_and_nothing_in_common():
  assert check(BYTES, ['a', 'b'], ['a', 'c']) == 0


def test_random_copies(rng, prose):
  for _ in range(20):
    pool = [prose(400) for _ in range(3)]
    held_out, training = (
      [''.join(prose(rng.integers(40)) + text[a:a + rng.integers(120)]
               for text in pool for a in rng.integers(300, size=3))
       for _ in range(4)] for _ in range(2))
    assert check(BYTES, held_out, training) > 0


def test_share_is_of_bytes_and_said_in_words(prose):
  copy = prose(64)
  tokens = Longest([copy[:32].encode()])
  held_out = [stream(tokens, [copy + prose(192)]), stream(tokens, ['é' * 32])]
  scored = leak.scored(tokens, held_out, [stream(tokens, [copy])])
  told = leak.share(tokens, held_out, scored)
  assert told == {'held_out_bytes': 320, 'left_out': 0.2}
  assert leak.sentences(told) == [
    '20.0% of the 320 held-out bytes are not scored: they lie in copies of '
    'training text, of 64 bytes or more.']
  assert leak.sentences({}) == []
  assert leak.sentences({'parts': [{}, told]}) == [
    f'Part 2: {leak.sentences(told)[0]}']
