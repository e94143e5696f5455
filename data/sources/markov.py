"""A Markov chain with clusters of tokens, and links to far clusters.

All that can be known of the next token is in the last one, and the transition
matrix is known, so losses have an exact optimum and a token's neighbours, by
what follows them, are planted:

* The tokens of a cluster share what follows them, apart from one token each:
  they are similar at second order (Schütze and Pedersen, 1993).
* Clusters lie on a ring, shuffled anew for what follows them, and what follows
  near ones is alike. So similarity is graded, and being similar to a token is
  not being followed by it.
* With probability `link` a token is followed by one token of its own, drawn
  from the far clusters: those at more than a quarter of the ring. Some tokens
  are so linked to by many, and some by none.
* Each cluster has the same Zipf law of frequencies (Zipf, 1935), so frequency
  does not tell clusters apart. Links come on top: who is linked to by many is
  more frequent than its rank.

Tokens are 0 to V - 1, shuffled. Each sequence begins anywhere in the chain.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, batch_key
from data.errors import InputError
from data.sources.uniform import uniform

NEAREST = 4  # clusters: with fewer, none is farther than a quarter of the ring


@dataclasses.dataclass(frozen=True)
class MarkovConfig:
  """A kind of chain, and how much of it is shown."""

  name: ClassVar[str] = 'markov'
  causal: ClassVar[bool] = True

  length: int = 16  # T
  symbols: int = 128  # V
  clusters: int = 8
  link: float = 0.5  # probability of the linked token

  def validate(self) -> None:
    """Raises InputError, naming the field, when there is no such chain."""
    if self.length < 1:
      raise InputError(f'data.source.length: {self.length} must be at least 1')
    if self.clusters < NEAREST:
      raise InputError(
        f'data.source.clusters: {self.clusters} leave none that is far from '
        f'another; use at least {NEAREST}')
    if self.symbols < self.clusters or self.symbols % self.clusters:
      below = max(self.symbols // self.clusters, 1) * self.clusters
      raise InputError(
        f'data.source.symbols: {self.symbols} do not make '
        f'data.source.clusters={self.clusters} of one size; use {below} or '
        f'{below + self.clusters}')
    if not 0 <= self.link < 1:
      raise InputError(
        f'data.source.link: {self.link:g} must be 0 or more and below 1')

  def open(self) -> 'Markov':
    """Raises InputError as `validate`."""
    return Markov(self)


class Markov:
  """Source of a chain's sequences; see `data.batch.Source`.

  Attributes:
    clusters: how many.
    link: the probability of a token's own successor.
  """

  bytes_V: np.ndarray | None = None
  fingerprint: Mapping[str, Any] = {}
  streams = False
  groups: tuple[str, ...] = ('chain',)

  def __init__(self, config: MarkovConfig):
    """Raises InputError if `config` is not valid."""
    config.validate()
    self.length = config.length
    self.vocab_size = config.symbols
    self.clusters = config.clusters
    self.link = config.link

  def instance(self, seed: int) -> Instance:
    """Draws a chain on the host.

    Returns:
      transition_VV, P(next | last), and frequency_V, its stationary law, both
      float32; cluster_V, where each token lies on the ring, and link_V, its
      own successor, both int32; and cumulative sums to draw by.
    """
    rng = np.random.default_rng(seed)
    shuffled_V = rng.permutation(self.vocab_size)
    cluster_V = shuffled_V % self.clusters
    zipf_V = 1 / (1 + shuffled_V // self.clusters)
    far_VV = self.far(cluster_V)
    link_V = np.array([rng.choice(np.flatnonzero(far_V)) for far_V in far_VV])
    # What follows a cluster lies around another place of a shuffled ring.
    follower_V = rng.permutation(self.clusters)[cluster_V]
    shared_VV = np.exp(-self.distance(cluster_V, follower_V)) * zipf_V
    shared_VV /= shared_VV.sum(axis=1, keepdims=True)
    transition_VV = (1 - self.link) * shared_VV
    transition_VV[np.arange(self.vocab_size), link_V] += self.link
    frequency_V = stationary(transition_VV)
    return {
      'transition_VV': transition_VV.astype(np.float32),
      'frequency_V': frequency_V.astype(np.float32),
      'cluster_V': cluster_V.astype(np.int32),
      'link_V': link_V.astype(np.int32),
      'transition_cdf_VV': _cumulative(transition_VV),
      'frequency_cdf_V': _cumulative(frequency_V)}

  def distance(self, cluster_V: np.ndarray, other_V: np.ndarray) -> np.ndarray:
    """Steps around the ring between clusters, (V, V)."""
    steps_VV = np.abs(cluster_V[:, None] - other_V)
    return np.minimum(steps_VV, self.clusters - steps_VV)

  def far(self, cluster_V: np.ndarray) -> np.ndarray:
    """Which tokens a token may be linked to: bool, (V, V), symmetric."""
    return self.distance(cluster_V, cluster_V) > self.clusters / 4

  def evaluation_steps(self, split: str, batch_size: int) -> None:
    """Every split is endless."""

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws one batch; every position is scored."""
    uniform_BT = uniform(
      batch_key(seed, split, step), batch_size, draws=self.length + 1)
    cdf_VV = jnp.asarray(instance['transition_cdf_VV'])

    def follow(last_B: jax.Array,
               uniform_B: jax.Array) -> tuple[jax.Array, jax.Array]:
      next_B = _draw(uniform_B, cdf_VV[last_B])
      return next_B, next_B

    first_B = _draw(uniform_BT[:, 0], jnp.asarray(instance['frequency_cdf_V']))
    _, later_TB = jax.lax.scan(follow, first_B, uniform_BT[:, 1:].T)
    chain_BT = jnp.concatenate([first_B[:, None], later_TB.T], axis=1)
    return Batch(
      tokens_BT=chain_BT[:, :-1],
      targets_BT=chain_BT[:, 1:],
      weights_BT=jnp.ones((batch_size, self.length), jnp.float32),
      group_B=jnp.zeros(batch_size, jnp.int32))

  def bayes_loss(self, instance: Instance, batch: Batch) -> jax.Array:
    """Cross-entropy of the chain itself, the least that is attainable.

    Returns:
      (B, T) float32, nats: -log P(target | token).
    """
    transition_VV = jnp.asarray(instance['transition_VV'])
    return -jnp.log(transition_VV[batch.tokens_BT, batch.targets_BT])


def stationary(transition_VV: np.ndarray) -> np.ndarray:
  """The law that a chain keeps, (V,) float64; every token is to be reached."""
  V = len(transition_VV)
  # One equation of pi P = pi follows from the rest; the sum takes its place.
  equations_VV = transition_VV.T - np.eye(V)
  equations_VV[-1] = 1
  return np.linalg.solve(equations_VV, np.eye(V)[-1])


def _cumulative(probability_V: np.ndarray) -> np.ndarray:
  total_V = np.cumsum(probability_V, axis=-1)
  return (total_V / total_V[..., -1:]).astype(np.float32)


def _draw(uniform_B: jax.Array, cdf_BV: jax.Array) -> jax.Array:
  """Draws an index from each cumulative distribution, (B,) int32."""
  return jnp.sum(uniform_B[:, None] >= cdf_BV, axis=-1, dtype=jnp.int32)
