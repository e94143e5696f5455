"""What a model gives when it reads one text, or several."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


class _Short:
  """Shows shapes, not numbers."""

  def __repr__(self) -> str:
    shapes = {
      **{name: value for name, value in vars(self).items()
         if hasattr(value, 'shape')},
      **{f'taps[{site!r}]': x for site, x in vars(self)['taps'].items()}}
    return f'{type(self).__name__}(' + ', '.join(
      f'{name} {np.shape(x)}' for name, x in shapes.items()) + ')'


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Reading(_Short):
  """One text.

  Attributes:
    tokens: what each id stands for, T texts.
    ids_T: int32.
    logits_TV: float32 scores of the next token; None of an encoder that scores
      none.
    taps: of each site that was asked for, its array in every layer, such as
      (N,T,D) of `resid_post`, (N,H,T,S) of `attention_pattern`.
    embedding_D: of a sentence encoder, its vector of the text; else None.
  """

  tokens: list[str]
  ids_T: np.ndarray
  logits_TV: jax.Array | None
  taps: Mapping[str, Any]
  embedding_D: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Readings(_Short):
  """Several texts, padded on the right to the longest.

  Attributes:
    tokens: what the ids of each text stand for, without the padding.
    ids_BT: int32, 0 where padded.
    valid_BT: bool, False where padded.
    logits_BTV: as of a `Reading`; NaN where padded.
    taps: likewise, (N,B,T,D) and so on. Padded positions hold numbers that mean
      nothing.
    embedding_BD: as of a `Reading`.
  """

  tokens: list[list[str]]
  ids_BT: np.ndarray
  valid_BT: np.ndarray
  logits_BTV: jax.Array | None
  taps: Mapping[str, Any]
  embedding_BD: np.ndarray | None = None
