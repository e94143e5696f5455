"""Pointer chasing in context: follow k links of a cycle shown in the prompt.

Symbols are joined into one random cycle pi. The prompt shows its v edges in
random order and then one query (x, k); the answer is pi^k(x). Every fact that
is needed stands in the prompt, so what limits a model is how many links it can
join, and how depth buys them (after Sanford, Hsu and Telgarsky, 2024).

Tokens, for v symbols and h link counts:

  edge a -> b      a v + b                  in [0, v^2)
  query (x, k)     v^2 + x h + index of k   in [v^2, v^2 + v h)
  symbol s         v^2 + v h + s            the next v ids; all targets
  blank            v^2 + v h + v            the last id; never a target

Positions: 0 to v - 1 hold edges and v the query. 'direct' ends there, and is
scored there. With `queries` 'all', position v + s asks for symbol s, all with
the same k, and all are scored: one prompt teaches v answers instead of one.

In 'chain_of_thought' one query is followed by its hops, up to K = max(hops):
position v + j holds pi^j(x) and asks for pi^(j+1)(x), scored for j < k, and
holds a blank from j = k on. Its inputs contain earlier targets, so it has
meaning only for a causal model.
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

Queries = Literal['one', 'all']
Reasoning = Literal['direct', 'chain_of_thought']


@dataclasses.dataclass(frozen=True)
class PointerChasingConfig:
  """A cycle of symbols, and what is asked about it."""

  name: ClassVar[str] = 'pointer_chasing'

  symbols: int = 9  # v
  hops: tuple[int, ...] = (1, 2, 3, 4)  # the k that are asked for
  # one query a prompt, or one for every symbol, all with the same k
  queries: Queries = 'one'
  reasoning: Reasoning = 'direct'

  @property
  def causal(self) -> bool:
    """Whether true hops stand among the inputs."""
    return self.reasoning == 'chain_of_thought'

  def validate(self) -> None:
    """Raises InputError when k links forward are fewer than k links back."""
    hops.validate(self.hops, smallest=1)
    longest = max(self.hops)
    if self.symbols >= 2 * longest + 1:
      return
    fits = (self.symbols - 1) // 2
    raise InputError(
      f'data.source.symbols: a cycle of {self.symbols} has a shortcut for '
      f'{longest} links forward, fewer links back; use at least '
      f'{2 * longest + 1} symbols'
      + (f', or data.source.hops of at most {fits}' if fits > 0 else ''))

  def open(self) -> 'PointerChasing':
    """Raises InputError as `validate`."""
    return PointerChasing(self)


class PointerChasing:
  """Source of pointer-chasing examples; see `data.batch.Source`.

  Free-running generation, in which the model reads its own symbols and never
  the true ones, is

    tokens_BT = source.prompt(batch.tokens_BT)
    for position in range(source.query_position, source.length):
      emitted_B = argmax of the model's logits at `position`
      tokens_BT = source.emit(tokens_BT, position, emitted_B)

  where the answer of an example is what was emitted at
  `answer_positions[group]`, to be compared with `source.answers(batch)`.

  Attributes:
    symbols: v, the number of symbols.
    hops: the link counts k that are asked for, in the order of `groups`.
    query_position: the position that holds the query.
    answer_positions: for each of `hops`, the position whose prediction is the
      final answer.
    chance: expected accuracy of a guess among the symbols other than x.
  """

  bytes_V: np.ndarray | None = None
  fingerprint: Mapping[str, Any] = {}
  streams = False

  def __init__(self, config: PointerChasingConfig):
    """Raises InputError if `config` is not valid."""
    config.validate()
    self.symbols = config.symbols
    self.hops = config.hops
    self.groups = tuple(str(k) for k in config.hops)
    self.chain_of_thought = config.causal
    self.all_queries = config.queries == 'all' and not self.chain_of_thought
    self.query_position = config.symbols
    if self.chain_of_thought:
      self.length = config.symbols + max(config.hops)
      self.answer_positions = tuple(config.symbols + k - 1 for k in config.hops)
    else:
      asked = config.symbols if config.queries == 'all' else 1
      self.length = config.symbols + asked
      self.answer_positions = (self.query_position,) * len(config.hops)
    self.first_query = config.symbols**2
    self.first_symbol = self.first_query + config.symbols * len(config.hops)
    self.blank = self.first_symbol + config.symbols
    self.vocab_size = self.blank + 1
    self.chance = 1 / (config.symbols - 1)

  def instance(self, seed: int) -> Instance:
    """No constants: every example shows its own cycle."""
    return {}

  def evaluation_steps(self, split: str, batch_size: int) -> None:
    """Every split is endless."""

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws one batch; an example scores each query, or each of its k hops."""
    v = self.symbols
    uniform_BT = uniform(
      batch_key(seed, split, step), batch_size, draws=2 * v + 1)
    # A uniform order of the symbols, read as a loop, is a uniform single
    # cycle, and its first symbol a uniform x: pi^j(x) is path[j].
    path_BT = _ranks(uniform_BT[:, :v])
    edges_BT = path_BT * v + jnp.roll(path_BT, -1, axis=1)
    order_BT = _ranks(uniform_BT[:, v:2 * v])
    edges_BT = jnp.take_along_axis(edges_BT, order_BT, axis=1)
    group_B, hop_B = hops.choose(uniform_BT[:, -1], self.hops)
    # Where on the path each query starts.
    start_BT = jnp.zeros((batch_size, 1), jnp.int32)
    if self.all_queries:
      # In the order of the symbols, which tells nothing about the path.
      start_BT = jnp.sum(jnp.arange(v)[:, None] * (
        path_BT[:, :, None] == jnp.arange(v)), axis=1)
    symbol_BT = jnp.take_along_axis(path_BT, start_BT, axis=1)
    query_BT = (self.first_query + symbol_BT * len(self.hops)
                + group_B[:, None])
    prompt_BT = jnp.concatenate([edges_BT, query_BT], axis=1)
    chain_BT = self.first_symbol + path_BT
    if self.chain_of_thought:
      return self._chain(prompt_BT, chain_BT, group_B, hop_B)
    answer_BT = jnp.take_along_axis(
      chain_BT, (start_BT + hop_B[:, None]) % v, axis=1)
    edges = ((0, 0), (self.symbols, 0))  # not scored
    return Batch(
      tokens_BT=prompt_BT,
      targets_BT=jnp.pad(answer_BT, edges),
      weights_BT=jnp.pad(jnp.ones(answer_BT.shape), edges),
      group_B=group_B)

  def _chain(self, prompt_BT: jax.Array, chain_BT: jax.Array,
             group_B: jax.Array, hop_B: jax.Array) -> Batch:
    """Lays the hops out behind the prompt, each asking for the next."""
    longest = max(self.hops)
    done_T = jnp.arange(longest)  # hops already on the page
    scored_BT = done_T < hop_B[:, None]
    fed_BT = jnp.where(scored_BT, chain_BT[:, :longest], self.blank)
    edges = ((0, 0), (self.symbols, 0))  # not scored
    return Batch(
      tokens_BT=jnp.concatenate([prompt_BT, fed_BT[:, 1:]], axis=1),
      targets_BT=jnp.pad(chain_BT[:, 1:longest + 1], edges),
      weights_BT=jnp.pad(scored_BT.astype(jnp.float32), edges),
      group_B=group_B)

  def prompt(self, tokens_BT: jax.Array) -> jax.Array:
    """Blanks what follows the query, so that no true hop can be read."""
    after_T = jnp.arange(self.length) > self.query_position
    return jnp.where(after_T, self.blank, tokens_BT)

  def emit(self, tokens_BT: jax.Array, position: jax.Array | int,
           emitted_B: jax.Array) -> jax.Array:
    """Feeds back what the model predicted.

    Args:
      tokens_BT: the tokens so far.
      position: where the prediction was made; may be traced.
      emitted_B: the predicted token ids, whatever they are.

    Returns:
      The tokens with `emitted_B` at the next position; unchanged at the last
      position, which nothing follows.
    """
    next_T = jnp.arange(self.length) == position + 1
    return jnp.where(next_T, emitted_B[:, None], tokens_BT)

  def answers(self, batch: Batch) -> jax.Array:
    """The token id of the answer pi^k(x) to the first query, (B,)."""
    position_B = jnp.asarray(self.answer_positions)[batch.group_B]
    return jnp.take_along_axis(
      batch.targets_BT, position_B[:, None], axis=1)[:, 0]


def _ranks(uniform_BT: jax.Array) -> jax.Array:
  """The rank of each number in its row: a uniform permutation, int32.

  By comparing all pairs, which for a few symbols is faster than a sort.
  """
  here_BTS, there_BTS = uniform_BT[:, :, None], uniform_BT[:, None]
  position_T = jnp.arange(uniform_BT.shape[1])
  is_left_TS = position_T < position_T[:, None]  # settles ties
  is_less_BTS = (there_BTS < here_BTS) | (there_BTS == here_BTS) & is_left_TS
  return jnp.sum(is_less_BTS, axis=2, dtype=jnp.int32)
