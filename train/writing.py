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
from model.language_model import Params
from train.config import Config


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

  def follow(read: Any, uniform_B: jax.Array) -> Any:
    logits_BTV, cache = read
    drawn_B = model.generation.draw(logits_BTV[:, -1], uniform_B)
    # The last token is drawn, and then read into no room.
    read = model.decoding.extend(config, params, drawn_B[:, None], cache)
    return read, drawn_B

  cache = model.decoding.start(config, B, begun + more - 1)
  read = model.decoding.extend(config, params, begun_BT, cache)
  read = read[0][:, -1:], read[1]
  _, drawn_TB = jax.lax.scan(follow, read, uniform_BT.T)
  return jnp.concatenate([begun_BT, drawn_TB.T], axis=1)
