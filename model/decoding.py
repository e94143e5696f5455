"""Going on with texts a few tokens at a time, without reading them again.

What a layer needs of the past is its mixer's memory: keys and values, a
recurrence's state, a convolution's last inputs. Reading a prompt and adding one
token are the same function, `extend`, and its logits are those of `model.apply`
on the whole text.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from model.config import ConfigError, ModelConfig
from model.language_model import LanguageModel, Params, check
from model.layout import Layout
from model.position import LearnedPosition
from model.rows import ContinuedRows, Memory


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
  """What a model has read so far.

  Attributes:
    length_B: how many tokens of each row.
    memory: what the mixers remember, leading with N.
    room: how many tokens a row can come to.
  """

  length_B: jax.Array
  memory: Memory
  room: int = dataclasses.field(metadata={'static': True})


def start(config: ModelConfig, batch: int, length: int) -> Cache:
  """A cache of nothing yet.

  Args:
    config: of the model that is going to read.
    batch: B, how many rows.
    length: how many tokens there is room for in each.

  Raises:
    ConfigError: the model does not decode.
  """
  _check(config)
  shapes = config.mixer.memory(config, batch, length)
  memory = {name: jnp.zeros((config.n_layers, *shape.shape), shape.dtype)
            for name, shape in shapes.items()}
  return Cache(jnp.zeros(batch, jnp.int32), memory, length)


def extend(config: ModelConfig, params: Params, tokens_BT: jax.Array,
           cache: Cache, count_B: jax.Array | None = None,
           layout: Layout | None = None) -> tuple[jax.Array, Cache]:
  """Reads the next tokens of each row.

  Args:
    config: as given to `model.init`.
    params: as `model.init` returns them.
    tokens_BT: token ids; T may be 1, or a whole prompt.
    cache: what was read before; it stays as it is.
    count_B: how many tokens of each row are real, the first; None: all. What
      is computed for the others means nothing, and is forgotten.
    layout: where arrays live; on one device when not given.

  Returns:
    Float32 logits (B,T,V), and the cache with the real tokens in it.

  Raises:
    ConfigError: the model does not decode, or has no room for so many tokens
      (which is not looked at inside of a traced function: its last positions
      are then wrong).
  """
  _check(config)
  tokens_BT = jnp.asarray(tokens_BT)
  B, T = tokens_BT.shape
  count_B = jnp.asarray(np.full(B, T) if count_B is None else count_B,
                        jnp.int32)
  _check_room(config, cache, count_B)
  return _extend(config, layout or Layout(), params, tokens_BT, cache, count_B)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _extend(config: ModelConfig, layout: Layout, params: Params,
            tokens_BT: jax.Array, cache: Cache,
            count_B: jax.Array) -> tuple[jax.Array, Cache]:
  x_BTD, cache = read(config, layout, params, tokens_BT, cache, count_B)
  return _unembed(config, layout, params, x_BTD), cache


def predict(config: ModelConfig, layout: Layout, params: Params,
            tokens_BT: jax.Array, cache: Cache,
            count_B: jax.Array) -> tuple[jax.Array, Cache]:
  """`extend` for tracing, with logits of the last real token alone: (B,V)."""
  x_BTD, cache = read(config, layout, params, tokens_BT, cache, count_B)
  last_BTD = x_BTD[jnp.arange(len(count_B))[:, None], count_B[:, None] - 1]
  return _unembed(config, layout, params, last_BTD)[:, 0], cache


def read(config: ModelConfig, layout: Layout, params: Params,
         tokens_BT: jax.Array, cache: Cache,
         count_B: jax.Array) -> tuple[jax.Array, Cache]:
  """`extend` for tracing, up to the stream that leaves the last layer."""
  rows = ContinuedRows(memory=cache.memory, start_B=cache.length_B,
                       count_B=count_B, layout=layout)
  network = LanguageModel(config, {}, layout)
  out: Any = network.apply({'params': params}, tokens_BT, rows, {},
                           method='through')
  x_BTD, _, kept = out
  return x_BTD, Cache(cache.length_B + count_B, rows.remembering(kept),
                      cache.room)


def _unembed(config: ModelConfig, layout: Layout, params: Params,
             x_BTD: jax.Array) -> jax.Array:
  network = LanguageModel(config, {}, layout)
  logits_BTV: Any = network.apply({'params': params}, x_BTD, method='unembed')
  return logits_BTV


def longest(config: ModelConfig) -> int | None:
  """How many positions the model knows; None: any number."""
  learned = isinstance(config.position, LearnedPosition)
  return config.max_length if learned else None


def _check(config: ModelConfig) -> None:
  check(config)
  if config.mask != 'causal':
    raise ConfigError(f'model.mask: {config.mask!r} looks at what is not '
                      'written yet, so this model cannot go on with a text; '
                      'run it on whole texts (model.apply)')
  if config.unembedding == 'absent':
    raise ConfigError("model.unembedding: 'absent' scores no tokens, so this "
                      'model cannot go on with a text')


def _check_room(config: ModelConfig, cache: Cache, count_B: Any) -> None:
  if isinstance(cache.length_B, jax.core.Tracer) or isinstance(
      count_B, jax.core.Tracer):
    return
  most = int((np.asarray(cache.length_B) + np.asarray(count_B)).max())
  if most > cache.room:
    raise ConfigError(f'length: the cache has room for {cache.room} tokens a '
                      f'row, and a row comes to {most}; start a longer one')
  known = longest(config)
  if known is not None and most > known:
    raise ConfigError(f'model.max_length: {known} learned positions, and a row '
                      f'comes to {most} tokens; shorten it')
