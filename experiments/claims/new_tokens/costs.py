"""What a method costs, from the results table.

Cost is regret on new text (against retraining) plus forgetting of old text
(against the parent), in nats per token, for each seed.
"""

import functools
from collections.abc import Callable, Sequence

import polars as pl

from experiments.claims.new_tokens.methods import (
  ENDS,
  PARENT,
  RETRAINING,
  SHARE,
  WIDTH,
)
from experiments.judge import samples
from experiments.judge.declaration import Control
from experiments.judge.samples import Condition, Term

LEARNED = 0.05  # nats above the exact entropy, at most


def cost(method: str, similarity: float, width: int = WIDTH,
         share: float = SHARE, forgotten: str = 'old_excess'
         ) -> tuple[Term, ...]:
  """The terms of a method's cost; `forgotten` is the metric of old text."""
  def where(arm: str) -> dict[str, str | int | float]:
    place = {} if arm == PARENT else {'similarity': similarity, 'share': share}
    return {'arm': arm, 'd_model': width, **place}

  return ((1.0, 'new_excess', where(method)),
          (-1.0, 'new_excess', where(RETRAINING)),
          (1.0, forgotten, where(method)),
          (-1.0, forgotten, where(PARENT)))


def difference(a: tuple[Term, ...], b: tuple[Term, ...] = ()
               ) -> Callable[..., samples.Sample]:
  """The measure of one cost less another, or of one alone."""
  terms = (*a, *((-factor, metric, where) for factor, metric, where in b))
  return functools.partial(samples.combination, terms=terms)


def highest(table: pl.DataFrame, metrics: Sequence[str],
            wheres: Sequence[Condition]) -> float:
  """The highest of the means of metrics under conditions."""
  return max(samples.best(table, metric, wheres) for metric in metrics)


def learned(width: int = WIDTH, share: float = SHARE) -> Control:
  """The positive control: retraining learns both texts, at both ends."""
  named = ('' if width == WIDTH else f', d = {width}') + (
    '' if share == SHARE else f', share {share:g}')
  return Control(
    f'retraining learns{named}', 'Trained on both texts, the model is within '
    f'{LEARNED} nats of the entropy of each.',
    functools.partial(highest, metrics=('old_excess', 'new_excess'),
                      wheres=tuple({'arm': RETRAINING, 'd_model': width,
                                    'similarity': s, 'share': share}
                                   for s in ENDS)),
    at_most=LEARNED)


def knows(width: int = WIDTH) -> Control:
  """The parent has learned the old text, which can then be forgotten."""
  named = '' if width == WIDTH else f', d = {width}'
  return Control(
    f'parent knows{named}', 'The parent is within '
    f'{LEARNED} nats of the entropy of the old text.',
    functools.partial(samples.average, metric='old_excess',
                      where={'arm': PARENT, 'd_model': width}),
    at_most=LEARNED)
