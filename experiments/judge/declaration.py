"""What an author declares before the first run, and the seal on it.

A claim is frozen data: statements, thresholds, tests and rules, with measures
that are named functions (or `functools.partial` of one), so that all of it has
a text and the text a hash. The engine judges (`experiments.judge.verdict`); it
gives no verdict on a claim whose declaration changed after its first run.
"""

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import os
import pathlib
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal

import polars as pl

from experiments.judge.statistics import ANALYSES, Sample

State = Literal['supported', 'refuted', 'inconclusive', 'not supported']
Condition = tuple[str, State]
Tier = Literal['E0', 'E1', 'E2', 'E3']

STATES = ('supported', 'refuted', 'inconclusive', 'not supported')
EXCLUSION = (
  'A diverged run counts as a failure in a success probability. Elsewhere its '
  'seed and instance are left out of every condition, and the verdict says '
  'how many were.')


@dataclasses.dataclass(frozen=True)
class Effect:
  """A quantity whose size decides, positive in the predicted direction.

  Attributes:
    name: a noun phrase that reads well in a sentence.
    statement: what the effect says, in a sentence.
    unit: of the estimate.
    measure: from a stratum's rows of the results table to a Sample.
    smallest: the smallest effect of interest, in `unit`.
    test: 'mean', 'success' (a difference of success probabilities) or
      'trend' (a rank correlation, by Page's test).
    clears: what the interval must lie above; None means `smallest`.
    sided: 'two-sided' takes the 95 % interval (at alpha = 5 %) and needs 6
      replicates; 'greater' the one-sided bounds, which are those of the 90 %
      interval, and needs 5.
  """

  name: str
  statement: str
  unit: str
  measure: Callable[[pl.DataFrame], Sample]
  smallest: float
  test: Literal['mean', 'success', 'trend'] = 'mean'
  clears: float | None = None
  sided: Literal['two-sided', 'greater'] = 'two-sided'

  def __post_init__(self):
    where = f'effect {self.name!r}'
    _check_measure(where, self.measure)
    if not self.smallest > 0:
      raise ValueError(f'{where}: smallest={self.smallest} must be above 0; '
                       'turn the measure round if it is predicted to fall')
    if self.clears is not None and self.clears < 0:
      raise ValueError(f'{where}: clears={self.clears} must not be negative')
    if self.test not in ANALYSES:
      raise ValueError(
        f'{where}: test={self.test!r} must be one of {sorted(ANALYSES)}')
    if self.sided not in ('two-sided', 'greater'):
      raise ValueError(f"{where}: sided={self.sided!r} must be 'two-sided' or "
                       "'greater'")


@dataclasses.dataclass(frozen=True)
class Control:
  """A value that must lie in its range, or the stratum proves nothing."""

  name: str
  statement: str
  measure: Callable[[pl.DataFrame], float]
  at_least: float | None = None
  at_most: float | None = None

  def __post_init__(self):
    _check_measure(f'control {self.name!r}', self.measure)
    if self.at_least is None and self.at_most is None:
      raise ValueError(f'control {self.name!r}: give at_least or at_most')


@dataclasses.dataclass(frozen=True)
class Rule:
  """From the states of the effects to the verdict of the stratum.

  Each field lists (effect name, state) pairs that must all hold. They are
  tried in the order supported, refuted, conditional; the first to hold names
  the verdict, and with none it is inconclusive. An empty list never holds.
  """

  supported: tuple[Condition, ...]
  refuted: tuple[Condition, ...] = ()
  conditional: tuple[Condition, ...] = ()


