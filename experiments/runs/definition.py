"""Functions and classes as they stand in their files."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from experiments.machine.usage import UsageError


def function(value: Any) -> Any:
  """The plain function behind a value (compiled ones wrap theirs), or None."""
  if inspect.isclass(value) or not callable(value):
    return None
  plain = inspect.unwrap(value, stop=inspect.isfunction)
  if inspect.ismethod(plain):
    plain = plain.__func__
  return plain if inspect.isfunction(plain) else None


def scope_of(value: Any) -> Mapping[str, Any]:
  """The names of the module in which a function or class stands."""
  if inspect.isclass(value):
    return vars(importlib.import_module(value.__module__))
  scope: Mapping[str, Any] = function(value).__globals__
  return scope


def bare(value: Any) -> ast.Module:
  """A definition without docstrings and annotations.

  Raises:
    UsageError: it is a lambda inside another expression.
  """
  # By its code, since what wraps a function has the name of that.
  text = inspect.getsource(getattr(value, '__code__', value))
  try:
    tree = ast.parse(textwrap.dedent(text))
  except SyntaxError:
    code = value.__code__
    raise UsageError(
      f'{code.co_filename}, line {code.co_firstlineno}: a measurement uses a '
      'lambda there, which has no text of its own to be known by; give it a '
      'name with def') from None
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
