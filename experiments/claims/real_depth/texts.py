"""What the model reads: chapters, each of which is one unit of replication.

The chapters of English prose that ships with Python, dealt out in their order
to be judged, to fit on, and for pilots, so that none is used twice. Of each the
beginning is read.
"""

import dataclasses

import numpy as np

from data.text import corpus
from data.text.tokenizer import Tokenizer
from experiments.claims import models
from experiments.instruments import passages
from experiments.instruments.passages import Passages
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.task import Pretrained

NEEDED = models.needed(models.SMOLLM2)
LABEL = 'quantised (Q4_1), instruct, 135 M'
LEAST = 1000  # characters of a chapter
ROLES = ('judged', 'calibration', 'pilot')


@dataclasses.dataclass(frozen=True)
class Size:
  """What of the model is measured.

  Attributes:
    stratum: in which.
    texts: how many are judged, each a cluster.
    tokens: of each.
    scored: positions of each at which words are compared, at most.
    calibration: texts to fit on.
    windows: of each of these, of `tokens` each.
    prompt: tokens that are written on from.
    new: tokens that are written.
    role: of the texts that are judged.
  """

  stratum: str
  texts: int = 16
  tokens: int = 96
  scored: int = 32
  calibration: int = 16
  windows: int = 5
  prompt: int = 32
  new: int = 8
  role: str = 'judged'


SMALL = Size('', texts=2, tokens=24, scored=4, calibration=2, windows=1,
             prompt=8, new=2)


def size(stratum: str, preset: str) -> Size:
  """What is measured at a preset."""
  return dataclasses.replace(SMALL if preset == 'smoke' else Size(''),
                             stratum=stratum)


def sweep(stratum: str, preset: str, pins: Pins) -> tuple[Cell, ...]:
  """The model, once."""
  del pins
  return (Cell(stratum, 'SmolLM2', Pretrained(
    models.path(models.SMOLLM2), size(stratum, preset))),)


def chapters(role: str) -> list[str]:
  """The texts of one role."""
  long = [text for text in corpus.read('') if len(text) >= LEAST]
  return long[ROLES.index(role)::len(ROLES)]


def judged(tokenizer: Tokenizer, own: Size) -> Passages:
  """A window a text, all of one length: row b is of text b."""
  return _cut(tokenizer, own.role, own.texts, own.tokens, 1)


def calibration(tokenizer: Tokenizer, own: Size) -> Passages:
  """Several windows a text."""
  return _cut(tokenizer, 'calibration', own.calibration, own.tokens,
              own.windows)


def prompts(tokenizer: Tokenizer, own: Size) -> list[np.ndarray]:
  """What is written on from, one a text."""
  return [tokens_T[:own.prompt]
          for tokens_T in judged(tokenizer, own).tokens_BT]


def _cut(tokenizer: Tokenizer, role: str, texts: int, tokens: int,
         windows: int) -> Passages:
  """The first `texts` of a role that are a window long, cut."""
  found: list[list[int]] = []
  for text in chapters(role):
    ids = tokenizer.ids(text, marks=False)
    if len(ids) > tokens and len(found) < texts:
      # One more, which the last window's last position is to predict.
      found.append([int(i) for i in ids[:windows * tokens + 1]])
  whole = [ids[:(len(ids) - 1) // tokens * tokens + 1] for ids in found]
  cut = passages.cut(whole, tokens)
  full = cut.valid_BT.all(1)
  return Passages(*(x[full] for x in cut))
