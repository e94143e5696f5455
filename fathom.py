"""Fathom in three lines of Python.

    import fathom
    m = fathom.load('runs/trained/ID')  # or a model that others have trained
    out = m.run('some text', taps=['resid_post'])

`m.generate('some text')` goes on with a text; `fathom.results` is the table of
an experiment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from collections.abc import Mapping

  import polars

  from experiments.runs.intervention import Change
  from experiments.runs.loaded import Model

__all__ = ['ablate', 'add', 'load', 'replace', 'results', 'scale']

# What stands above is imported where it is needed: `import fathom` starts
# neither JAX nor anything else.


def load(path: str | os.PathLike[str],
         runs: str | os.PathLike[str] = 'runs',
         mesh: Mapping[str, int] | None = None) -> Model:
  """Opens a model.

  Args:
    path: a run's folder, or the run's id; a folder that `fathom import` wrote;
      a Hugging Face folder; a .gguf file.
    runs: the folder in which an id is looked for.
    mesh: devices along each axis that the model is split over, such as
      {'fsdp': 4, 'tensor': 2}; it is read straight into its shares. One device
      when not given.

  Raises:
    UsageError, InputError, ConfigError: it is none of these, or damaged.
  """
  _check()
  from experiments.runs import origin
  return origin.load(os.fspath(path), os.fspath(runs), mesh)


def results(folder: str | os.PathLike[str]) -> polars.DataFrame:
  """The tidy table of an experiment or a sweep: one row a number.

  Args:
    folder: where its report lies, such as runs/depth/cpu.

  Raises:
    UsageError: there is no table.
  """
  _check()
  from experiments.judge import table
  return table.read(os.fspath(folder))


def replace(site: str, layer: int, value: Any) -> Change:
  """An edit: `value` in the place of a site's array at one layer, from 0."""
  from experiments.runs import intervention
  return intervention.replace(site, layer, value)


def add(site: str, layer: int, value: Any) -> Change:
  """An edit: `value` added to a site's array at one layer, from 0."""
  from experiments.runs import intervention
  return intervention.add(site, layer, value)


def scale(site: str, layer: int, factor: Any) -> Change:
  """An edit: a site's array at one layer, from 0, times `factor`."""
  from experiments.runs import intervention
  return intervention.scale(site, layer, factor)


def ablate(site: str, layer: int) -> Change:
  """An edit: zeros in the place of a site's array at one layer, from 0."""
  from experiments.runs import intervention
  return intervention.ablate(site, layer)


def _check() -> None:
  """Refuses a folder of the same name as ours that stands in the way."""
  try:
    from experiments.machine import process
  except ImportError as error:
    raise ImportError(
      f"{error}: something called 'experiments' stands in the way of "
      "Fathom's; run from another folder, or start Python with -P") from None
  process.check_packages()
