"""Which of their tensors is which of our parameters, and how it is turned.

A family's table is a tuple of entries, read in both directions: for import,
slice by slice, and for export, tensor by tensor. Their axes are written in our
letters (`model/dims.py`), from the outermost:

* `'V D'`: two axes, the vocabulary and the model width;
* `'(H K) D'`: the first axis holds heads and their width, heads outermost;
* `'(H C K) D'`, `'D (C H K)'`: C counts the pieces of a tensor that holds
  several of our parameters; an entry says which `piece` is its own.

A key of theirs with `{layer}` stands for one tensor a layer, and our parameter
then leads with N.
"""

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from model import dims
from model.attention import AttentionConfig
from model.config import ConfigError, ModelConfig
from model.pretrained.checkpoint import Checkpoint

PIECES = 'C'
Sizes = Mapping[str, int]
Ranges = Mapping[str, range]


@dataclasses.dataclass(frozen=True)
class Entry:
  """One of our parameters, and where it is in theirs.

  Attributes:
    theirs: their key, with `{layer}` in it when there is one for each layer.
    ours: the path of our parameter: 'stack/mixer/w_q_DHK'.
    axes: their axes in our letters.
    piece: which of the pieces along C.

  Raises:
    ValueError: the axes have other letters than our parameter.
  """

  theirs: str
  ours: str
  axes: str
  piece: int = 0

  def __post_init__(self):
    """Holds the axes to the parameter's letters."""
    mapped = ''.join(self.groups).replace(PIECES, '')
    if sorted(mapped) != sorted(self.letters):
      raise ValueError(f'{self.ours}: its letters are not those of '
                       f'{self.axes!r}')

  @property
  def letters(self) -> str:
    """Our axes, without N."""
    return dims.letters(self.ours)

  @functools.cached_property
  def groups(self) -> tuple[str, ...]:
    """The letters of each of their axes."""
    found = re.findall(r'\(([A-Z ]+)\)|([A-Z])', self.axes)
    return tuple((many or one).replace(' ', '') for many, one in found)

  @property
  def stacked(self) -> bool:
    """Whether there is one tensor for each layer."""
    return '{layer}' in self.theirs

  def name(self, layer: int) -> str:
    """Their key."""
    return self.theirs.replace('{layer}', str(layer))


Table = Sequence[Entry]


def sizes(config: ModelConfig) -> dict[str, int]:
  """How long each letter's axis is."""
  mixer = config.mixer
  if not isinstance(mixer, AttentionConfig):
    raise ConfigError(f'model.mixer: {config.mixer_name} is in no table of '
                      'pretrained models; use attention')
  return {'N': config.n_layers, 'D': config.d_model, 'F': config.ff_width,
          'V': config.vocab_size, 'T': config.max_length,
          'Y': config.token_types,
          'H': mixer.n_heads, 'G': mixer.kv_heads,
          'K': mixer.head_width(config)}


def pieces(table: Table) -> dict[str, int]:
  """How many of our parameters each of their keys holds."""
  return collections.Counter(entry.theirs for entry in table)


def shape(entry: Entry, sizes: Sizes) -> tuple[int, ...]:
  """That of one of their tensors; `sizes` knows C."""
  return tuple(math.prod(sizes[letter] for letter in group)
               for group in entry.groups)


def tensors(table: Table, config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """All of their names, and the shape that each must have."""
  known, many = sizes(config), pieces(table)
  return {entry.name(layer): shape(entry, {**known, PIECES: many[entry.theirs]})
          for entry in table
          for layer in range(config.n_layers if entry.stacked else 1)}


def read(entry: Entry, sizes: Sizes, checkpoint: Checkpoint, name: str,
         ranges: Ranges) -> np.ndarray:
  """A part of one layer's parameter, in the order of our axes.

  Args:
    entry: which parameter.
    sizes: of all letters, C among them.
    checkpoint: where it is read.
    name: what it is called there.
    ranges: for each of our letters what is asked for.
  """
  ranges = {**ranges, PIECES: range(entry.piece, entry.piece + 1)}
  index: list[slice] = []
  axes: list[int] = []
  rest: list[slice] = []
  for group in entry.groups:
    run, cut = _run(group, sizes, ranges)
    index.append(run)
    axes += [size for size, _ in cut]
    rest += [part for _, part in cut]
  part = checkpoint.read(name, tuple(index)).reshape(axes)[tuple(rest)]
  return _to_ours(entry, part)


def write(entries: Table, sizes: Sizes,
          ours: Mapping[str, np.ndarray]) -> np.ndarray:
  """One of their tensors.

  Args:
    entries: all that are pieces of it.
    sizes: of all letters, C among them.
    ours: our parameters by path, those of one layer.
  """
  first = entries[0]
  theirs = np.empty([sizes[letter] for letter in ''.join(first.groups)],
                    np.float32)
  for entry in entries:
    _to_ours(entry, _piece(entry, theirs))[...] = ours[entry.ours]
  return theirs.reshape(shape(first, sizes))


def _piece(entry: Entry, theirs: np.ndarray) -> np.ndarray:
  """An entry's own piece of an array whose axes are all of its letters."""
  at = ''.join(entry.groups).find(PIECES)
  if at < 0:
    return theirs
  return theirs[(slice(None),) * at + (slice(entry.piece, entry.piece + 1),)]


def _to_ours(entry: Entry, part: np.ndarray) -> np.ndarray:
  """A view whose axes are ours, of an array whose axes are their letters."""
  order = ''.join(entry.groups)
  kept = [order.index(letter) for letter in entry.letters]
  gone = [order.index(PIECES)] if PIECES in order else []
  return part.transpose(gone + kept)[0] if gone else part.transpose(kept)


def _run(group: str, sizes: Sizes,
         ranges: Ranges) -> tuple[slice, list[tuple[int, slice]]]:
  """The run of one of their axes that holds what is asked of its letters.

  Returns:
    The run; and for each letter its size within it, and what to keep of that.
  """
  # Letters of which one place is asked narrow the run down; the first with more
  # ends that, and those inside it are cut after reading.
  outer = next((at for at, letter in enumerate(group)
                if len(ranges[letter]) != 1), len(group) - 1)
  start, stride, cut = 0, 1, []
  for at, letter in reversed(list(enumerate(group))):
    asked = ranges[letter]
    if at > outer:
      cut.append((sizes[letter], slice(asked.start, asked.stop)))
    else:
      start += asked.start * stride
      cut.append((len(asked), slice(None)))
    stride *= sizes[letter]
  length = math.prod(size for size, _ in cut)
  return slice(start, start + length), cut[::-1]
