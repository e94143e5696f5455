"""What a model is told of its rows beside their tokens.

Rows are whole sequences, as in training, or they go on with what was read
before, as in decoding. Mixers find them beside their sites, and say the same to
both: where am I, what came before me, keep this for what comes next.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from model import dims
from model.layout import Layout

# What all layers remember, by name; as parameters, each array leads with N.
Memory = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Rows:
  """Whole sequences, from position 0.

  Attributes:
    valid_BT: which positions are real, the first of each row; None: all.
    memory: what the layer at hand and those before it have kept.
  """

  continued: ClassVar[bool] = False

  valid_BT: jax.Array | None = None
  memory: Memory = dataclasses.field(default_factory=dict)

  def at(self, layer: jax.Array, memory: Memory) -> Any:
    """The rows as one layer sees them."""
    del layer
    return dataclasses.replace(self, memory=dict(memory))

  def positions(self, length: int) -> np.ndarray | jax.Array:
    """Of `length` inputs: (T,), or (B,T) where rows differ."""
    return np.arange(length)

  def attended(self, name: str, new_BSGK: jax.Array) -> jax.Array:
    """Keys or values of all that came so far, each at its position."""
    del name
    return new_BSGK

  def state(self) -> jax.Array | None:
    """A recurrence's state before the first input, (B,D); None: zeros."""
    return None

  def keep(self, state_BTD: jax.Array) -> None:
    """Remembers a recurrence's state after each input."""

  def preceded(self, x_BTD: jax.Array, reach: int) -> jax.Array:
    """The inputs, after the `reach` inputs before them, zeros where none."""
    return jnp.pad(x_BTD, ((0, 0), (reach, 0), (0, 0)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(kw_only=True)
class ContinuedRows(Rows):
  """Rows that go on; see `model/decoding.py`.

  The loop over layers carries the memory of all layers, and each writes its few
  new positions in place. Handed to each layer and back in shares, all of it
  would be read and written for every token.

  Attributes:
    start_B: the position of the first input.
    count_B: how many inputs are real, the first of each row.
    layer: the layer at hand.
    layout: where memory lives.
  """

  continued = True

  start_B: jax.Array
  count_B: jax.Array
  layer: jax.Array | int = 0
  layout: Layout = dataclasses.field(
    default=Layout(), metadata={'static': True})

  def at(self, layer: jax.Array, memory: Memory) -> 'ContinuedRows':
    """The rows as one layer sees them."""
    return dataclasses.replace(self, memory=dict(memory), layer=layer)

  def positions(self, length: int) -> jax.Array:
    """Of `length` inputs: (B,T)."""
    return self.start_B[:, None] + jnp.arange(length)

  def attended(self, name: str, new_BSGK: jax.Array) -> jax.Array:
    """Keys or values of all that came so far, each at its position.

    Those of padding are written too, behind all real ones, where no real
    position sees them and what comes next will stand.
    """
    places = {'B': jnp.arange(len(self.start_B))[:, None],
              'S': self.positions(new_BSGK.shape[1])}
    letters = dims.letters(name)
    index = (places.get(letter, slice(None)) for letter in letters)
    self._remember(name, self.memory[name].at[self.layer, *index].set(
      new_BSGK.astype(self.memory[name].dtype), mode='drop',
      unique_indices=True))
    return self._own(name).transpose([letters.index(x) for x in 'BSGK'])

  def state(self) -> jax.Array:
    """A recurrence's state before the first input: (B,D)."""
    return self._own('state_BD')

  def keep(self, state_BTD: jax.Array) -> None:
    """Remembers a recurrence's state after the last real input."""
    before_BD = self.state()
    state_BTD = jnp.concatenate(
      [before_BD[:, None], state_BTD.astype(before_BD.dtype)], axis=1)
    self._remember('state_BD', self.memory['state_BD'].at[self.layer].set(
      state_BTD[jnp.arange(len(self.count_B)), self.count_B]))

  def preceded(self, x_BTD: jax.Array, reach: int) -> jax.Array:
    """The inputs, after the `reach` inputs before them: (B, reach + T, D)."""
    x_BTD = jnp.concatenate([self._own('input_BSD'), x_BTD], axis=1)
    last = jax.vmap(lambda x_TD, count: jax.lax.dynamic_slice_in_dim(
      x_TD, count, reach))
    self._remember('input_BSD', self.memory['input_BSD'].at[self.layer].set(
      last(x_BTD, self.count_B)))
    return x_BTD

  def _own(self, name: str) -> jax.Array:
    return self.memory[name][self.layer]

  def _remember(self, name: str, whole: jax.Array) -> None:
    self.memory[name] = self.layout.constrain(
      whole, ('N', *dims.letters(name)))
