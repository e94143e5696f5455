"""A Markov chain that new tokens join, more or less like the old ones.

Old text: an old token has k = 4 successors with unequal probabilities, and is a
successor of k others. There are k times as many old tokens as new ones, and
each has exactly one successor that is a template: an old token with a new twin.

New text: an old token is followed by the one new token whose context it is in
`share` of the cases, and else as before. A new token has k contexts and k
successors, all old, and the probabilities of its template. Of both, a
fraction, the similarity, is the template's; the rest is novel: contexts that
belong to another twin, successors that the template has not.

Old text begins with an old token, new text with a new one. So whoever reads
knows which text it is, and the exact probabilities of the next token are a row
of one matrix. Entropies are the same at every similarity.

Tokens: the old ones first, then the new ones.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, batch_key
from data.errors import InputError
from data.sources.uniform import uniform

TRACED = {'role': 'traced'}

SUCCESSORS = 4  # k

Text = Literal['old', 'new']


@dataclasses.dataclass(frozen=True)
class NewTokensConfig:
  """A kind of chain, and which of its two texts is read."""

  causal: ClassVar[bool] = True

  text: Text = 'old'
  # These two shape the constants alone.
  similarity: float = dataclasses.field(default=0.0, metadata=TRACED)
  share: float = dataclasses.field(default=0.5, metadata=TRACED)
  new_tokens: int = 12
  length: int = 16

  @property
  def name(self) -> str:
    """Which text it is."""
    return f'{self.text} text'

  def validate(self) -> None:
    """Raises InputError when there is no such chain."""
    if self.new_tokens < 3:
      raise InputError(f'data.source.new_tokens: {self.new_tokens} must be at '
                       'least 3, so that contexts can go to another')
    copied = self.similarity * SUCCESSORS
    if not 0 <= self.similarity <= 1 or copied != round(copied):
      raise InputError(
        f'data.source.similarity: {self.similarity:g} must be a share of the '
        f'{SUCCESSORS} successors, a multiple of {1 / SUCCESSORS:g} from 0 to '
        '1')
    if not 0 < self.share < 1:
      raise InputError(f'data.source.share: {self.share:g} must lie between 0 '
                       'and 1')
    if self.length < 1:
      raise InputError(f'data.source.length: {self.length} must be at least 1')

  def open(self) -> 'NewTokens':
    """Raises InputError as `validate`."""
    return NewTokens(self)


class NewTokens:
  """Source of old or new text; see `data.batch.Source`.

  Attributes:
    first_new: the first new token; all before it are old.
  """

  bytes_V: np.ndarray | None = None
  fingerprint: Mapping[str, Any] = {}
  streams = False

  def __init__(self, config: NewTokensConfig):
    """Raises InputError if `config` is not valid."""
    config.validate()
    self._config = config
    self.length = config.length
    self.first_new = config.new_tokens * SUCCESSORS
    self.vocab_size = self.first_new + config.new_tokens
    self.groups: tuple[str, ...] = (config.text,)

  def instance(self, seed: int) -> Instance:
    """The chain: what follows each token, and what a text begins with.

    Returns:
      transition_VV, P(next | token), and begin_V; and their cumulative sums,
      cdf_VV and begin_cdf_V, to draw from; float32.
    """
    transition_VV = chain(np.random.default_rng(seed), self._config)
    begins_V = np.arange(self.vocab_size) < self.first_new
    if self._config.text == 'new':
      begins_V = ~begins_V
    begin_V = begins_V / begins_V.sum()
    return {'transition_VV': transition_VV.astype(np.float32),
            'begin_V': begin_V.astype(np.float32),
            'cdf_VV': _cumulative(transition_VV),
            'begin_cdf_V': _cumulative(begin_V)}

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws one batch; every token but the first of a text is predicted."""
    uniform_BT = uniform(batch_key(seed, split, step), batch_size,
                         draws=self.length + 1)
    cdf_VV = jnp.asarray(instance['cdf_VV'])

    def follow(token_B: jax.Array, uniform_B: jax.Array
               ) -> tuple[jax.Array, jax.Array]:
      next_B = _draw(uniform_B, cdf_VV[token_B])
      return next_B, next_B

    first_B = _draw(uniform_BT[:, 0], jnp.asarray(instance['begin_cdf_V']))
    _, rest_TB = jax.lax.scan(follow, first_B, uniform_BT[:, 1:].T)
    text_BT = jnp.concatenate([first_B[:, None], rest_TB.T], axis=1)
    return Batch(
      tokens_BT=text_BT[:, :-1], targets_BT=text_BT[:, 1:],
      weights_BT=jnp.ones((batch_size, self.length), jnp.float32),
      group_B=jnp.zeros(batch_size, jnp.int32))

  def evaluation_steps(self, split: str, batch_size: int) -> None:
    """Every split is endless."""


