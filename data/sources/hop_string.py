"""The k-hop string task (Sanford, Hsu and Telgarsky, 2024).

One hop from position i of a string goes to the position just right of the
previous occurrence of the character at i; hop_k(i) is the character reached
after k hops. The first token says k, and the model predicts hop_k at every
character. Published setting: 4 characters, no immediate repeats, k from 0 to
16, a vocabulary of 30.

Tokens: characters are 0 to c - 1, and c + k asks for k hops. Position 0 holds
the k token, and position i + 1 the character i of a string of T - 1.

A position whose answer does not exist is not scored. The published code trains
on it, too: `trained='all'` asks there for a token that says so, and for a blank
at the first position; what is held out is scored as before. Once all c
characters have occurred, exactly 1 + k (c - 1) positions have none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, batch_key
from data.errors import InputError
from data.sources import hops
from data.sources.uniform import uniform

PUBLISHED_VOCABULARY = 30


@dataclasses.dataclass(frozen=True)
class HopStringConfig:
  """Strings of T - 1 characters, and what is asked of each."""

  name: ClassVar[str] = 'hop_string'
  causal: ClassVar[bool] = True

  length: int = 64  # T
  symbols: int = 9  # c
  hops: tuple[int, ...] = (1, 2, 3, 4)  # the k that are asked for
  # positions that training asks for an answer: where there is one, or all
  trained: Literal['answerable', 'all'] = 'answerable'

  def validate(self) -> None:
    """Raises InputError, naming the field, if some k has no answer."""
    hops.validate(self.hops, smallest=0)
    if self.symbols < 3:
      raise InputError(
        f'data.source.symbols: without immediate repeats, {self.symbols} '
        'characters leave nothing random; use at least 3')
    longest = max(self.hops)
    needed = 3 + longest * (self.symbols - 1)
    if self.length < needed:
      fits = max((self.length - 3) // (self.symbols - 1), 0)
      raise InputError(
        f'data.source.length: {self.length} positions leave {longest} hops '
        f'unanswerable; use at least {needed}, or data.source.hops of at most '
        f'{fits}')

  def open(self) -> 'HopString':
    """Raises InputError as `validate`."""
    return HopString(self)


class HopString:
  """Source of k-hop strings; see `data.batch.Source`.

  Attributes:
    symbols: c, the number of characters.
    hops: the link counts k that are asked for, in the order of `groups`.
  """

  bytes_V: np.ndarray | None = None
  fingerprint: Mapping[str, Any] = {}
  streams = False

  def __init__(self, config: HopStringConfig):
    """Raises InputError if `config` is not valid."""
    config.validate()
    self.symbols = config.symbols
    self.length = config.length
    self.hops = config.hops
    self.groups = tuple(str(k) for k in config.hops)
    self._trains_all = config.trained == 'all'
    self._absent = config.symbols + max(config.hops) + 1  # then the blank
    self.vocab_size = max(
      PUBLISHED_VOCABULARY, self._absent + 2 * self._trains_all)

  def instance(self, seed: int) -> Instance:
    """No constants: every string is its own world."""
    return {}

  def evaluation_steps(self, split: str, batch_size: int) -> None:
    """Every split is endless."""

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws one batch; `weights_BT` is 1 where the answer exists."""
    uniform_BT = uniform(
      batch_key(seed, split, step), batch_size, draws=self.length)
    string_BT = self._strings(uniform_BT[:, 1:])
    group_B, hop_B = hops.choose(uniform_BT[:, 0], self.hops)
    answers_BT, exists_BT = hop(string_BT, hop_B, self.symbols,
                                longest=max(self.hops))
    first, blank = ((0, 0), (1, 0)), 0
    if self._trains_all and split == 'train':
      answers_BT = jnp.where(exists_BT, answers_BT, self._absent)
      blank, weights_BT = self._absent + 1, jnp.ones(uniform_BT.shape)
    else:
      weights_BT = jnp.pad(exists_BT.astype(jnp.float32), first)
    return Batch(
      tokens_BT=jnp.concatenate(
        [self.symbols + hop_B[:, None], string_BT], axis=1),
      targets_BT=jnp.pad(answers_BT, first, constant_values=blank),
      weights_BT=weights_BT,
      group_B=group_B)

  def _strings(self, uniform_BT: jax.Array) -> jax.Array:
    """Uniform over the strings without immediate repeats, int32."""
    first_BT = uniform_BT[:, :1] * self.symbols
    # A step of 1 to c - 1 around the alphabet reaches every other character.
    step_BT = 1 + uniform_BT[:, 1:] * (self.symbols - 1)
    moves_BT = jnp.concatenate([first_BT, step_BT], axis=1).astype(jnp.int32)
    return jnp.cumsum(moves_BT, axis=1) % self.symbols


def hop(string_BT: jax.Array, hop_B: jax.Array, symbols: int,
        longest: int) -> tuple[jax.Array, jax.Array]:
  """Follows `hop_B` hops from every position.

  Args:
    string_BT: characters, 0 to symbols - 1.
    hop_B: k of each string, 0 to longest.
    symbols: c, the number of characters.
    longest: the largest k; static.

  Returns:
    answers_BT, the character reached (0 where there is none), and exists_BT.
  """
  table_BT = _pointers(string_BT, symbols)

  def follow(done: jax.Array, pointer_BT: jax.Array) -> jax.Array:
    further_BT = jnp.take_along_axis(table_BT, pointer_BT, axis=1)
    return jnp.where(done < hop_B[:, None], further_BT, pointer_BT)

  T = string_BT.shape[1]
  here_BT = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32), string_BT.shape)
  pointer_BT = jax.lax.fori_loop(0, longest, follow, here_BT)
  # The entry behind the string is where a hop that does not exist ends.
  padded_BT = jnp.pad(string_BT, ((0, 0), (0, 1)))
  return jnp.take_along_axis(padded_BT, pointer_BT, axis=1), pointer_BT < T


def _pointers(string_BT: jax.Array, symbols: int) -> jax.Array:
  """Where one hop leads, (B, T + 1); T, which leads to itself, is nowhere."""
  T = string_BT.shape[1]
  is_character_BTV = string_BT[..., None] == jnp.arange(symbols)
  position_T1 = jnp.arange(T, dtype=jnp.int32)[:, None]
  last_BTV = jax.lax.cummax(jnp.where(is_character_BTV, position_T1, -1), 1)
  before_BTV = jnp.pad(last_BTV, ((0, 0), (1, 0), (0, 0)),
                       constant_values=-1)[:, :T]
  previous_BT = jnp.take_along_axis(
    before_BTV, string_BT[..., None], axis=2)[..., 0]
  target_BT = jnp.where(previous_BT >= 0, previous_BT + 1, T)
  return jnp.pad(target_BT, ((0, 0), (0, 1)), constant_values=T)
