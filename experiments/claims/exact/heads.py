"""Heads side by side (card O1, statement B12).

The primer: several heads in parallel are why transformers are fast and
scalable.

What can be exact of it: at one width, whether more heads shorten the longest
chain of operations that wait for each other, or need fewer operations. It is
refuted if they do neither. How long a step takes on a device is not judged.
"""

import functools
from collections.abc import Mapping
from typing import Any

import polars as pl

from experiments.claims.exact import figures, words
from experiments.claims.exact.counterexample import curve, label, named
from experiments.claims.exact.operations import mixer, program
from experiments.judge.declaration import Property, Rule, Stratum
from experiments.judge.numbers import brief
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact

HEADS = (1, 2, 4, 8, 16)
ARM = 'attention, T = 256'


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for all numbers of heads."""
  del preset, pins
  return Cell('heads', ARM, Exact(('heads', 'attention', 256))),


def measure(subject: Subject) -> list[Row]:
  """Path and operations against the number of heads, at one width."""
  _, kind, length = subject.case
  return [row for heads in HEADS for row in program(
    mixer(kind, n_heads=heads), length, {'heads': heads})]


def falls(rows: pl.DataFrame, metric: str, where: Mapping[str, Any]) -> str:
  """A metric of most heads where it is no lower than that of one."""
  at, values = curve(rows, metric, where, 'heads')
  return '' if values[-1] < values[0] else (
    f'{named(where)}, heads = {at[-1]}: {label(metric)} {brief(values[-1])}, '
    f'and {brief(values[0])} at heads = {at[0]}')


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  check = functools.partial
  where = {'arm': ARM}
  shorter = Property(
    'a shorter path', 'At one width sixteen heads have a shorter path than '
    'one, a sum being one operation.',
    check(falls, metric='path', where=where))
  fewer = Property(
    'fewer operations', 'At one width sixteen heads need fewer operations '
    'than one.',
    check(falls, metric='operations', where=where))
  trees = Property(
    'a shorter path, sums as trees', 'Where adding m numbers takes log2 m '
    'steps, sixteen heads have a shorter path than one: a narrower head adds '
    'fewer numbers.', check(falls, metric='path_of_trees', where=where))
  return Stratum(
    name='heads',
    title='Heads side by side (B12): they are why transformers are fast, by '
    'path and operations',
    prediction='At one width more heads have a shorter path: the chain of '
    'steps that wait for each other.',
    refutation='At one width sixteen heads have no shorter chain of steps that '
    'wait for each other than one head, and need no fewer operations: one head '
    'works on all positions side by side as well. (With sums counted as trees '
    'a narrower head saves a step for each doubling. How fast a device is was '
    'not judged.)',
    properties=(shorter, fewer, trees),
    rule=Rule(supported=((shorter.name, 'holds'),),
              refuted=((shorter.name, 'fails'), (fewer.name, 'fails'))),
    tier='E0')


PART = Part('heads', sweep, measure, declare, figures.none,
            sentence=words.readings)
