"""Numbers as a person reads them."""

import math
from collections.abc import Sequence


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


def brief(value: float | None) -> str:
  """A number without trailing zeros: a threshold, a required value."""
  text = number(value)
  return text.rstrip('0').rstrip('.') if '.' in text and 'e' not in text else (
    text)


def span(estimate: float, low: float, high: float) -> tuple[str, str]:
  """An estimate and its interval, to the digits the interval bears."""
  width = high - low
  if not math.isfinite(width) or width <= 0:
    return brief(estimate), f'[{brief(low)}, {brief(high)}]'
  # Small numbers keep two places, so that a bound just past one shows it is.
  least = 2 if abs(estimate) < 10 else 0
  places = min(6, max(least, 1 - math.floor(math.log10(width))))
  first, middle, last = (
    f'{round(value, places) + 0:.{places}f}'.replace('-', '−')
    for value in (low, estimate, high))
  return middle, f'[{first}, {last}]'


def count(value: int | None) -> str:
  """A whole number with its thousands apart."""
  return '–' if value is None else f'{value:,}'


def probability(value: float | None) -> str:
  """A p-value."""
  if value is None or math.isnan(value):
    return '–'
  return '< 0.001' if value < 0.001 else f'{value:.3f}'


def listed(names: Sequence[str]) -> str:
  """Names as a sentence has them."""
  if len(names) < 2:
    return ''.join(names)
  return f'{", ".join(names[:-1])} and {names[-1]}'
