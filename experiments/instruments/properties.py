"""What a text says of its own tokens for nothing: labels to probe for.

An example is one position of a text, the first of a window left out: nothing
stands before it, and many models keep there what belongs to no token.
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.text.tokenizer import Tokenizer
from experiments.instruments import passages as windows
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages

BINS = 8  # of positions, and of lengths
COMMON = 15  # tokens with a class of their own; all others share one
ALPHABET = 'abcdefghijklmnopqrstuvwxyz'
SUFFIXES = ('ing', 'ed', 'er', 'ly', 'ion', 's', 'e')  # signs of word classes
CLASSES = len(ALPHABET) + 1  # the most that a property has
# A property is left out where its classes' frequencies need less.
LEAST_BITS = 0.2
ROWS = 4  # read at once


class Examples(NamedTuple):
  """Positions of passages, in random order.

  Attributes:
    passages: the windows that they are of.
    row_B: the window of each.
    position_B: its position in it, 1 or more.
  """

  passages: Passages
  row_B: np.ndarray
  position_B: np.ndarray


class Property(NamedTuple):
  """A label of each example.

  Attributes:
    name: what it is called.
    label_B: int, from 0.
    classes: how many labels there are.
    type_B: what of the input alone decides the label, as an int: a control
      task gives each type a class at random.
  """

  name: str
  label_B: np.ndarray
  classes: int
  type_B: np.ndarray

  @property
  def bits(self) -> float:
    """Entropy of the classes' frequencies, bits an example."""
    share_V = np.bincount(self.label_B) / len(self.label_B)
    share_V = share_V[share_V > 0]
    return float(-np.sum(share_V * np.log2(share_V)))

  def control(self, rng: np.random.Generator) -> 'Property':
    """The same types, each with the label of an example drawn at random.

    Hewitt and Liang, 2019: who reads these labels as well has learned them.
    """
    types, index_B = np.unique(self.type_B, return_inverse=True)
    return self._replace(
      label_B=rng.choice(self.label_B, size=len(types))[index_B])


def examples(passages: Passages, most: int, seed: int = 0) -> Examples:
  """At most so many examples, from windows that are evenly spread."""
  usable_BT = np.asarray(passages.valid_BT).copy()
  usable_BT[:, 0] = False
  step = max(1, int(usable_BT.sum() // most))
  passages = Passages(*(x[::step] for x in passages))
  row_B, position_B = np.nonzero(usable_BT[::step])
  order = np.random.default_rng(seed).permutation(len(row_B))[:most]
  return Examples(passages, row_B[order], position_B[order])


def of(chosen: Examples, tokenizer: Tokenizer | None) -> list[Property]:
  """The properties that differ enough among the examples to be asked for.

  Those of the token itself and of the one before, and the position; where
  tokens are text, also how the token is spelled.
  """
  tokens_BT = np.asarray(chosen.passages.tokens_BT)
  token_B = tokens_BT[chosen.row_B, chosen.position_B]
  before_B = tokens_BT[chosen.row_B, chosen.position_B - 1]
  length = tokens_BT.shape[1]
  found = [
    Property('position', chosen.position_B * BINS // length, BINS,
             chosen.position_B),
    _common('token', token_B), _common('previous_token', before_B)]
  if tokenizer is not None:
    spelled = {int(i): tokenizer.token(int(i)).strip().removeprefix('##')
               for i in np.unique(token_B)}
    found += [
      Property(name, np.array([label(spelled[int(i)]) for i in token_B]),
               classes, token_B)
      for name, (label, classes) in SPELLING.items()]
  return [each for each in found if each.bits >= LEAST_BITS]


def labels(asked: Sequence[Property]) -> tuple[np.ndarray, np.ndarray]:
  """Labels of several properties, (properties, B), and their numbers of
  classes, as int32.
  """
  return (np.stack([each.label_B for each in asked]).astype(np.int32),
          np.array([each.classes for each in asked], np.int32))


def streams(network: Network, chosen: Examples) -> jax.Array:
  """Streams 0 to n at the examples, (N+1, B, D), float32."""
  count = len(chosen.row_B)
  shape = (network.config.n_layers + 1, count, network.config.d_model)
  kept_NBD = jnp.zeros(shape, jnp.float32)
  width = chosen.passages.tokens_BT.shape[1]
  part_B = chosen.row_B // ROWS
  most = int(np.bincount(part_B).max())
  for number, part in enumerate(windows.parts(chosen.passages, ROWS)):
    (own_B,) = np.nonzero(part_B == number)
    if not len(own_B):
      continue
    place_B = np.zeros(most, np.int32)
    place_B[:len(own_B)] = (chosen.row_B[own_B] % ROWS * width
                            + chosen.position_B[own_B])
    slot_B = np.full(most, count, np.int32)  # behind the end: dropped
    slot_B[:len(own_B)] = own_B
    kept_NBD = _fill(kept_NBD, network, part, place_B, slot_B)
  return kept_NBD


@functools.partial(jax.jit, donate_argnums=0)
def _fill(kept_NBD: jax.Array, network: Network, part: Passages,
          place_B: jax.Array, slot_B: jax.Array) -> jax.Array:
  def reduce(x_BTD: jax.Array) -> jax.Array:
    return x_BTD.reshape(-1, x_BTD.shape[-1])[place_B].astype(jnp.float32)

  return kept_NBD.at[:, slot_B].set(network.stream(part, reduce), mode='drop')


def _common(name: str, token_B: np.ndarray) -> Property:
  """The commonest tokens are classes, and all others are one more."""
  # Ties are broken by the id.
  counts = Counter(token_B.tolist())
  common = sorted(counts, key=lambda i: (-counts[i], i))[:COMMON]
  rank = {token: number for number, token in enumerate(common)}
  label_B = np.array([rank.get(i, len(common)) for i in token_B.tolist()])
  return Property(name, label_B, int(label_B.max()) + 1, token_B)


# Functions with names, since a measurement is known by their texts.


def _first_letter(text: str) -> int:
  return (ALPHABET.find(text[:1].lower()) if text else -1) % CLASSES


def _capital(text: str) -> int:
  return int(text[:1].isupper())


def _length(text: str) -> int:
  return min(max(len(text), 1), BINS) - 1


def _digit(text: str) -> int:
  return int(any(map(str.isdigit, text)))


def _ending(text: str) -> int:
  return next((number for number, suffix in enumerate(SUFFIXES)
               if len(text) > len(suffix) and text.endswith(suffix)),
              len(SUFFIXES))


SPELLING: dict[str, tuple[Callable[[str], int], int]] = {
  'first_letter': (_first_letter, CLASSES), 'capital': (_capital, 2),
  'length': (_length, BINS), 'digit': (_digit, 2),
  'ending': (_ending, len(SUFFIXES) + 1),
}
