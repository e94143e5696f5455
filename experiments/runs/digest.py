"""The digest of a function: its source, and all of ours that it leads to.

What counts is the text of the function, of the functions and classes that it
names, by a bare name or as an attribute of a module, and so on through every
module of `experiments/` and of anyone's own; and the constants that they use,
by their values, or by the statement that sets what is no plain value. Comments,
docstrings, annotations and layout do not. What is installed is left out, and so
are the model, the data and the trainer: they are what is measured, not the
instrument; their commit is in the manifest.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.runs import definition

MEASURED = ('model', 'data', 'train')
INSTALLED = {'site-packages', 'dist-packages'}
# How the names of modules begin that are experiment files. What such a file is
# called says nothing of what it measures.
FILE = 'experiment_'


def digest(value: Any) -> str:
  """The sha256 of `content`."""
  text = json.dumps(content(value), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def content(value: Any, tell: Callable[[Any], Any] | None = None) -> Any:
  """A declaration as JSON, equal for equal declarations.

  Args:
    value: numbers, text, sequences, mappings, dataclasses, and functions that
      have a name, or a `functools.partial` of one.
    tell: what stands for a function or class; `source` when not given.

  Raises:
    TypeError: it holds something else.
  """
  if value is None or isinstance(value, str | int | float):
    return value
  if isinstance(value, functools.partial):
    return [content(part, tell)
            for part in (value.func, value.args, value.keywords)]
  if inspect.isclass(value) or definition.function(value):
    return (tell or source)(value)
  if dataclasses.is_dataclass(value):
    if tell and _ours(type(value).__module__):
      tell(type(value))  # for its methods
    return {type(value).__name__: {
      field.name: content(getattr(value, field.name), tell)
      for field in dataclasses.fields(value)}}
  if isinstance(value, Mapping):
    return {repr(content(key, tell)): content(item, tell)
            for key, item in value.items()}
  if isinstance(value, tuple | list | range | set | frozenset):
    items = [content(item, tell) for item in value]
    return sorted(items, key=repr) if isinstance(value, set | frozenset
                                                 ) else items
  if isinstance(value, np.ndarray):
    return [str(value.dtype), value.tolist()]
  raise TypeError(f'{value!r} cannot be declared: use numbers, text, tuples, '
                  'dicts and named functions')


def source(start: Any) -> dict[str, Any]:
  """The text of a function or class, and of all of ours that it leads to."""
  texts: dict[str, Any] = {}
  names: dict[int, str] = {}  # of functions and classes, by identity
  pending: list[tuple[str, Any]] = []

  def tell(value: Any) -> str:
    plain = definition.function(value) or value
    if id(plain) not in names:
      name = _name(plain)
      while name in names.values():  # as lambdas and closures are called
        name += "'"
      names[id(plain)] = name
      pending.append((name, plain))
    method = inspect.unwrap(value)
    if inspect.ismethod(method):  # what its object holds, and can do
      owner = method.__self__
      tell(owner if inspect.isclass(owner) else type(owner))
      pending.extend((f'{names[id(plain)]}.{key}', item) for key, item in
                     getattr(owner, '__dict__', {}).items()
                     if not inspect.isclass(owner) and _declarable(item))
    return names[id(plain)]

  tell(start)
  while pending:
    name, value = pending.pop()
    if name in texts:
      continue
    if isinstance(value, Statement):
      tree: ast.AST = value.tree
      scope = value.scope
    elif inspect.isclass(value) or definition.function(value):
      try:
        tree = definition.bare(value)
      except OSError:  # a class that a call has made, as namedtuple does
        if not inspect.isclass(value):
          raise
        texts[name] = list(vars(value))
        continue
      scope = definition.scope_of(value)
    else:
      texts[name] = content(value, tell)
      continue
    texts[name] = ast.unparse(tree)
    held = (inspect.getclosurevars(value).nonlocals
            if inspect.isfunction(value) else {})
    modules = {key: item for key, item in held.items()
               if isinstance(item, types.ModuleType)}
    used = [*_used(tree, {**scope, **modules}),
            *((f'{name}.{key}', item) for key, item in held.items()
              if key not in modules)]
    if hasattr(value, '__wrapped__'):
      used.append(('', value.__wrapped__))
    for key, item in used:
      if inspect.isclass(item) or definition.function(item):
        if _ours(_module(item)):
          tell(item)
      else:
        pending.append((key, item))
  return texts


@dataclasses.dataclass(frozen=True)
class Statement:
  """What sets a name whose value is no plain one.

  Attributes:
    tree: the assignment.
    scope: the names of its module.
  """

  tree: ast.stmt
  scope: Mapping[str, Any]


def _used(tree: ast.AST, scope: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
  """What of ours a piece of code names: (qualified name, value)."""
  local = {**scope, **_imported(tree, scope)}
  for node in ast.walk(tree):
    if isinstance(node, ast.Name) and node.id in local:
      owner, name, value = scope.get('__name__', ''), node.id, local[node.id]
    elif isinstance(node, ast.Attribute) and (
        found := _resolved(node, local)) and _ours(found[0].__name__):
      owner, name, value = found[0].__name__, node.attr, found[1]
    else:
      continue
    if isinstance(value, types.ModuleType):
      continue
    if _declarable(value):
      yield f'{_known_as(owner)}.{name}', value
    plain = inspect.isfunction(value) and not hasattr(value, '__wrapped__')
    if not (plain or inspect.isclass(value)) and (
        callable(value) or not _declarable(value)):
      statement = _statement(owner, name)
      if statement:
        yield f'{_known_as(owner)}.{name} =', statement


def _imported(tree: ast.AST, scope: Mapping[str, Any]) -> dict[str, Any]:
  """What a piece of code imports of ours when it runs, by its name there."""
  found: dict[str, Any] = {}
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom):
      name = _absolute(node, scope)
      if _ours(name):
        module = importlib.import_module(name)
        found |= {alias.asname or alias.name: _member(module, alias.name)
                  for alias in node.names}
    elif isinstance(node, ast.Import):
      for alias in node.names:
        if _ours(alias.name):
          module = importlib.import_module(alias.name)
          top = alias.name.partition('.')[0]
          found[alias.asname or top] = (
            module if alias.asname else sys.modules[top])
  return found


def _absolute(node: ast.ImportFrom, scope: Mapping[str, Any]) -> str:
  return importlib.util.resolve_name(
    '.' * node.level + (node.module or ''), scope.get('__package__') or '')


def _resolved(node: ast.Attribute, scope: Mapping[str, Any]
              ) -> tuple[types.ModuleType, Any] | None:
  """(module, value) of `module.name`, however many packages deep."""
  if isinstance(node.value, ast.Name):
    owner = scope.get(node.value.id)
  elif isinstance(node.value, ast.Attribute):
    found = _resolved(node.value, scope)
    owner = found and found[1]
  else:
    return None
  if not isinstance(owner, types.ModuleType) or not hasattr(owner, node.attr):
    return None
  return owner, getattr(owner, node.attr)


def _statement(module: str, name: str) -> Statement | None:
  """What sets a name in a module, or where it was imported from."""
  scope = vars(importlib.import_module(module))
  try:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
  except (OSError, TypeError):
    return None
  for node in reversed(tree.body):
    if isinstance(node, ast.ImportFrom):
      for alias in node.names:
        origin = _absolute(node, scope)
        if (alias.asname or alias.name) == name and _ours(origin):
          return _statement(origin, alias.name)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and any(
        isinstance(target, ast.Name) and target.id == name
        and isinstance(target.ctx, ast.Store) for target in ast.walk(node)):
      return Statement(node, scope)
  return None


def _member(module: types.ModuleType, name: str) -> Any:
  if hasattr(module, name):
    return getattr(module, name)
  return importlib.import_module(f'{module.__name__}.{name}')


def _declarable(value: Any) -> bool:
  """Whether what a function uses is in its digest by value."""
  if inspect.isclass(value) or definition.function(value):
    return _ours(_module(value))
  if isinstance(value, functools.partial):
    return all(map(_declarable, (value.func, value.args, value.keywords)))
  if isinstance(value, tuple | list | set | frozenset):
    return all(map(_declarable, value))
  if isinstance(value, Mapping):
    return all(map(_declarable, (*value, *value.values())))
  if dataclasses.is_dataclass(value):
    return all(_declarable(getattr(value, field.name))
               for field in dataclasses.fields(value))
  return value is None or isinstance(value, str | int | float | range |
                                     np.ndarray)


def _ours(module: str) -> bool:
  """Whether a module is of `experiments/`, or somebody's own."""
  top = module.partition('.')[0]
  if top == 'experiments':
    return True
  if not top or top in MEASURED or top in sys.stdlib_module_names:
    return False
  if module in sys.modules:
    file = getattr(sys.modules[module], '__file__', None)
  else:  # what a function imports when it is called
    try:
      spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
      return False
    file = spec and spec.origin
  return bool(file) and INSTALLED.isdisjoint(Path(str(file)).parts)


def _module(value: Any) -> str:
  return str(definition.scope_of(value).get('__name__', ''))


def _name(value: Any) -> str:
  return f'{_known_as(_module(value))}.{value.__qualname__}'


def _known_as(module: str) -> str:
  return FILE if module.startswith(FILE) else module
