"""Configs as plain values, which JSON can hold, and back.

A field that holds one of several kinds has its kind's name as `kind`.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from model.config import ConfigError


def as_dict(config: Any) -> Any:
  """A config as nested plain values, whole."""
  if not dataclasses.is_dataclass(config):
    return [as_dict(v) for v in config] if isinstance(config, tuple) else config
  values = {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    names = {kind: name for name, kind in _kinds(field).items()}
    values[field.name] = (
      {'kind': names[type(value)], **as_dict(value)} if names
      else as_dict(value))
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


def _value(field: dataclasses.Field[Any], kind: Any, value: Any,
           path: str) -> Any:
  if choices := _kinds(field):
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


def _kinds(field: dataclasses.Field[Any]) -> Mapping[str, type]:
  found = field.metadata.get('kinds', {})
  return found() if callable(found) else found
