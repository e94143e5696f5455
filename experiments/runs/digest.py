"""The digest of a function: its source, and all of ours that it leads to.

What counts is the text of the function, of the functions and classes that it
names, by a bare name or as an attribute of a module, and so on through every
module of `experiments/` and of the folder that an experiment's file stands in;
and the constants that they use. Comments, docstrings, annotations and layout do
not. The model, the data and the trainer are what is measured, not the
instrument: their commit is in the manifest.
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
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# How the names of modules begin that are experiment files. What such a file is
# called says nothing of what it measures.
FILE = 'experiment_'


def digest(value: Any) -> str:
  """The sha256 of `content`."""
  text = json.dumps(content(value), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def content(value: Any) -> Any:
  """A declaration as JSON, equal for equal declarations.

  Args:
    value: numbers, text, sequences, mappings, dataclasses, and functions that
      have a name, or a `functools.partial` of one.

  Raises:
    TypeError: it holds something else.
  """
  if value is None or isinstance(value, str | int | float):
    return value
  if isinstance(value, functools.partial):
    return [content(value.func), content(value.args), content(value.keywords)]
  if inspect.isclass(value) or _function(value):
    return source(value)
  if dataclasses.is_dataclass(value):
    return {type(value).__name__: {
      field.name: content(getattr(value, field.name))
      for field in dataclasses.fields(value)}}
  if isinstance(value, Mapping):
    return {repr(key): content(item) for key, item in value.items()}
  if isinstance(value, tuple | list | range | set | frozenset):
    items = [content(item) for item in value]
    return sorted(items, key=repr) if isinstance(value, set | frozenset
                                                 ) else items
  if isinstance(value, np.ndarray):
    return [str(value.dtype), value.tolist()]
  raise TypeError(f'{value!r} cannot be declared: use numbers, text, tuples, '
                  'dicts and named functions')


def source(start: Any) -> dict[str, Any]:
  """The text of a function or class, and of all of ours that it leads to."""
  home = _home(start)
  texts: dict[str, Any] = {}
  pending = [(_name(start), start)]
  while pending:
    name, value = pending.pop()
    if name in texts:
      continue
    function = _function(value)
    if not function and not inspect.isclass(value):
      texts[name] = content(value)
      continue
    tree = _bare(value if inspect.isclass(value) else function)
    texts[name] = ast.unparse(tree)
    scope = vars(importlib.import_module(_module(value))) if (
      inspect.isclass(value)) else function.__globals__
    pending += _used(tree, scope, home)
    if inspect.isfunction(function):
      pending += [(f'{name}.{key}', item) for key, item in
                  inspect.getclosurevars(function).nonlocals.items()]
  return texts


def _used(tree: ast.AST, scope: Mapping[str, Any],
          home: Path) -> Iterator[tuple[str, Any]]:
  """What of ours a piece of code names: (qualified name, value)."""
  local = dict(scope)
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and _ours(node.module or '', home):
      module = importlib.import_module(str(node.module))
      local |= {alias.asname or alias.name: _member(module, alias.name)
                for alias in node.names}
  for node in ast.walk(tree):
    if isinstance(node, ast.Name) and node.id in local:
      value = local[node.id]
      if not isinstance(value, types.ModuleType) and _declarable(value, home):
        yield _qualified(node.id, value, scope), value
    elif isinstance(node, ast.Attribute):
      value = _resolved(node, local)
      if value is not None and _declarable(value[1], home) and _ours(
          value[0].__name__, home):
        yield f'{_known_as(value[0].__name__)}.{node.attr}', value[1]


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


def _member(module: types.ModuleType, name: str) -> Any:
  if hasattr(module, name):
    return getattr(module, name)
  return importlib.import_module(f'{module.__name__}.{name}')


def _declarable(value: Any, home: Path) -> bool:
  """Whether what a function uses belongs to its digest."""
  if inspect.isclass(value) or _function(value):
    return _ours(_module(value), home)
  if isinstance(value, functools.partial):
    return _declarable(value.func, home)
  if isinstance(value, tuple | list | set | frozenset):
    return all(_declarable(item, home) for item in value)
  if isinstance(value, Mapping):
    return all(_declarable(item, home) for item in value.values())
  if dataclasses.is_dataclass(value):
    return all(_declarable(getattr(value, field.name), home)
               for field in dataclasses.fields(value))
  return value is None or isinstance(value, str | int | float | range |
                                     np.ndarray)


def _ours(module: str, home: Path) -> bool:
  """Whether a module is of `experiments/`, or stands in or below a folder."""
  if module.split('.')[0] == 'experiments':
    return True
  if module in sys.modules:
    file = getattr(sys.modules[module], '__file__', None)
  else:  # what a function imports when it is called
    spec = importlib.util.find_spec(module) if module else None
    file = spec and spec.origin
  return bool(file) and Path(str(file)).is_relative_to(home)


def _home(value: Any) -> Path:
  """The folder of the file in which a function stands."""
  return Path(inspect.getfile(_function(value) or value)).parent


def _module(value: Any) -> str:
  return (_function(value) or value).__module__ or ''


def _name(value: Any) -> str:
  return (f'{_known_as(_module(value))}.'
          f'{(_function(value) or value).__qualname__}')


def _known_as(module: str) -> str:
  return FILE if module.startswith(FILE) else module


def _qualified(name: str, value: Any, scope: Mapping[str, Any]) -> str:
  if inspect.isclass(value) or _function(value):
    return _name(value)
  return f'{_known_as(scope.get("__name__", ""))}.{name}'


def _function(value: Any) -> Any:
  """The plain function behind a value (compiled ones wrap theirs), or None."""
  if inspect.isclass(value) or not callable(value):
    return None
  plain = inspect.unwrap(value)
  if inspect.ismethod(plain):
    plain = plain.__func__
  return plain if inspect.isfunction(plain) else None


def _bare(value: Any) -> ast.Module:
  """A definition without docstrings and annotations."""
  tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
  for node in ast.walk(tree):
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and (
        ast.get_docstring(node)):
      node.body[:1] = [] if node.body[1:] else [ast.Pass()]
    if isinstance(node, ast.FunctionDef):
      node.returns = None
    if isinstance(node, ast.arg):
      node.annotation = None
    if isinstance(node, ast.AnnAssign):
      node.annotation = ast.Constant(None)
  return tree
