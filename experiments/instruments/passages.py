"""What a network is read on: texts in windows, a few at a time."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from data.batch import Batch

Array = Any  # NumPy's where the host cut it, JAX's inside a program


class Passages(NamedTuple):
  """Windows of one length, of one or more texts.

  Attributes:
    tokens_BT: int32, what is read.
    targets_BT: int32, the next token; 0 where there is none.
    weights_BT: float32, 1 where the prediction of the target is scored.
    valid_BT: bool, False where a window is padded, at its right end.
    text_B: int32, which text a window is of: the cluster that it belongs to.
  """

  tokens_BT: Array
  targets_BT: Array
  weights_BT: Array
  valid_BT: Array
  text_B: Array

  @property
  def tokens(self) -> int:
    """How many are real."""
    return int(np.sum(self.valid_BT))


def cut(texts: Sequence[Sequence[int]], length: int) -> Passages:
  """Cuts texts into windows; the last of a text is as long as what is left.

  A window's last token has the next window's first as its target. What is one
  text's is never another's context or target.

  Args:
    texts: ids; those without any are left out.
    length: of a window, at most; all are as wide as the longest.
  """
  windows = [(ids[first:first + length], ids[first + 1:first + length + 1],
              number)
             for number, ids in enumerate(texts)
             for first in range(0, len(ids), length)]
  width = max((len(own) for own, _, _ in windows), default=0)

  def padded(rows: Sequence[Sequence[int]]) -> Any:
    table = np.zeros((len(rows), width), np.int32)
    for row, ids in zip(table, rows):
      row[:len(ids)] = ids
    return table

  def lengths(rows: Sequence[Sequence[int]]) -> Any:
    return np.arange(width) < np.array([len(ids) for ids in rows])[:, None]

  own, following, number = zip(*windows) if windows else ((), (), ())
  if not windows:
    raise ValueError('no text has any tokens')
  return Passages(padded(own), padded(following),
                  lengths(following).astype(np.float32), lengths(own),
                  np.array(number, np.int32))


def of_batch(batch: Batch) -> Passages:
  """Examples of a run's own source; each is a text of its own."""
  tokens_BT = np.asarray(batch.tokens_BT)
  return Passages(tokens_BT, np.asarray(batch.targets_BT),
                  np.asarray(batch.weights_BT, np.float32),
                  np.ones(tokens_BT.shape, bool),
                  np.arange(len(tokens_BT), dtype=np.int32))


def parts(passages: Passages, rows: int) -> Iterator[Passages]:
  """A few windows at a time, always `rows`: the last part is padded with empty
  ones, so that one program serves them all.
  """
  for first in range(0, len(passages.tokens_BT), rows):
    part = Passages(*(x[first:first + rows] for x in passages))
    more = rows - len(part.tokens_BT)
    yield Passages(*(np.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1))
                     for x in part)) if more else part


def scored(passages: Passages, most: int) -> Passages:
  """The same with at most so many scored positions, evenly spread.

  Products with the vocabulary are most of the work of a small model's lens.
  """
  place = np.flatnonzero(passages.weights_BT)
  if len(place) <= most:
    return passages
  kept = place[np.linspace(0, len(place) - 1, most).round().astype(int)]
  weights = np.zeros(passages.weights_BT.size, np.float32)
  weights[kept] = passages.weights_BT.reshape(-1)[kept]
  return passages._replace(
    weights_BT=weights.reshape(passages.weights_BT.shape))
