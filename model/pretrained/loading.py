"""Parameters from a checkpoint, and back.

Each device reads its share: its layers, its heads, its part of the width. No
parameter is ever whole in the host's memory but where a device holds it whole.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from model.config import ModelConfig
from model.pretrained import table
from model.pretrained.checkpoint import Checkpoint, UnreadableModel
from model.pretrained.family import Family
from model.pretrained.table import PIECES, Entry, Ranges, Sizes

Params = dict[str, Any]

BLOCK = 2**24  # numbers read at a time: 64 MiB
# One line of a processor's cache; an array is turned several times as fast when
# no other numbers come between those of a line.
STRIPE = 16
# XLA:CPU uses an array in place, instead of copying it, at such an address.
ALIGNMENT = 64  # bytes


class Part(NamedTuple):
  """One of our parameters, of which slices can be read.

  Attributes:
    shape: of the whole.
    read: gives a slice of it, as float32, for a slice of each axis.
  """

  shape: tuple[int, ...]
  read: Callable[[Any], np.ndarray]


def load(family: Family, config: ModelConfig, checkpoint: Checkpoint,
         shardings: Any = None) -> Params:
  """Reads a model's parameters, float32, into where they belong.

  Args:
    family: how the checkpoint names them.
    config: as the family's `config` made it.
    checkpoint: what holds them.
    shardings: a tree like the parameters; the first device when not given.

  Raises:
    UnreadableModel: names or shapes are others; before anything is read.
  """
  return placed(parts(family, config, checkpoint), shardings)


def parts(family: Family, config: ModelConfig,
          checkpoint: Checkpoint) -> dict[str, Part]:
  """What can be read of a checkpoint, by the path of our parameter.

  Raises:
    UnreadableModel: names or shapes are others; before anything is read.
  """
  names = matched(family, config, checkpoint)
  entries = family.table(config)
  known, many = table.sizes(config), table.pieces(entries)
  return {entry.ours: _part(entry, {**known, PIECES: many[entry.theirs]},
                            checkpoint, names) for entry in entries}


def placed(parts: Mapping[str, Part], shardings: Any = None) -> Params:
  """Reads parameters into where they belong.

  Args:
    parts: by the path of the parameter.
    shardings: a tree like the parameters; the first device when not given.
  """
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  # One after the other, so that the host holds one at a time.
  return nested({path: jax.block_until_ready(jax.make_array_from_callback(
    part.shape, _at(shardings, path) or here, part.read))
    for path, part in parts.items()})


def shapes(family: Family, config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """The shape of each parameter by its path, those of the stack with N."""
  known = table.sizes(config)
  return {entry.ours: tuple(known[letter] for letter in _axes(entry))
          for entry in family.table(config)}


def nested(flat: Mapping[str, Any]) -> Params:
  """A tree of what is known by path."""
  tree: Params = {}
  for path, value in flat.items():
    *above, key = path.split('/')
    part = tree
    for step in above:
      part = part.setdefault(step, {})
    part[key] = value
  return tree


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


def matched(family: Family, config: ModelConfig,
            checkpoint: Checkpoint) -> Mapping[str, str]:
  """What each tensor of the table is called in a checkpoint.

  Raises:
    UnreadableModel: one is missing, left over, of another shape, stored in a
      way that cannot be read, or no copy of what it should repeat.
  """
  names: dict[str, str] = {}
  for name in checkpoint.tensors:
    spelled = family.spelled(name)
    if spelled in names:
      raise UnreadableModel(f'tensor {name!r} is there as {names[spelled]!r} '
                            'too; remove one')
    names[spelled] = name
  entries = family.table(config)
  expected = table.tensors(entries, config)
  for name, shape in expected.items():
    if name not in names:
      raise UnreadableModel(
        f'tensor {name!r} is missing{_nearest(name, names)}; fetch all files '
        'again, or correct the config')
    found = checkpoint.tensors[names[name]]
    if found.shape != shape:
      raise UnreadableModel(
        f'tensor {names[name]!r} has shape {found.shape}, and the config makes '
        f'it {shape}; files and config are of different models')
    if found.dtype not in checkpoint.readable:
      raise UnreadableModel(
        f'tensor {names[name]!r} is stored as {found.dtype}; convert it to one '
        f'of {", ".join(sorted(checkpoint.readable))}')
  for spelled, name in names.items():
    if spelled not in expected and spelled not in family.copies and (
        not family.ignores(spelled)):
      raise UnreadableModel(
        f'tensor {name!r} has no place in a {family.name} model of this config '
        f'({config.n_layers} layers); correct the config, or remove it')
  _check_copies(family, checkpoint, names, expected)
  return names


def _nearest(name: str, names: Mapping[str, str]) -> str:
  """A tensor that ends in the same words, or nothing."""
  ending = name.rsplit('.', 2)[-2:]
  same = [own for key, own in names.items() if key.split('.')[-2:] == ending]
  return f' (there is {same[0]!r})' if same else ''


def _check_copies(family: Family, checkpoint: Checkpoint,
                  names: Mapping[str, str], expected: Collection[str]) -> None:
  """Refuses a tensor that should repeat another and does not."""
  for copy, original in family.copies.items():
    if copy not in names or copy in expected:
      continue
    copy, original = names[copy], names[original]
    found, other = checkpoint.tensors[copy], checkpoint.tensors[original]
    if found.shape != other.shape or not all(
        np.array_equal(checkpoint.read(copy, part),
                       checkpoint.read(original, part))
        for part in blocks(found.shape, BLOCK)):
      raise UnreadableModel(
        f'tensor {copy!r} is not {original!r}, to which the config ties it; '
        'set tie_word_embeddings to false')


def blocks(shape: Sequence[int], size: int) -> Iterator[tuple[slice, ...]]:
  """Cuts an array along its first axis into blocks of about `size` numbers."""
  rows = max(1, size // math.prod(shape[1:]))
  for start in range(0, shape[0], rows):
    yield (slice(start, min(start + rows, shape[0])),
           *(slice(0, length) for length in shape[1:]))


def _axes(entry: Entry) -> str:
  return ('N' if entry.stacked else '') + entry.letters


def _part(entry: Entry, sizes: Sizes, checkpoint: Checkpoint,
          names: Mapping[str, str]) -> Part:
  """One of our parameters, stacked."""
  letters = _axes(entry)

  def share(index: tuple[slice, ...]) -> np.ndarray:
    ranges = {letter: range(*part.indices(sizes[letter]))
              for letter, part in zip(letters, index)}
    out = empty([len(ranges[letter]) for letter in letters])
    layers = ranges.pop('N') if entry.stacked else range(1)
    for layer, place in zip(layers, out if entry.stacked else [out]):
      _fill(place, entry, sizes, checkpoint, names[entry.name(layer)], ranges)
    return out

  return Part(tuple(sizes[letter] for letter in letters), share)


def _fill(out: np.ndarray, entry: Entry, sizes: Sizes, checkpoint: Checkpoint,
          name: str, ranges: Ranges) -> None:
  """Reads a part of one layer into its place, a block at a time."""
  # Blocks along what is outermost in the file.
  letter = next(letter for letter in ''.join(entry.groups) if letter != PIECES)
  axis, asked = entry.letters.index(letter), ranges[letter]
  step = max(1, BLOCK * len(asked) // out.size)
  for start in range(asked.start, asked.stop, step):
    block = range(start, min(start + step, asked.stop))
    place = (slice(None),) * axis + (
      slice(block.start - asked.start, block.stop - asked.start),)
    _copy(out[place], table.read(entry, sizes, checkpoint, name,
                                 {**ranges, letter: block}))


def _copy(out: np.ndarray, part: np.ndarray) -> None:
  """Copies, in stripes where the order of the axes is another."""
  width = part.shape[-1] if part.flags.c_contiguous else STRIPE
  for start in range(0, part.shape[-1], width):
    stripe = (..., slice(start, start + width))
    out[stripe] = part[stripe]


def empty(shape: Sequence[int]) -> np.ndarray:
  """A float32 array that XLA:CPU takes over without a copy."""
  size = 4 * math.prod(shape)
  memory = np.empty(size + ALIGNMENT, np.uint8)
  start = -memory.ctypes.data % ALIGNMENT
  return memory[start:start + size].view(np.float32).reshape(shape)


def _at(tree: Any, path: str) -> Any:
  """A leaf of a nested dict; None of None."""
  for key in path.split('/'):
    tree = None if tree is None else tree[key]
  return tree
