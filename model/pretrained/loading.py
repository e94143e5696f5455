"""Parameters from a checkpoint, and back.

Each device reads its share: its layers, its heads, its part of the width. No
parameter is ever whole in the host's memory but where a device holds it whole.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from model.config import ModelConfig
from model.language_model import Params
from model.pretrained import buffers, table
from model.pretrained.agreement import Contents
from model.pretrained.checkpoint import Checkpoint
from model.pretrained.family import Family
from model.pretrained.table import PIECES, Entry, Ranges, Sizes


class Parameter(NamedTuple):
  """One of our parameters, of which slices can be read.

  Attributes:
    shape: of the whole.
    read: gives a slice of it, as float32, for a slice of each axis.
  """

  shape: tuple[int, ...]
  read: Callable[[Any], np.ndarray]


def load(contents: Contents, shardings: Any = None) -> Params:
  """Reads a model's parameters, float32, into where they belong.

  Args:
    contents: the model.
    shardings: a tree like the parameters; the first device when not given.
  """
  return place(parameters(contents), shardings)


def parameters(contents: Contents) -> dict[str, Parameter]:
  """What can be read of a checkpoint, by the path of our parameter."""
  family, config, checkpoint, names = contents
  entries = family.table(config)
  known, many = table.sizes(config), table.pieces(entries)
  return {entry.ours: _parameter(entry, {**known, PIECES: many[entry.theirs]},
                                 checkpoint, names) for entry in entries}


def place(parameters: Mapping[str, Parameter], shardings: Any = None) -> Params:
  """Reads parameters into where they belong.

  Args:
    parameters: by their paths.
    shardings: a tree like the parameters; the first device when not given.
  """
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  # One after the other, so that the host holds one at a time.
  params: Params = unflatten_dict({
    path: jax.block_until_ready(jax.make_array_from_callback(
      parameter.shape, _at(shardings, path) or here, parameter.read))
    for path, parameter in parameters.items()}, sep='/')
  return params


def shapes(family: Family, config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """The shape of each parameter by its path, those of the stack with N."""
  known = table.sizes(config)
  return {entry.ours: tuple(known[letter] for letter in _axes(entry))
          for entry in family.table(config)}


def unload(family: Family, config: ModelConfig,
           params: Params) -> Iterator[tuple[str, np.ndarray]]:
  """The tensors of a checkpoint, one at a time: names and float32 values."""
  entries = family.table(config)
  known, many = table.sizes(config), table.pieces(entries)
  for theirs in many:
    group = [entry for entry in entries if entry.theirs == theirs]
    sizes = {**known, PIECES: len(group)}
    for layer in range(config.n_layers if group[0].stacked else 1):
      ours = {entry.ours: np.asarray(
        _at(params, entry.ours)[layer] if entry.stacked
        else _at(params, entry.ours)) for entry in group}
      yield group[0].name(layer), table.write(group, sizes, ours)


def _axes(entry: Entry) -> str:
  return ('N' if entry.stacked else '') + entry.letters


def _parameter(entry: Entry, sizes: Sizes, checkpoint: Checkpoint,
               names: Mapping[str, str]) -> Parameter:
  """One of our parameters, stacked."""
  letters = _axes(entry)

  def share(index: tuple[slice, ...]) -> np.ndarray:
    ranges = {letter: range(*part.indices(sizes[letter]))
              for letter, part in zip(letters, index)}
    out = buffers.empty([len(ranges[letter]) for letter in letters])
    layers = ranges.pop('N') if entry.stacked else range(1)
    for layer, place in zip(layers, out if entry.stacked else [out]):
      _fill(place, entry, sizes, checkpoint, names[entry.name(layer)], ranges)
    return out

  return Parameter(tuple(sizes[letter] for letter in letters), share)


def _fill(out: np.ndarray, entry: Entry, sizes: Sizes, checkpoint: Checkpoint,
          name: str, ranges: Ranges) -> None:
  """Reads a part of one layer into its place, a block at a time."""
  # Blocks along what is outermost in the file.
  letter = next(letter for letter in ''.join(entry.groups) if letter != PIECES)
  axis, asked = entry.letters.index(letter), ranges[letter]
  step = max(1, buffers.BLOCK * len(asked) // out.size)
  for start in range(asked.start, asked.stop, step):
    block = range(start, min(start + step, asked.stop))
    place = (slice(None),) * axis + (
      slice(block.start - asked.start, block.stop - asked.start),)
    buffers.copy(out[place], table.read(entry, sizes, checkpoint, name,
                                         {**ranges, letter: block}))


def _at(tree: Any, path: str) -> Any:
  """A leaf of a nested dict; None of None."""
  for key in path.split('/'):
    tree = None if tree is None else tree[key]
  return tree
