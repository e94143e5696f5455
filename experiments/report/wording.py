"""Verdict words, tiers and numbers as a person reads them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from experiments.judge.verdict import EffectResult

# word -> (sign, colour-blind safe with the word beside it; what it means)
VERDICTS = {
  'supported': ('✓', 'the interval lies beyond the smallest effect of '
                'interest'),
  'refuted': ('✗', 'an effect of that size is ruled out: the opposite sign, '
              'or shown to be smaller'),
  'conditional': ('◐', 'declared strata disagree: it holds in some and fails '
                  'in others'),
  'inconclusive': ('?', 'the interval allows both; more runs are needed'),
  'invalid': ('!', 'a control failed, so the measurement says nothing'),
  'incomplete': ('…', 'planned runs are missing, so no verdict is given'),
}
TIERS = {
  'E0': 'exact',
  'E1': 'trained on a CPU',
  'E2': 'trained on an accelerator',
  'E3': 'pretrained model',
}


def number(value: float | None, digits: int = 3) -> str:
  """A number to `digits` significant places, or a dash when there is none."""
  if value is None or math.isnan(value):
    return '–'
  if math.isinf(value):
    return '∞' if value > 0 else '−∞'
  if value == 0:
    return '0'
  size = abs(value)
  if 1e-3 <= size < 1e5:
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f'{value:,.{places}f}'
  else:
    text = f'{value:.{digits - 1}e}'
  return text.replace('-', '−')


def span(effect: EffectResult) -> tuple[str, str]:
  """An effect's estimate and its interval, to the digits the interval bears."""
  width = effect.high - effect.low
  if not math.isfinite(width) or width <= 0:
    ends = brief(effect.low), brief(effect.high)
    return brief(effect.estimate), f'[{ends[0]}, {ends[1]}]'
  places = min(6, max(0, 1 - math.floor(math.log10(width))))
  low, estimate, high = (
    f'{round(value, places) + 0:.{places}f}'.replace('-', '−')
    for value in (effect.low, effect.estimate, effect.high))
  return estimate, f'[{low}, {high}]'


def brief(value: float | None) -> str:
  """A number without trailing zeros: a threshold, a required value."""
  text = number(value)
  return text.rstrip('0').rstrip('.') if '.' in text and 'e' not in text else (
    text)


def count(value: int | None) -> str:
  """A whole number with its thousands apart."""
  return '–' if value is None else f'{value:,}'


def probability(value: float | None) -> str:
  """A p-value."""
  if value is None or math.isnan(value):
    return '–'
  return '< 0.001' if value < 0.001 else f'{value:.3f}'


def label(name: str) -> str:
  """An identifier as words."""
  return name.replace('_', ' ')


def entries(value: Any, path: str = '') -> Iterator[tuple[str, str]]:
  """Flattens nested mappings into (dotted key, text) pairs, in their order."""
  if isinstance(value, Mapping):
    for key, item in value.items():
      yield from entries(item, f'{path}.{key}' if path else str(key))
  elif isinstance(value, str):
    yield path, value
  else:
    yield path, json.dumps(value, default=str, ensure_ascii=False)


def markdown(value: Any) -> str:
  """Text that Markdown shows as it is, in a table cell too.

  What a template marks as safe is Markdown already and passes unchanged.
  """
  if hasattr(value, '__html__'):
    return str(value)
  text = '' if value is None else str(value)
  for char, entity in (('&', '&amp;'), ('<', '&lt;'), ('>', '&gt;')):
    text = text.replace(char, entity)
  text = ' '.join(text.split())
  return ''.join(f'\\{c}' if c in '\\`*_[]|#$~' else c for c in text)