def chain(rng: np.random.Generator, config: NewTokensConfig) -> np.ndarray:
  """P(next | token), (V, V) float64, of one text.

  Both texts, and all similarities, of one seed have the same old chain,
  templates and novel rules; at a lower similarity more of the rules apply.
  """
  new, k = config.new_tokens, SUCCESSORS
  old = new * k
  templates = rng.choice(old, new, replace=False)
  others = np.setdiff1d(np.arange(old), templates)
  # contexts[i, j] is what template j follows as an i-th successor.
  contexts = rng.permutation(old).reshape(k, new)
  successors = np.empty((old, k), int)
  for i in range(k):
    successors[contexts[i], i] = templates
    rest = np.setdiff1d(np.arange(old), contexts[i])
    successors[rest, i] = _apart(rng, rest, others, successors[:, :i])
  weights = np.exp(rng.standard_normal((old, k)))
  weights /= weights.sum(axis=1, keepdims=True)
  old_VV = np.zeros((old, old))
  np.add.at(old_VV, (np.arange(old)[:, None], successors), weights)
  transition_VV = np.zeros((old + new, old + new))
  transition_VV[:old, :old] = old_VV
  # New tokens have a row in either text, so that every row is a distribution.
  novel = np.stack([rng.choice(np.setdiff1d(
    np.arange(old), successors[t]), k, replace=False) for t in templates])
  turns = rng.integers(1, new, k)  # whose contexts are the novel ones
  order = rng.permutation(k)  # which are novel first
  copied = np.empty(k, bool)
  copied[order] = np.arange(k) >= round((1 - config.similarity) * k)
  twins = np.where(copied, successors[templates], novel)
  transition_VV[old + np.arange(new)[:, None], twins] = weights[templates]
  if config.text == 'new':
    transition_VV[:old] *= 1 - config.share
    for i in range(k):
      following = np.roll(np.arange(new), 0 if copied[i] else turns[i])
      transition_VV[contexts[i], old + following] = config.share
  return transition_VV


def _apart(rng: np.random.Generator, rest: np.ndarray, others: np.ndarray,
           taken: np.ndarray) -> np.ndarray:
  """Deals `others` to `rest`, so that no token follows another twice."""
  dealt = rng.permutation(others)
  while (clash := (dealt[:, None] == taken[rest]).any(axis=1)).any():
    for i in np.flatnonzero(clash):
      j = rng.integers(len(dealt))
      dealt[[i, j]] = dealt[[j, i]]
  return dealt


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
  """Cumulative sums that end in exactly 1 and are flat where nothing is."""
  total = np.cumsum(probabilities, axis=-1)
  return (total / total[..., -1:]).astype(np.float32)


def _draw(uniform_B: jax.Array, cdf_BV: jax.Array) -> jax.Array:
  """Draws an index from each cumulative distribution, int32."""
  return jnp.sum(uniform_B[:, None] >= cdf_BV, axis=-1, dtype=jnp.int32)
