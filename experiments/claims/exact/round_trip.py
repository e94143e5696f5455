"""Tokenizers (card T1, statement B1).

The primer: a tokenizer must convert text to token ids, and each id has an
embedding.

What is judged here is that one can: of sampled strings text becomes ids and
comes back without the loss of a byte, whatever characters it has; a character
that the vocabulary never saw is spelled in bytes, not replaced by a mark for
the unknown. That each id has an embedding is a definition: its row of the
table. That a tokenizer *must* do it, where raw bytes (257 ids) do as well, is a
question of what is then predicted better, of trained models, and not judged.
"""

import functools
from typing import Any

import numpy as np

from data.errors import InputError
from data.text import corpus, sentence_piece, tokenizer
from data.text.tokenizer import Tokenizer
from experiments.claims.exact import figures, words
from experiments.claims.exact.counterexample import all_are, beyond
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact

KINDS = ('bytes', 'bpe', 'unigram')
VOCABULARY = 512
STRINGS = 10_000
LONGEST = 32
TRAINING = 100_000  # characters of English

# Ranges of code points: everything from control characters on, and what is
# likelier to go wrong. Surrogates are no text: UTF-8 cannot hold them.
RANGES = ((0x00, 0x7F), (0x20, 0x7E), (0x80, 0x24F), (0x300, 0x36F),
          (0x370, 0x5FF), (0x2000, 0x206F), (0x2581, 0x2581), (0x3040, 0x30FF),
          (0x4E00, 0x9FFF), (0xE000, 0xFFFF), (0x1F300, 0x1FAFF),
          (0x0, 0xD7FF), (0x10000, 0x10FFFF))


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each kind of tokenizer."""
  del preset, pins
  return tuple(Cell('round_trip', kind, Exact(('tokenizer', kind)))
               for kind in KINDS)


def measure(subject: Subject) -> list[Row]:
  """What becomes of random strings."""
  return lost(opened(subject.case[1]), strings(STRINGS))


def opened(kind: str) -> Tokenizer:
  """A tokenizer of a kind, trained on the embedded prose."""
  if kind == 'bytes':
    return tokenizer.ByteTokenizer()
  return sentence_piece.SentencePieceTokenizer(
    sentence_piece.train([prose()], kind, VOCABULARY), kind)


def prose() -> str:
  """The beginning of the English prose that ships with Python."""
  return '\n'.join(corpus.read(''))[:TRAINING]


def strings(count: int, seed: int = 0) -> list[str]:
  """Random strings of up to 32 characters of one or several ranges.

  Every second has a stretch of prose inside, so that pieces meet what has none.
  """
  random = np.random.default_rng(seed)
  text, found = prose(), []
  for index, size in enumerate(random.integers(LONGEST + 1, size=count)):
    ranges = random.permutation(len(RANGES))[:random.integers(1, 4)]
    low, high = np.array(RANGES)[random.choice(ranges, size)].T
    characters = ''.join(map(chr, random.integers(low, high + 1)))
    at, cut = random.integers(len(text) - LONGEST), random.integers(size + 1)
    known = text[at:at + LONGEST] if index % 2 else ''
    found.append(characters[:cut] + known + characters[cut:])
  return found


def lost(of: Tokenizer, texts: list[str]) -> list[Row]:
  """How many strings do not come back, the first, and ids of no byte."""
  changed, unknown, spelled, total = [], 0, 0, 0
  for text in texts:
    try:
      ids = of.encode(text)
    except InputError:
      changed.append(text)
      continue
    if of.decode(ids) != text:
      changed.append(text)
    unknown += int((of.bytes_V[ids] == 0).sum())
    spelled += int((of.bytes_V[ids] == 1).sum())
    total += len(ids)
  first: dict[str, Any] = {'first': ascii(changed[0])} if changed else {}
  return [Row('strings_lost', len(changed), first),
          Row('ids_of_no_byte', unknown),
          Row('share_of_single_bytes', spelled / max(1, total))]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  properties = (
    Property('round trip', f'Of {STRINGS:,} sampled Unicode strings each comes '
             'back as it was.', functools.partial(
               beyond, metric='strings_lost', at_most=0.0)),
    Property('no unknown', 'No part of them becomes a mark for the unknown: '
             'what has no piece is spelled in bytes.', functools.partial(
               beyond, metric='ids_of_no_byte', at_most=0.0)))
  return Stratum(
    name='round_trip',
    title='Tokenizers (B1): text to ids and back; that one must is not judged',
    prediction=f'Bytes, BPE and unigram pieces give back each of {STRINGS:,} '
    'sampled strings, characters that they never saw included. (That a model '
    'must have a tokenizer is not judged.)',
    refutation='A string comes back changed.',
    properties=properties,
    rule=Rule(supported=all_are('holds', properties),
              refuted=(('round trip', 'fails'),)),
    tier='E0')


PART = Part('round_trip', sweep, measure, declare, figures.none,
            sentence=words.readings)
