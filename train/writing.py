"""What a source asks a model to write before training; see `WrittenSource`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import data
import model
from data.batch import Instance, Source, Writer
from model import ModelConfig
from train.config import Config

Params = dict[str, Any]


def instance(config: Config, source: Source,
             initial: Callable[[], Params]) -> Instance:
  """A run's data constants, with what its source has the model write.

  Args:
    config: a complete config.
    source: the run's own, or one that it is evaluated on.
    initial: the parameters that the run starts from; asked for only where
      something is written, and then also where training is resumed.
  """
  constants = source.instance(config.data.seed)
  if not data.writes(source):
    return constants
  return source.written(constants, config.train.seed,
                        writer(config.model, initial(), config.train.seed))


def writer(config: ModelConfig, params: Params, seed: int) -> Writer:
  """What goes on with texts as a model predicts them, at temperature 1."""

  def write(begun_BT: np.ndarray, more: int) -> np.ndarray:
    key = jax.random.fold_in(jax.random.key(4), seed)
    return np.asarray(_write(config, more, params, begun_BT, key))

  return write


@functools.partial(jax.jit, static_argnums=(0, 1))
def _write(config: ModelConfig, more: int, params: Params, begun_BT: jax.Array,
           key: jax.Array) -> jax.Array:
  """(B, T) begun texts to (B, T + more)."""
  B, begun = begun_BT.shape
  uniform_BT = jax.random.uniform(key, (B, more))

  def follow(text_BT: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
    # What stands behind a position is not seen from it, whatever it is.
    logits_BTV = model.apply(config, params, text_BT[:, :-1]).logits_BTV
    cdf_BV = jnp.cumsum(jax.nn.softmax(logits_BTV[:, begun - 1 + i]), axis=-1)
    drawn_B = jnp.sum(uniform_BT[:, i, None] * cdf_BV[:, -1:] >= cdf_BV,
                      axis=-1, dtype=jnp.int32)
    return text_BT.at[:, begun + i].set(drawn_B), None

  text_BT, _ = jax.lax.scan(follow, jnp.pad(begun_BT, ((0, 0), (0, more))),
                            jnp.arange(more))
  return text_BT
