"""A tree grammar with exact inference (Garnier-Brun et al., 2025).

A root symbol grows into a binary tree of l levels whose 2^l leaves are the
sentence. The q^2 pairs of symbols are dealt out at random to the q parents, q
pairs each, so a pair has one possible parent and the whole tree can be read
off its leaves, level by level. Levels: 0 is the leaves, l the root.

Filtered grammars are controls with the same marginals and less hierarchy. With
`filter_level` k, the 2^k nodes k levels below the root are drawn independently
given the root, each from its own marginal, and the full grammar grows below
them. k = 0 is the full tree, and with k = l the leaves are independent given
the root. The levels between the root and those nodes do not exist then.

Tokens: symbols are 0 to q - 1, the masked leaf is q, the root query q + 1.
Positions: 0 holds the root query, and 1 + i the leaf i.

Short sentences come again and again, so the splits are of what the model reads
(see `held_out`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, batch_key
from data.errors import InputError
from data.sources import belief_propagation, held_out
from data.sources.uniform import uniform

# Symbols of every node of a level, (B, 2^(l - level)) int32, by level.
Nodes = dict[int, jax.Array]


Objective = Literal['joint', 'root', 'masked']


@dataclasses.dataclass(frozen=True)
class TreeConfig:
  """A kind of grammar, and what is asked of its sentences."""

  name: ClassVar[str] = 'tree'
  causal: ClassVar[bool] = False

  symbols: int = 9  # q
  levels: int = 3  # l
  filter_level: int = 0  # k, levels below the root that are cut; 0: none
  objective: Objective = 'joint'
  sigma: float = 1.0  # spread of the transition logits
  # P, sentences to train on, the same in each epoch and in the same batches;
  # 0: always new ones
  examples: int = 0

  def validate(self) -> None:
    """Raises InputError when there is no such grammar."""
    if self.symbols < 2:
      raise InputError(f'data.source.symbols: {self.symbols} leave nothing to '
                       'tell apart; use at least 2')
    if self.levels < 1:
      raise InputError(f'data.source.levels: {self.levels} must be at least 1')
    if not 0 <= self.filter_level <= self.levels:
      nearest = 0 if self.filter_level < 0 else self.levels
      raise InputError(
        f'data.source.filter_level: {self.filter_level} must lie between 0 '
        f'(nothing filtered) and data.source.levels={self.levels}; use '
        f'{nearest}')
    if self.sigma < 0:
      raise InputError(f'data.source.sigma: {self.sigma} must be 0 or more')
    if self.examples < 0:
      raise InputError(f'data.source.examples: {self.examples} must be 0 '
                       '(always new ones) or more')

  def open(self) -> 'Tree':
    """Raises InputError as `validate`."""
    return Tree(self)


class Tree:
  """Source of sentences of a tree grammar; see `data.batch.Source`.

  Attributes:
    symbols: q, the size of the alphabet.
    levels: l; a sentence has 2^l leaves.
    node_levels: the levels that have nodes, in ascending order.
    root_position: where the root is asked for.
    mask_token: stands for the leaf that is asked for.
    query_token: stands at `root_position`.
  """

  bytes_V: np.ndarray | None = None
  fingerprint: Mapping[str, Any] = {}
  streams = False
  groups: tuple[str, ...] = ('tree',)
  root_position = 0

  def __init__(self, config: TreeConfig):
    """Raises InputError if `config` is not valid."""
    config.validate()
    self.symbols = config.symbols
    self.levels = config.levels
    self.filter_level = config.filter_level
    self.objective = config.objective
    self.sigma = config.sigma
    self.examples = config.examples
    self.length = 2**config.levels + 1
    self.mask_token = config.symbols
    self.query_token = config.symbols + 1
    self.vocab_size = config.symbols + 2
    block = config.levels - config.filter_level
    self.node_levels = tuple(sorted({*range(block + 1), config.levels}))

  def instance(self, seed: int) -> Instance:
    """Draws a grammar on the host; see `grammar` for what it holds."""
    rng = np.random.default_rng(seed)
    return grammar(random_transitions(rng, self.symbols, self.sigma),
                   self.filter_level)

  def evaluation_steps(self, split: str, batch_size: int) -> None:
    """Every split is endless."""

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws one batch; `weights_BT` sum to 2 an example ('joint') or to 1."""
    return self.parsed_batch(instance, seed, split, step, batch_size)[0]

  def parsed_batch(self, instance: Instance, seed: jax.Array | int, split: str,
                   step: jax.Array | int,
                   batch_size: int) -> tuple[Batch, Nodes]:
    """The batch that `batch` draws, and the true symbols of its trees."""
    if split == 'train' and self.examples:
      step %= max(1, self.examples // batch_size)
    drawn = held_out.drawn(batch_size, split)
    uniform_BT = uniform(
      batch_key(seed, split, step), drawn, draws=self.length + 1)
    nodes = self._grow(instance, uniform_BT[:, 1:])
    masked_B = None
    if self.objective != 'root':
      masked_B = (uniform_BT[:, 0] * 2**self.levels).astype(jnp.int32)
    batch = self._ask(nodes, masked_B)
    chosen_B, some = held_out.choose(batch.tokens_BT, split, batch_size)
    batch, nodes = jax.tree.map(lambda x: x[chosen_B], (batch, nodes))
    return batch._replace(weights_BT=batch.weights_BT * some), nodes

  def _ask(self, nodes: Nodes, masked_B: jax.Array | None) -> Batch:
    """Turns trees into examples of the objective."""
    tokens_BT = self.tokens(nodes[0], masked_B)
    targets_BT = jnp.concatenate([nodes[self.levels], nodes[0]], axis=1)
    asked_BT = tokens_BT == self.mask_token
    if self.objective != 'masked':
      asked_BT |= jnp.arange(self.length) == self.root_position
    return Batch(
      tokens_BT=tokens_BT,
      targets_BT=targets_BT,
      weights_BT=asked_BT.astype(jnp.float32),
      group_B=jnp.zeros(len(tokens_BT), jnp.int32))

  def _grow(self, instance: Instance, uniform_BT: jax.Array) -> Nodes:
    """Grows trees out of 2^l + 1 uniform numbers each.

    Column 0 draws the root. Of the rest, the first 2^k draw the nodes k levels
    below it, and 2^d to 2^(d+1) - 1 the pairs below the nodes at depth d.
    """
    instance = jax.tree.map(jnp.asarray, instance)
    nodes = {self.levels: (uniform_BT[:, :1] * self.symbols).astype(jnp.int32)}
    uniform_BT = uniform_BT[:, 1:]
    width = 2**self.filter_level
    top_cdf_BTV = instance['top_cdf_TVV'][jnp.arange(width), nodes[self.levels]]
    level = self.levels - self.filter_level
    nodes[level] = _draw(uniform_BT[:, :width], top_cdf_BTV)
    while level:
      pair_cdf_BTV = instance['pair_cdf_VV'][nodes[level]]
      pairs_BT = _draw(uniform_BT[:, width:2 * width], pair_cdf_BTV)
      children_BTV = jnp.stack(jnp.divmod(pairs_BT, self.symbols), axis=-1)
      level, width = level - 1, 2 * width
      nodes[level] = children_BTV.reshape(-1, width)
    return nodes

  def tokens(self, leaves_BT: jax.Array,
             masked_B: jax.Array | None = None) -> jax.Array:
    """What the model reads: the root query, then the leaves.

    Args:
      leaves_BT: symbols of the 2^l leaves.
      masked_B: the leaf to hide in each example, 0 to 2^l - 1; None: none.
    """
    if masked_B is not None:
      is_masked_BT = jnp.arange(leaves_BT.shape[1]) == masked_B[:, None]
      leaves_BT = jnp.where(is_masked_BT, self.mask_token, leaves_BT)
    return jnp.pad(leaves_BT, ((0, 0), (1, 0)),
                   constant_values=self.query_token)

  def posteriors(self, instance: Instance,
                 tokens_BT: jax.Array) -> belief_propagation.Posteriors:
    """The exact posterior of every node given what the model reads.

    Args:
      instance: the grammar.
      tokens_BT: made by `tokens`; masked leaves are unknown.

    Returns:
      By level of `node_levels`, probabilities (B, 2^(l - level), V) where V
      is the q symbols. The root's is [l][:, 0]; that of leaf i is [0][:, i].
    """
    leaves_BT = tokens_BT[:, 1:]
    return belief_propagation.posteriors(
      instance, leaves_BT, leaves_BT != self.mask_token)

  def bayes_loss(self, instance: Instance, batch: Batch) -> jax.Array:
    """Cross-entropy of the exact posterior, the least that is attainable.

    Args:
      instance: the grammar.
      batch: examples of this source.

    Returns:
      (B, T) float32, nats: -log posterior of the target at the positions that
      the batch scores, and 0 elsewhere. Averaged over examples it is the
      Bayes-optimal loss of a position.
    """
    posterior = self.posteriors(instance, batch.tokens_BT)
    posterior_BTV = jnp.concatenate(
      [posterior[self.levels], posterior[0]], axis=1)
    target_BT = jnp.take_along_axis(
      posterior_BTV, batch.targets_BT[..., None], axis=2)[..., 0]
    # A sum that rounds above 1 would make a loss below zero.
    loss_BT = -jnp.log(jnp.minimum(target_BT, 1.))
    return jnp.where(batch.weights_BT > 0, loss_BT, 0.)


def random_transitions(rng: np.random.Generator, symbols: int,
                       sigma: float) -> np.ndarray:
  """Draws P(left, right | parent), (V, V, V) float64.

  The pairs are shuffled and dealt to the parents, q each; within a parent,
  their probabilities are the softmax of sigma times standard normals.
  """
  logits_VV = sigma * rng.standard_normal((symbols, symbols))
  weights_VV = np.exp(logits_VV - logits_VV.max(axis=1, keepdims=True))
  pairs_VV = rng.permutation(symbols**2).reshape(symbols, symbols)
  transition_VV = np.zeros((symbols, symbols**2))
  np.put_along_axis(transition_VV, pairs_VV,
                    weights_VV / weights_VV.sum(axis=1, keepdims=True), axis=1)
  return transition_VV.reshape(symbols, symbols, symbols)


def grammar(transition_VVV: np.ndarray, filter_level: int) -> Instance:
  """The constants of a grammar.

  Args:
    transition_VVV: P(left, right | parent).
    filter_level: k, the levels below the root that are bridged at once.

  Returns:
    transition_VVV; top_TVV, P(node | root) of the 2^k nodes k levels down; and
    the cumulative sums to draw them by, pair_cdf_VV over the q^2 pairs and
    top_cdf_TVV; all float32.
  """
  symbols = len(transition_VVV)
  left_VV = transition_VVV.sum(axis=2)
  right_VV = transition_VVV.sum(axis=1)
  top_TVV = np.eye(symbols)[None]
  for _ in range(filter_level):
    children = [top_TVV @ left_VV, top_TVV @ right_VV]
    top_TVV = np.stack(children, axis=1).reshape(-1, symbols, symbols)
  return {
    'transition_VVV': transition_VVV.astype(np.float32),
    'top_TVV': top_TVV.astype(np.float32),
    'pair_cdf_VV': _cumulative(transition_VVV.reshape(symbols, -1)),
    'top_cdf_TVV': _cumulative(top_TVV)}


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
  """Cumulative sums that end in exactly 1 and are flat where nothing is.

  Summed on the host, in order: a parallel sum rounds differently at each entry,
  and could give an impossible pair a sliver of probability.
  """
  total = np.cumsum(probabilities, axis=-1)
  return (total / total[..., -1:]).astype(np.float32)


def _draw(uniform_BT: jax.Array, cdf_BTV: jax.Array) -> jax.Array:
  """Draws an index from each cumulative distribution, (B, T) int32."""
  return jnp.sum(uniform_BT[..., None] >= cdf_BTV, axis=-1, dtype=jnp.int32)
