"""Signs, tiers and manifests as a person reads them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from experiments.judge import numbers

# A sign beside each verdict and state, so that colour alone says nothing.
SIGNS = {
  'supported': '✓', 'holds': '✓', 'equivalent': '≈', 'refuted': '✗',
  'opposite': '✗', 'fails': '✗', 'conditional': '◐', 'inconclusive': '?',
  'invalid': '!', 'incomplete': '…', 'not run': '–', 'not yet': '–',
  'no evidence': '–',
}
TIERS = {
  'E0': 'exact',
  'E1': 'trained on a CPU',
  'E2': 'trained on an accelerator',
  'E3': 'pretrained model',
}


def span(estimated: Any) -> tuple[str, str]:
  """What has an estimate, low and high, to the digits its interval bears."""
  low, high = estimated.low, estimated.high
  if 'correlation' in getattr(estimated, 'unit', ''):  # none lies beyond
    low, high = max(low, -1.0), min(high, 1.0)
  return numbers.span(estimated.estimate, low, high)


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


def script_json(value: Any) -> str:
  """JSON inside a script element: nothing in it can end the element."""
  text = json.dumps(value, ensure_ascii=False, separators=(',', ':'),
                    allow_nan=False)
  for char in '<>&\u2028\u2029':
    text = text.replace(char, f'\\u{ord(char):04x}')
  return text
