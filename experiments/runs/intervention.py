"""Changes of what a model computes, as people ask for them.

Each names a site (`model.sites.SITES`), a layer from 0 and what is done there.
Several are done in the order that they are given, at one place too.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import model
from experiments.machine.usage import UsageError
from model import Edit, ModelConfig, sites


@dataclasses.dataclass(frozen=True, eq=False)
class Change:
  """One change.

  Attributes:
    site: where in a block.
    layer: which block, from 0.
    values: what it brings, whose shape has to fit the site's.
    edit: from the number of layers and the layer to what the model takes.
  """

  site: str
  layer: int
  values: Sequence[Any]
  edit: Callable[..., Edit]


def replace(site: str, layer: int, value: Any) -> Change:
  """Puts `value` in the place of a site's array at one layer."""
  return Change(site, layer, (value,), sites.replace)


def add(site: str, layer: int, value: Any) -> Change:
  """Adds `value` to a site's array at one layer."""
  return Change(site, layer, (value,), sites.add)


def scale(site: str, layer: int, factor: Any) -> Change:
  """Multiplies a site's array at one layer by `factor`."""
  return Change(site, layer, (factor,), sites.scale)


def ablate(site: str, layer: int) -> Change:
  """Sets a site's array at one layer to zero."""
  return Change(site, layer, (), sites.ablate)


Changes = Iterable[Change] | Mapping[str, Edit]


def edits(config: ModelConfig, changes: Changes,
          shape: tuple[int, int]) -> dict[str, Edit]:
  """What a model takes for some changes.

  Args:
    config: the model's.
    changes: in order; or edits by site, as `model.apply` takes them.
    shape: (B, T) of the input.

  Raises:
    UsageError: what is no change, or values that do not fit the site.
    ConfigError: no such site or layer.
  """
  if isinstance(changes, Mapping):
    for site, edit in changes.items():
      if not isinstance(edit, Edit):
        raise UsageError(f'edits: {edit!r} at {site!r} is no model.Edit; give '
                         'a list of fathom.replace, add, scale and ablate')
    return dict(changes)
  if not isinstance(changes, Change | Iterable):
    raise UsageError(f'edits: {changes!r} is no list of edits')
  listed = [changes] if isinstance(changes, Change) else list(changes)
  found: dict[str, Edit] = {}
  for change in listed:
    if not isinstance(change, Change):
      raise UsageError(f'edits: {change!r} is no edit; use replace, add, scale '
                       'and ablate, such as fathom.ablate("ffn_out", layer=0)')
    sites.check(config, [change.site])
    change = _plain(change)
    _check(change, _shapes(config, *shape)[change.site])
    edit = change.edit(config.n_layers, change.layer, *change.values)
    found[change.site] = (_then(found[change.site], edit)
                          if change.site in found else edit)
  return found


def _plain(change: Change) -> Change:
  """The same, its layer an int and its values float32."""
  try:
    if isinstance(change.layer, bool):
      raise TypeError
    layer = operator.index(change.layer)
  except TypeError:
    raise UsageError(f'edits: layer {change.layer!r} of {change.site!r} is not '
                     'a whole number') from None
  try:
    values = [value if isinstance(value, jax.Array)
              else np.asarray(value, np.float32) for value in change.values]
  except (TypeError, ValueError, OverflowError):
    raise UsageError(f'edits: the value for {change.site!r} is no number and '
                     'no array of numbers') from None
  return dataclasses.replace(change, layer=layer, values=values)


def _check(change: Change, shape: tuple[int, ...]) -> None:
  for value in change.values:
    own = np.shape(value)
    try:
      fits = np.broadcast_shapes(own, shape) == shape
    except ValueError:
      fits = False
    if not fits:
      raise UsageError(
        f'edits: a value of shape {own} does not fit {change.site!r}, which is '
        f'{shape} here; give that shape, or one that broadcasts to it')


@functools.lru_cache
def _shapes(config: ModelConfig, batch: int,
            length: int) -> dict[str, tuple[int, ...]]:
  """The shape of every site at one layer."""
  params = jax.eval_shape(lambda: model.init(config, jax.random.key(0)))
  tokens_BT = jax.ShapeDtypeStruct((batch, length), np.int32)
  everything = dict.fromkeys(sites.available(config))
  out = jax.eval_shape(
    lambda p, t: model.apply(config, p, t, everything).taps, params, tokens_BT)
  return {site: x.shape[1:] for site, x in out.items()}


def _then(first: Edit, second: Edit) -> Edit:
  """One edit after another: (x a + b) c + d = x (a c) + (b c + d)."""
  rank = max(x.ndim for x in (*first, *second))
  a, b, c, d = (x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:])
                for x in (*first, *second))
  return Edit(a * c, b * c + d)
