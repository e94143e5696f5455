"""Parameters from a checkpoint, and back.

Each device reads its share: its layers, its heads, its part of the width. No
parameter is ever whole in the host's memory but where a device holds it whole.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from model.config import ModelConfig
from model.pretrained import table
from model.pretrained.checkpoint import Checkpoint, UnreadableModel
from model.pretrained.family import Family
from model.pretrained.table import PIECES, Entry, Ranges, Sizes

Params = dict[str, Any]

BLOCK = 2**24  # numbers read at a time: 64 MiB
# XLA:CPU uses an array in place, instead of copying it, at such an address.
ALIGNMENT = 64  # bytes


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
  names = matched(family, config, checkpoint)
  entries = family.table(config)
  known, many = table.sizes(config), table.pieces(entries)
  params: Params = {}
  for entry in entries:
    sizes = {**known, PIECES: many[entry.theirs]}
    array = _read(entry, sizes, checkpoint, names, _at(shardings, entry.ours))
    *path, key = entry.ours.split('/')
    part = params
    for step in path:
      part = part.setdefault(step, {})
    # Before the next is read, so that the host holds one at a time.
    part[key] = jax.block_until_ready(array)
  return params


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
    rows = max(1, BLOCK * found.shape[0] // math.prod(found.shape))
    if found.shape != other.shape or not all(
        np.array_equal(checkpoint.read(copy, part),
                       checkpoint.read(original, part))
        for part in _blocks(found.shape, rows)):
      raise UnreadableModel(
        f'tensor {copy!r} is not {original!r}, to which the config ties it; '
        'set tie_word_embeddings to false')


def _blocks(shape: tuple[int, ...], rows: int) -> Iterator[tuple[slice, ...]]:
  """All of a tensor, so many rows at a time."""
  for start in range(0, shape[0], rows):
    yield (slice(start, min(start + rows, shape[0])),
           *(slice(0, size) for size in shape[1:]))


def _read(entry: Entry, sizes: Sizes, checkpoint: Checkpoint,
          names: Mapping[str, str], sharding: Any) -> jax.Array:
  """One of our parameters, stacked, on its devices."""
  letters = ('N' if entry.stacked else '') + entry.letters
  shape = tuple(sizes[letter] for letter in letters)

  def share(index: tuple[slice, ...] | None) -> np.ndarray:
    assert index is not None
    ranges = {letter: range(*part.indices(sizes[letter]))
              for letter, part in zip(letters, index)}
    out = _empty([len(ranges[letter]) for letter in letters])
    layers = ranges.pop('N') if entry.stacked else range(1)
    for layer, place in zip(layers, out if entry.stacked else [out]):
      _fill(place, entry, sizes, checkpoint, names[entry.name(layer)], ranges)
    return out

  if sharding is None:
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.make_array_from_callback(shape, sharding, share)


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
    out[place] = table.read(entry, sizes, checkpoint, name,
                            {**ranges, letter: block})


def _empty(shape: list[int]) -> np.ndarray:
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
