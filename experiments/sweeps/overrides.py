"""`--config.model.n_layers=12`: dotted overrides of a frozen config.

Values are parsed by the field's type. A wrong path or value raises UsageError
with the path, the nearest match and the values that work, before any device is
touched.

A field that holds one of several kinds of thing (a data source, a mixer) has
metadata {'kinds': {name: dataclass}}, or a function that returns it.
`--config.data.source=tree` chooses the kind, with its defaults, and
`--config.data.source.levels=4` sets a field of it. The name of such a field may
be left out where that is clear: `--config.data.levels=4`.
"""

import dataclasses
import difflib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from experiments.machine.usage import UsageError, nearest
from experiments.sweeps.flags import PREFIX
from model.config import kind_name, kinds


class UnknownField(UsageError):
  """The config has no field of that name."""


def leaves(config: Any, prefix: str = '') -> Iterator[tuple[str, Any, Any]]:
  """Every field of a nested config as (dotted path, type, value).

  A field that holds a kind comes first with the kind's name as its value, and
  a Literal of all names as its type; the fields of that kind follow.
  """
  types = typing.get_type_hints(type(config))
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    path = prefix + field.name
    if choices := kinds(field):
      yield path, Literal[tuple(choices)], kind_name(config, field.name)
    if dataclasses.is_dataclass(value):
      yield from leaves(value, path + '.')
    else:
      yield path, types[field.name], value


def semantic(config: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
  """(dotted path, value) of each field that shapes what is computed.

  Of a field that holds a kind, the kind's name comes first.
  """
  for field in dataclasses.fields(config):
    if field.metadata.get('role') == 'execution':
      continue
    value, path = getattr(config, field.name), prefix + field.name
    if kinds(field):
      yield path, kind_name(config, field.name)
    if dataclasses.is_dataclass(value):
      yield from semantic(value, path + '.')
    else:
      yield path, value


def parse(config: Any, overrides: Mapping[str, str]) -> dict[str, Any]:
  """Turns texts into values of the types that `config` declares.

  Returns:
    {full dotted path: value}, for `replace`; the value of a field that holds a
    kind is the kind's name.

  Raises:
    UsageError: no such field, or a text that is not of its type.
  """
  values: dict[str, Any] = {}
  pending = dict(overrides)
  # A kind brings its own fields, so it is chosen before they are looked up.
  for path, text in sorted(overrides.items(), key=lambda o: o[0].count('.')):
    if path in kind_paths(config):
      types = {p: kind for p, kind, _ in leaves(config)}
      values[path] = _value(path, types[path], text)
      config = replace(config, {path: values[path]})
      del pending[path]
  for path, text in pending.items():
    full, kind = field(config, path)
    values[full] = _value(full, kind, text)
  return values


def field(config: Any, path: str) -> tuple[str, Any]:
  """The full path of a field, and its type.

  Raises:
    UnknownField: the config has none of that name.
  """
  types = {p: kind for p, kind, _ in leaves(config)}
  full = path if path in types else _completed(path, config)
  if full not in types:
    raise UnknownField(_elsewhere(path, config) or _unknown(path, types))
  return full, types[full]


def replace(config: Any, values: Mapping[str, Any]) -> Any:
  """A copy of a nested config with the fields at dotted paths replaced.

  A field that holds a kind takes a name, which stands for that kind with its
  defaults unless it names the kind that is there, or a value of a kind.

  Raises:
    UnknownField: there is none of that name.
  """
  fields = {field.name: field for field in dataclasses.fields(config)}
  for name in (path.partition('.')[0] for path in values):
    if name not in fields:
      raise UnknownField(f'{name}: no such field of {type(config).__name__}'
                         f'{nearest(name, list(fields))}')
  own = {path: _chosen(config, fields[path], value)
         for path, value in values.items() if '.' not in path}
  parts: dict[str, dict[str, Any]] = {}
  for path, value in values.items():
    head, dot, tail = path.partition('.')
    if dot:
      parts.setdefault(head, {})[tail] = value
  for head, inner in parts.items():
    own[head] = replace(own.get(head, getattr(config, head)), inner)
  return dataclasses.replace(config, **own)


def held(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
  """Those of the values whose fields a config has."""
  paths = {path for path, _, _ in leaves(config)}
  return {path: value for path, value in values.items() if path in paths}


def _chosen(config: Any, field: dataclasses.Field[Any], value: Any) -> Any:
  choices = kinds(field)
  if not choices or not isinstance(value, str):
    return value
  held = getattr(config, field.name)
  return held if kind_name(config, field.name) == value else choices[value]()


def kind_paths(config: Any, prefix: str = '') -> list[str]:
  """The paths of the fields that hold a kind."""
  paths = []
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if kinds(field):
      paths.append(prefix + field.name)
    if dataclasses.is_dataclass(value):
      paths += kind_paths(value, f'{prefix}{field.name}.')
  return paths


def _completed(path: str, config: Any) -> str:
  """The full path of a field whose kind was left out; '' where none is."""
  head, _, tail = path.rpartition('.')
  types = {p for p, _, _ in leaves(config)}
  full = [f'{kind}.{tail}' for kind in kind_paths(config)
          if kind.rpartition('.')[0] == head and f'{kind}.{tail}' in types]
  return full[0] if len(full) == 1 else ''


def _elsewhere(path: str, config: Any, prefix: str = '') -> str:
  """What is said of a field that only other kinds have; '' where none has."""
  for field in dataclasses.fields(config):
    value, holder = getattr(config, field.name), prefix + field.name
    name = path.rpartition('.')[2]
    having = [kind for kind, each in kinds(field).items()
              if any(f.name == name for f in dataclasses.fields(each))]
    if having and path in (f'{prefix}{name}', f'{holder}.{name}'):
      have = 'has' if len(having) == 1 else 'have'
      return (f'{PREFIX}{path}: no such field of '
              f'{holder}={kind_name(config, field.name)}; {", ".join(having)} '
              f'{have} it: {PREFIX}{holder}={having[0]}')
    if dataclasses.is_dataclass(value) and (
        said := _elsewhere(path, value, f'{holder}.')):
      return said
  return ''


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
  if kind is bool:
    if text.lower() in ('true', 'false'):
      return text.lower() == 'true'
    raise UsageError(f'{PREFIX}{path}={text}: use true or false')
  if typing.get_origin(kind) is tuple:
    inner = typing.get_args(kind)[0]
    parts = [p for p in text.strip('()[]').split(',') if p.strip()]
    if inner not in (int, float, str):
      raise UsageError(f'{PREFIX}{path}: cannot be written on a command line; '
                       'set it in an experiment file')
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
