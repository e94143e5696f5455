"""Configs as plain values, which JSON can hold, and back.

A field that holds one of several kinds has its kind's name as `kind`.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from model.config import ConfigError, kind_name, kinds


def as_dict(config: Any) -> Any:
  """A config as nested plain values, whole."""
  if not dataclasses.is_dataclass(config):
    return [as_dict(v) for v in config] if isinstance(config, tuple) else config
  values = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    values[field.name] = (
      {'kind': kind_name(config, field.name), **as_dict(value)}
      if kinds(field) else as_dict(value))
  return values


def from_dict(kind: Any, values: Mapping[str, Any], path: str = '') -> Any:
  """The config that `as_dict` gave these values of.

  Fields that are not there have their defaults: a later version adds some.

  Args:
    kind: its class; no field of it may hold configs in a tuple.
    values: plain values.
    path: what messages say before a field's name.

  Raises:
    ConfigError: no such field or kind, or a value of another type.
  """
  fields = {field.name: field for field in dataclasses.fields(kind)}
  types = typing.get_type_hints(kind)
  found = {}
  for name, value in values.items():
    if name not in fields:
      raise ConfigError(f'{path}{name}: {kind.__name__} has no such field; a '
                        'later version of Fathom may')
    found[name] = _value(fields[name], types[name], value, path + name)
  return kind(**found)


def differing(config: Any, prefix: str = '') -> dict[str, Any]:
  """The fields that are not what a new config of this class has.

  Those that change how fast a result comes, and places, whose content counts,
  are left out.

  Returns:
    {dotted path: plain value}; of a field that holds a kind the kind's name,
    and what differs within it.
  """
  found: dict[str, Any] = {}
  types = typing.get_type_hints(type(config))
  for field in dataclasses.fields(config):
    if field.metadata.get('role') in ('execution', 'place'):
      continue
    value, path = getattr(config, field.name), prefix + field.name
    default = (field.default_factory() if callable(field.default_factory)
               else field.default)
    if kinds(field):
      if type(value) is not type(default):
        found[path] = kind_name(config, field.name)
      found |= differing(value, path + '.')
    elif dataclasses.is_dataclass(value):
      found |= differing(value, path + '.')
    elif value != default:
      found[path] = _element(value, types[field.name])
  return found


def _element(value: Any, kind: Any) -> Any:
  """A value of a field; of what a tuple holds, what differs likewise."""
  if isinstance(value, tuple):
    inner = (*typing.get_args(kind), None)[0]
    return [_element(item, inner) for item in value]
  if kind in (float, bool):  # 1 and 1.0 are one value, and have to look so
    return kind(value)
  if dataclasses.is_dataclass(value):
    return {'type': type(value).__name__, **differing(value)}
  return value


def _value(field: dataclasses.Field[Any], kind: Any, value: Any,
           path: str) -> Any:
  if choices := kinds(field):
    held = dict(value) if isinstance(value, dict) else {}
    name = held.pop('kind', None)
    if name not in choices:
      raise ConfigError(f'{path}: {name!r} is none of {", ".join(choices)}')
    return from_dict(choices[name], held, f'{path}.')
  if dataclasses.is_dataclass(kind) and isinstance(value, dict):
    return from_dict(kind, value, f'{path}.')
  if typing.get_origin(kind) is typing.Literal:
    if value not in typing.get_args(kind):
      raise ConfigError(f'{path}: {value!r} is none of '
                        f'{", ".join(map(str, typing.get_args(kind)))}')
    return value
  plain = list if typing.get_origin(kind) is tuple else kind
  if type(value) is not plain and (plain, type(value)) != (float, int):
    raise ConfigError(f'{path}: {value!r} is not a {plain.__name__}')
  return tuple(value) if plain is list else kind(value)
