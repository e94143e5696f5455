"""A sweep is a value: a finite, ordered tuple of configs, known beforehand.

  >>> n = product(Config(), {'model.n_layers': (1, 2), 'train.seed': range(3)})
  >>> len(n)
  6
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.sweeps import overrides
from experiments.sweeps.task import Task, Train
from model import matching
from model.matching import Hold, Match
from train import programs
from train.config import Config

Sweep = tuple[Config, ...]
Axes = Mapping[str, Iterable[Any]]  # dotted path → its values
Pins = Mapping[str, Any]  # dotted path → its value, from the command line


@dataclasses.dataclass(frozen=True)
class Cell:
  """One planned subject of measurement, and what it is for.

  Attributes:
    stratum: the part of the experiment that it bears on.
    arm: the condition it stands for in that stratum (plain, looped, …).
    task: how it comes about.
  """

  stratum: str
  arm: str
  task: Task

  @property
  def config(self) -> Config:
    """That of the run, where it is trained."""
    assert isinstance(self.task, Train), f'{self.task} has no config'
    return self.task.config


def product(base: Config, axes: Axes, pins: Pins | None = None) -> Sweep:
  """Every combination of the axes; the last axis varies fastest.

  A pinned field keeps its value whatever the base or an axis says; one that
  the base has not is left out.
  """
  return _configs(base, axes, itertools.product(*axes.values()), pins or {})


def zipped(base: Config, axes: Axes, pins: Pins | None = None) -> Sweep:
  """The axes side by side; they must be equally long."""
  return _configs(base, axes, zip(*axes.values(), strict=True), pins or {})


def _configs(base: Config, axes: Axes, values: Iterable[tuple[Any, ...]],
             pins: Pins) -> Sweep:
  return tuple(dict.fromkeys(
    overrides.replace(base, {**dict(zip(axes, v)),
                             **overrides.held(base, pins)}) for v in values))


def chain(*sweeps: Sweep) -> Sweep:
  """One sweep after the other, without those that were there before."""
  return tuple(dict.fromkeys(itertools.chain(*sweeps)))


def where(sweep: Sweep, keep: Callable[[Config], bool]) -> Sweep:
  """The configs for which `keep` holds."""
  return tuple(config for config in sweep if keep(config))


def derive(sweep: Sweep, change: Callable[[Config], Config]) -> Sweep:
  """Each config with the fields that follow from its others filled in."""
  return tuple(change(config) for config in sweep)


def as_large_as(config: Config, n_layers: int, hold: Hold = 'stack') -> Match:
  """The width at which the config's layers hold as much as n_layers would.

  The layers trade width for depth; embeddings take no part. With hold='flops'
  it is the FLOPs of the whole model that stay.
  """
  base = dataclasses.replace(programs.complete(config).model, n_layers=n_layers)
  return matching.width(base, hold, n_layers=config.model.n_layers)


def matched(sweep: Sweep, n_layers: int, hold: Hold = 'stack') -> Sweep:
  """Each config at the width of `as_large_as`."""
  return derive(sweep, lambda config: dataclasses.replace(
    config, model=as_large_as(config, n_layers, hold).config))


def cells(stratum: str, arm: str, sweep: Sweep) -> tuple[Cell, ...]:
  """Labels every config of a sweep, each trained from random parameters."""
  return tuple(Cell(stratum, arm, Train(config)) for config in sweep)
