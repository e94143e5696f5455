"""What a model is told of its rows beside their tokens.

Rows are whole sequences, as in training, or they go on with what was read
before, as in decoding. Mixers find them beside their sites, and say the same to
both: where am I, what came before me, keep this for what comes next.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from model import dims
from model.layout import Layout, Letters

# (T,) for all rows, or (B,T). Of NumPy where they are known as the program is
# made: what follows from them then is a constant in it.
Positions: TypeAlias = np.ndarray | jax.Array

# Arrays by name; those of all layers lead with N, as parameters do.
Memory = dict[str, jax.Array]


def padded(texts: Sequence[Any],
           length: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Token ids of texts of unequal length, as rows of one array.

  Args:
    texts: at least one, each a list of ids.
    length: T, at least; or the longest text's.

  Returns:
    (B,T) int32, 0 behind the end of a row; and which of them are real.
  """
  size = max(length, *map(len, texts))
  ids_BT = np.zeros((len(texts), size), np.int32)
  valid_BT = np.arange(size) < np.array([[len(text)] for text in texts])
  ids_BT[valid_BT] = np.concatenate(texts)
  return ids_BT, valid_BT


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Rows:
  """Whole sequences, from position 0.

  Attributes:
    valid_BT: which positions are real, the first of each row; None: all.
    kept: what the layer at hand keeps for what comes next.
  """

  continued: ClassVar[bool] = False

  valid_BT: jax.Array | None = None
  kept: Memory = dataclasses.field(default_factory=dict)

  def at(self, layer: jax.Array) -> Any:
    """The rows as one layer sees them."""
    del layer
    return self

  def positions(self, length: int) -> Positions:
    """Of `length` inputs: (T,), or (B,T) where rows differ."""
    return np.arange(length)

  def lookup(self, table_TD: jax.Array, length: int) -> jax.Array:
    """The vectors of `length` positions: (T,D), or (B,T,D)."""
    return table_TD[:length]

  def attended(self, name: str, new_BSGK: jax.Array) -> jax.Array:
    """Keys or values of all that came so far, each at its position."""
    del name
    return new_BSGK

  def state(self) -> jax.Array | None:
    """A recurrence's state before the first input, (B,D); None: zeros."""
    return None

  def keep(self, state_BTD: jax.Array) -> None:
    """Keeps a recurrence's state, given that after each input."""

  def preceded(self, x_BTD: jax.Array, reach: int) -> jax.Array:
    """The inputs, after the `reach` inputs before them, zeros where none."""
    return jnp.pad(x_BTD, ((0, 0), (reach, 0), (0, 0)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(kw_only=True)
class ContinuedRows(Rows):
  """Rows that go on; see `model/decoding.py`.

  Layers read the memory, and keep what they add to it; it is written once, in
  place, behind the last layer. Written layer by layer, all of it would be
  copied for each.

  Attributes:
    start_B: the position of the first input.
    count_B: how many inputs are real, the first of each row.
    memory: what all layers have kept so far.
    layer: the layer at hand.
    layout: where memory lives.
  """

  continued = True

  start_B: jax.Array
  count_B: jax.Array
  memory: Memory
  layer: jax.Array | int = 0
  layout: Layout = dataclasses.field(
    default=Layout(), metadata={'static': True})

  def at(self, layer: jax.Array) -> 'ContinuedRows':
    """The rows as one layer sees them."""
    return dataclasses.replace(self, kept={}, layer=layer)

  def positions(self, length: int) -> jax.Array:
    """Of `length` inputs: (B,T)."""
    return self.start_B[:, None] + jnp.arange(length)

  def lookup(self, table_TD: jax.Array, length: int) -> jax.Array:
    """The vectors of `length` positions: (B,T,D); padding has any."""
    return jnp.take(table_TD, self.positions(length), axis=0, mode='clip')

  def attended(self, name: str, new_BSGK: jax.Array) -> jax.Array:
    """Keys or values of all that came so far, each at its position.

    Those of padding are written too, behind all real ones, where no real
    position sees them and what comes next will stand.
    """
    self.kept[name] = new_BSGK
    letters = dims.letters(name)
    all_BSGK = self._written(letters, self._own(name), new_BSGK)
    return all_BSGK.transpose([letters.index(x) for x in 'BSGK'])

  def state(self) -> jax.Array:
    """A recurrence's state before the first input: (B,D)."""
    return self._own('state_BD')

  def keep(self, state_BTD: jax.Array) -> None:
    """Keeps a recurrence's state after the last real input."""
    before_BD = self.state()
    state_BTD = jnp.concatenate(
      [before_BD[:, None], state_BTD.astype(before_BD.dtype)], axis=1)
    self.kept['state_BD'] = state_BTD[jnp.arange(len(self.count_B)),
                                      self.count_B]

  def preceded(self, x_BTD: jax.Array, reach: int) -> jax.Array:
    """The inputs, after the `reach` inputs before them: (B, reach + T, D)."""
    x_BTD = jnp.concatenate([self._own('input_BWD'), x_BTD], axis=1)
    last = jax.vmap(lambda x_TD, count: jax.lax.dynamic_slice_in_dim(
      x_TD, count, reach))
    self.kept['input_BWD'] = last(x_BTD, self.count_B)
    return x_BTD

  def remembering(self, kept: Memory) -> Memory:
    """The memory with what all layers have kept, leading with N."""
    memory = {}
    for name, new in kept.items():
      letters = ('N', *dims.letters(name))
      # What has a place for each position is written there; a state is new.
      if 'S' in letters:
        new = self._written(letters, self.memory[name], jnp.moveaxis(new, 0, 2))
      memory[name] = self.layout.constrain(new, letters)
    return memory

  def _own(self, name: str) -> jax.Array:
    return self.memory[name][self.layer]

  def _written(self, letters: Letters, old: jax.Array,
               new: jax.Array) -> jax.Array:
    """Puts (B,T,...) into the places S of their positions."""
    places: dict[str | None, jax.Array] = {
      'B': jnp.arange(len(self.start_B))[:, None],
      'S': self.positions(new.shape[1])}
    index = tuple(places.get(letter, slice(None)) for letter in letters)
    return old.at[index].set(new.astype(old.dtype), mode='drop',
                             unique_indices=True)
