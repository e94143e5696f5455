"""Writing on from texts: greedily or by chance, many prompts at once.

A text is a function of the parameters, its prompt and the seed, whatever stands
beside it; copies of one prompt get different texts. That holds but for the
rounding of products of another size.
"""

import collections
import dataclasses
import functools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from model import decoding, parameterisation
from model.config import ConfigError, ModelConfig
from model.decoding import Cache
from model.language_model import Params
from model.layout import Layout
from model.rows import padded

# What a row that has ended says.
ENDED = -1

SMALLEST = float(np.finfo(np.float32).tiny)  # of temperatures that are not 0

# Positions of a prompt that are read at once; more take memory for the scores.
PIECE = 1024


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How the next token is chosen.

  Attributes:
    temperature: divides the logits; 0 takes the most probable token.
    top_p: draws from the fewest most probable tokens that have this share of
      the probability together (Holtzman et al., 2020), and those as probable
      as the last of them; 1: from all.
  """

  temperature: float = 1.0
  top_p: float = 1.0

  def validate(self) -> None:
    """Raises ConfigError for values that choose nothing."""
    if not 0 <= self.temperature < float('inf'):
      raise ConfigError(f'temperature: {self.temperature:g} must be 0 (the '
                        'most probable token) or a finite number above it')
    if not 0 < self.top_p <= 1:
      raise ConfigError(f'top_p: {self.top_p:g} must be above 0 and at most 1 '
                        '(all tokens)')


class _Choice(NamedTuple):
  """`Sampling` as compiled programs take it; another None is another program.

  Attributes:
    temperature: None: the most probable token.
    top_p: None: all tokens.
  """

  temperature: ArrayLike | None
  top_p: ArrayLike | None


def _choice(sampling: Sampling) -> _Choice:
  # What is smaller than any normal number is zero to XLA.
  if sampling.temperature < SMALLEST:
    return _Choice(None, None)
  return _Choice(np.float32(sampling.temperature),
                 np.float32(sampling.top_p) if sampling.top_p < 1 else None)


def generate(config: ModelConfig, params: Params, prompts: Sequence[Any],
             tokens: int, sampling: Sampling = Sampling(), seed: int = 0,
             stop: Sequence[int] = (),
             layout: Layout | None = None) -> list[np.ndarray]:
  """The new ids of each prompt; arguments and errors as those of `stream`.

  Returns:
    For each prompt at most `tokens` ids. One that is shorter ends in a stop id,
    which it includes, or its text has reached max_length.
  """
  said = list(stream(config, params, prompts, tokens, sampling, seed, stop,
                     layout))
  said_BT = np.stack(said, axis=1) if said else np.zeros((len(prompts), 0),
                                                         np.int32)
  return [ids_T[ids_T != ENDED] for ids_T in said_BT]


def stream(config: ModelConfig, params: Params, prompts: Sequence[Any],
           tokens: int, sampling: Sampling = Sampling(), seed: int = 0,
           stop: Sequence[int] = (),
           layout: Layout | None = None) -> Iterator[np.ndarray]:
  """Writes on from each prompt, and says each token as soon as it is known.

  Calls of similar lengths share their compiled programs.

  Args:
    config: as given to `model.init`.
    params: as `model.init` returns them.
    prompts: token ids, at least one each; their lengths may differ.
    tokens: how many new ones at most.
    sampling: how they are chosen.
    seed: of what is left to chance.
    stop: ids after which a text ends.
    layout: where arrays live; on one device when not given.

  Returns:
    An iterator of (B,) int32, the next id of each prompt. A text ends with a
    stop id, or where all max_length positions of the model are read, and says
    ENDED from then on; the iterator ends with the last text.

  Raises:
    ConfigError: the model does not decode, or the arguments do not fit it.
  """
  sampling.validate()
  texts = _texts(config, prompts)
  for name, value in (('tokens', tokens), ('seed', seed)):
    if not isinstance(value, int | np.integer) or not 0 <= value < 2**31:
      raise ConfigError(f'{name}: {value!r} must be a whole number from 0 to '
                        f'{2**31 - 1}')
  length_B = np.array([len(ids_T) for ids_T in texts], np.int32)
  # The token after the last position is predicted too.
  room = config.max_length + 1 if config.max_length else np.inf
  more_B = np.minimum(tokens, room - length_B).astype(np.int32)
  cache = decoding.start(config, len(texts),
                         _roomy(config, int((length_B + more_B).max()) - 1))
  return _stream(config, layout or Layout(), _narrow(config, params), texts,
                 cache, more_B, sampling, _keys(texts, seed), stop)


def _stream(config: ModelConfig, layout: Layout, params: Params,
            texts: list[np.ndarray], cache: Cache, more_B: np.ndarray,
            sampling: Sampling, key_B: jax.Array,
            stop: Sequence[int]) -> Iterator[np.ndarray]:
  choice = _choice(sampling)
  logits_BV, cache = _read(config, layout, params, texts, cache)
  ahead_B = _choose(choice, logits_BV, key_B, cache.length_B)
  for i in range(more_B.max()):
    next_B = ahead_B
    if i + 1 < more_B.max():
      # Devices work while the host hands out what they said.
      ahead_B, cache = _step(config, layout, choice, params, next_B, cache,
                             key_B)
    said_B = np.where(i < more_B, np.asarray(next_B), ENDED)
    yield said_B
    more_B = np.where(np.isin(said_B, list(stop)), 0, more_B)
    if (more_B <= i + 1).all():
      return


def _texts(config: ModelConfig, prompts: Sequence[Any]) -> list[np.ndarray]:
  texts = [np.asarray(prompt, np.int32) for prompt in prompts]
  if not texts:
    raise ConfigError('prompts: there is none; give at least one')
  for i, ids_T in enumerate(texts):
    if ids_T.ndim != 1 or not len(ids_T):
      raise ConfigError(f'prompts: number {i} must be a list of token ids, at '
                        f'least one, not of shape {ids_T.shape}')
    if ids_T.min() < 0 or ids_T.max() >= config.vocab_size:
      raise ConfigError(f'prompts: ids go from 0 to {config.vocab_size - 1}, '
                        f'and number {i} has {ids_T.min()} to {ids_T.max()}')
    if config.max_length and len(ids_T) > config.max_length:
      raise ConfigError(f'prompts: number {i} has {len(ids_T)} tokens, more '
                        f'than model.max_length={config.max_length}; shorten '
                        'it')
  return texts


def _roomy(config: ModelConfig, length: int) -> int:
  """A length for many: a power of two, or all that the model has."""
  power = 1 << max(0, length - 1).bit_length()
  return min(power, config.max_length or power)


def _keys(texts: list[np.ndarray], seed: int) -> jax.Array:
  """A random key for each text, by what it says and how often it came before.

  Equal keys for unequal prompts would make one text's luck another's.
  """
  seen: collections.Counter[bytes] = collections.Counter()
  marks = []
  for ids_T in texts:
    said = ids_T.tobytes()
    marks.append((zlib.crc32(said), seen[said]))
    seen[said] += 1
  return _folded(jax.random.key(seed), np.array(marks, np.uint32))


@jax.jit
def _folded(key: jax.Array, mark_B2: jax.Array) -> jax.Array:
  def fold(mark: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.fold_in(key, mark[0]), mark[1])

  return jax.vmap(fold)(mark_B2)


def _narrow(config: ModelConfig, params: Params) -> Params:
  """Matrices in the dtype of the products, so that they are cast but once."""
  def cast(path: Any, leaf: jax.Array) -> jax.Array:
    vector = parameterisation.group(path) == 'vector'
    return jnp.asarray(leaf, None if vector else config.dtype)

  return jax.tree_util.tree_map_with_path(cast, params)


def _read(config: ModelConfig, layout: Layout, params: Params,
          texts: list[np.ndarray], cache: Cache) -> tuple[jax.Array, Cache]:
  """Reads prompts: logits of the token after each, and the cache."""
  length_B = np.array([len(ids_T) for ids_T in texts], np.int32)
  text_BT, _ = padded(texts, _roomy(config, int(length_B.max())))
  logits_BV = jnp.zeros((len(texts), config.vocab_size))
  for begin in range(0, int(length_B.max()), PIECE):
    piece_BT = text_BT[:, begin:begin + PIECE]
    count_B = np.clip(length_B - begin, 0, piece_BT.shape[1])
    logits_BV, cache = _read_piece(config, layout, params, piece_BT, cache,
                                   count_B, logits_BV)
  return logits_BV, cache


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=(4, 6))
def _read_piece(config: ModelConfig, layout: Layout, params: Params,
                piece_BT: jax.Array, cache: Cache, count_B: jax.Array,
                before_BV: jax.Array) -> tuple[jax.Array, Cache]:
  logits_BV, cache = decoding.predict(config, layout, params, piece_BT, cache,
                                      count_B)
  return jnp.where(count_B[:, None] > 0, logits_BV, before_BV), cache


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=5)
def _step(config: ModelConfig, layout: Layout, choice: _Choice, params: Params,
          last_B: jax.Array, cache: Cache,
          key_B: jax.Array) -> tuple[jax.Array, Cache]:
  """Reads the last token of each text, and chooses the next."""
  logits_BV, cache = decoding.predict(
    config, layout, params, last_B[:, None], cache, jnp.ones_like(last_B))
  return _choose(choice, logits_BV, key_B, cache.length_B), cache


@jax.jit
def _choose(choice: _Choice, logits_BV: jax.Array, key_B: jax.Array,
            position_B: jax.Array) -> jax.Array:
  if choice.temperature is None:
    return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)
  uniform_B = jax.vmap(lambda key, position: jax.random.uniform(
    jax.random.fold_in(key, position)))(key_B, position_B)
  # From the largest on, whose quotient has to be exact: it can be vast.
  above_BV = logits_BV - logits_BV.max(axis=-1, keepdims=True)
  return draw(above_BV / choice.temperature, uniform_B, choice.top_p)


def draw(logits_BV: jax.Array, uniform_B: jax.Array,
         top_p: ArrayLike | None = None) -> jax.Array:
  """The token that a number in [0, 1) falls on: (B,), int32.

  Args:
    logits_BV: of the tokens' probabilities.
    uniform_B: where in their sum.
    top_p: see `Sampling`; None: all tokens.
  """
  chance_BV = jax.nn.softmax(logits_BV)
  if top_p is not None:
    chance_BV = jnp.where(chance_BV < _least(chance_BV, top_p), 0, chance_BV)
  cdf_BV = jnp.cumsum(chance_BV, axis=-1)
  return jnp.sum(uniform_B[:, None] * cdf_BV[:, -1:] >= cdf_BV, axis=-1,
                 dtype=jnp.int32)


def _least(chance_BV: jax.Array, top_p: ArrayLike) -> jax.Array:
  """The largest chance such that those at least as large come to `top_p`.

  By halving, in the order of floats, which is that of their bits as integers:
  to sort a vocabulary takes ten times as long.

  Returns:
    (B, 1).
  """
  def chance(bits_B1: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits_B1, jnp.float32)

  def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> Any:
    low_B1, high_B1 = bounds
    middle_B1 = (low_B1 + high_B1) // 2
    share_B1 = jnp.where(chance_BV < chance(middle_B1), 0, chance_BV).sum(
      axis=-1, keepdims=True)
    enough_B1 = share_B1 >= top_p
    return (jnp.where(enough_B1, middle_B1, low_B1),
            jnp.where(enough_B1, high_B1, middle_B1))

  zero_B1 = jnp.zeros_like(chance_BV[:, :1], jnp.int32)
  two_B1 = zero_B1 + np.float32(2).view(np.int32)
  return chance(jax.lax.fori_loop(0, 30, halve, (zero_B1, two_B1))[0])
