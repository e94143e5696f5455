"""`--config.model.n_layers=12`: dotted overrides of a frozen config.

Values are parsed by the field's type. A wrong path or value raises UsageError
with the path, the nearest match and the values that work, before any device is
touched.
"""

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

PREFIX = '--config.'


class UsageError(Exception):
  """The command line or a config value is wrong; the message says the fix."""


def split(args: Iterable[str]) -> tuple[dict[str, str], list[str]]:
  """Separates `--config.path=value` arguments from the rest.

  Returns:
    ({path: text}, the other arguments).
  """
  overrides: dict[str, str] = {}
  rest: list[str] = []
  pending = ''
  for arg in args:
    if pending:
      overrides[pending], pending = arg, ''
    elif arg.startswith(PREFIX):
      path, equals, text = arg.removeprefix(PREFIX).partition('=')
      if equals:
        overrides[path] = text
      else:
        pending = path
    else:
      rest.append(arg)
  if pending:
    raise UsageError(f'{PREFIX}{pending} has no value; write '
                     f'{PREFIX}{pending}=VALUE')
  return overrides, rest


def leaves(config: Any, prefix: str = '') -> Iterator[tuple[str, Any, Any]]:
  """Every field of a nested config as (dotted path, type, value)."""
  types = typing.get_type_hints(type(config))
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    path = prefix + field.name
    if dataclasses.is_dataclass(value):
      yield from leaves(value, path + '.')
    else:
      yield path, types[field.name], value


def parse(config: Any, overrides: Mapping[str, str]) -> dict[str, Any]:
  """Turns texts into values of the types that `config` declares.

  Raises:
    UsageError: no such field, or a text that is not of its type.
  """
  types = {path: kind for path, kind, _ in leaves(config)}
  values = {}
  for path, text in overrides.items():
    if path not in types:
      raise UsageError(_unknown(path, types))
    values[path] = _value(path, types[path], text)
  return values


def replace(config: Any, values: Mapping[str, Any]) -> Any:
  """A copy of a nested config with the fields at dotted paths replaced."""
  own = {p: v for p, v in values.items() if '.' not in p}
  parts: dict[str, dict[str, Any]] = {}
  for path, value in values.items():
    head, dot, tail = path.partition('.')
    if dot:
      parts.setdefault(head, {})[tail] = value
  nested = {head: replace(getattr(config, head), inner)
            for head, inner in parts.items()}
  return dataclasses.replace(config, **own, **nested)


def _unknown(path: str, types: Mapping[str, Any]) -> str:
  near = difflib.get_close_matches(path, types, n=1, cutoff=0.5)
  if not near:
    last = path.rpartition('.')[2]
    near = [p for p in types if p.endswith('.' + last)][:1]
  hint = f'; did you mean {PREFIX}{near[0]}?' if near else ''
  return f'{PREFIX}{path}: no such field{hint}'


def _value(path: str, kind: Any, text: str) -> Any:
  if typing.get_origin(kind) is Literal:
    choices = typing.get_args(kind)
    if text in choices:
      return text
    near = difflib.get_close_matches(text, choices, n=1)
    hint = f' (did you mean {near[0]}?)' if near else ''
    raise UsageError(f'{PREFIX}{path}={text}: use one of '
                     f'{", ".join(choices)}{hint}')
  if typing.get_origin(kind) is tuple:
    inner = typing.get_args(kind)[0]
    parts = [p for p in text.strip('()[]').split(',') if p.strip()]
    return tuple(_value(path, inner, p.strip()) for p in parts)
  try:
    if kind is int and 'e' in text.lower():  # 1e5 steps
      number = float(text)
      if number.is_integer():
        return int(number)
    return kind(text)
  except ValueError:
    raise UsageError(f'{PREFIX}{path}={text}: not a {_noun(kind)}') from None


def _noun(kind: Any) -> str:
  return {int: 'whole number', float: 'number'}.get(kind, kind.__name__)