@dataclasses.dataclass(frozen=True)
class Stratum:
  """One kind of input, or one setting, on which the claim is judged.

  `name` is the value of the results table's `stratum` column; `tier` the kind
  of evidence: E0 exact, E1 trained on a CPU, E2 accelerator, E3 pretrained.
  """

  name: str
  title: str
  prediction: str
  refutation: str
  effects: tuple[Effect, ...]
  rule: Rule
  controls: tuple[Control, ...] = ()
  tier: Tier = 'E1'

  def __post_init__(self):
    where = f'stratum {self.name!r}'
    names = [effect.name for effect in self.effects]
    _check_unique(f'{where}: effects', names)
    _check_unique(f'{where}: controls', [c.name for c in self.controls])
    if not self.rule.supported:
      raise ValueError(f'{where}: rule.supported must name an effect')
    for field in dataclasses.fields(Rule):
      for effect, state in getattr(self.rule, field.name):
        if effect not in names:
          raise ValueError(f'{where}: rule.{field.name} names {effect!r}, '
                           f'which is no effect; there are {names}')
        if state not in STATES:
          raise ValueError(f'{where}: rule.{field.name} asks for {state!r}; '
                           f'use one of {STATES}')


@dataclasses.dataclass(frozen=True)
class Claim:
  """A statement about language models, and all that decides on it.

  Attributes:
    id: short, the claim's name on the command line.
    title: a headline.
    claim: the statement, in our words.
    reading: how the statement is taken where it could be taken otherwise.
    strata: where it is judged.
    alpha: the level of every test.
    exclusion: what becomes of runs that diverge.
  """

  id: str
  title: str
  claim: str
  reading: str
  strata: tuple[Stratum, ...]
  alpha: float = 0.05
  exclusion: str = EXCLUSION

  def __post_init__(self):
    if not self.strata:
      raise ValueError(f'claim {self.id!r}: declare at least one stratum')
    _check_unique(f'claim {self.id!r}: strata', [s.name for s in self.strata])


def declaration_hash(claim: Claim) -> str:
  """The sha256 of all that is declared.

  Of a measure, its arguments and its source count, with the constants and the
  functions of its own package that it uses by their bare names. Comments,
  docstrings and layout do not.
  """
  text = json.dumps(_content(claim), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def seal(path: pathlib.Path, claim: Claim) -> str:
  """The hash under which the claim was first run, written now if it is new."""
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'{path.name}.{os.getpid()}')
    draft.write_text(declaration_hash(claim) + '\n')
    draft.replace(path)
  return path.read_text().strip()


def _content(value: Any) -> Any:
  """`value` as JSON, equal for equal declarations."""
  if value is None or isinstance(value, str | int | float):
    return value
  if isinstance(value, functools.partial):
    return [_content(value.func), _content(value.args),
            _content(value.keywords)]
  if inspect.isfunction(value):
    return _source(value)
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {field.name: _content(getattr(value, field.name))
            for field in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {repr(key): _content(item) for key, item in value.items()}
  if isinstance(value, tuple | list | range):
    return [_content(item) for item in value]
  raise TypeError(f'{value!r} cannot be declared: use numbers, text, tuples, '
                  'dicts and named functions')


def _source(function: Callable) -> dict[str, Any]:
  """The text of a function, and of what it uses of its own package."""
  texts: dict[str, Any] = {}
  pending = [(function.__name__, function)]
  while pending:
    name, value = pending.pop()
    if name in texts:
      continue
    if not inspect.isfunction(value):
      texts[name] = _content(value)
      continue
    tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    for node in ast.walk(tree):
      if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
        node.body[:1] = [] if node.body[1:] else [ast.Pass()]
    texts[name] = ast.unparse(tree)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    scope = value.__globals__
    pending += [(n, scope[n]) for n in names & scope.keys()
                if _declarable(scope[n], function.__module__)]
    pending += inspect.getclosurevars(value).nonlocals.items()
  return texts


def _declarable(value: Any, module: str) -> bool:
  """Whether a global that a measure uses belongs to its declaration."""
  if inspect.isfunction(value):
    return value.__module__.split('.')[0] == module.split('.')[0]
  return isinstance(
    value, str | int | float | tuple | list | dict | functools.partial)


def _check_measure(where: str, measure: Any) -> None:
  function = measure.func if isinstance(
    measure, functools.partial) else measure
  if not inspect.isfunction(function) or function.__name__ == '<lambda>':
    raise ValueError(
      f'{where}: measure must be a named function or a functools.partial of '
      'one, so that its source can be part of the declaration')


def _check_unique(where: str, names: list[str]) -> None:
  if len(set(names)) < len(names):
    raise ValueError(f'{where}: names must differ, not {names}')
