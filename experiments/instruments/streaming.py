"""A pass that holds one layer's weights at a time, and the whole's beside it.

What is in memory is measured, not assumed (`held`), each time after an array of
weights was read: what reading it or computing with it takes for a moment is not
seen. The pages of the file that the system keeps are not counted, since it may
drop them at any time.
"""

import functools
import gc
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import unflatten_dict
from safetensors import safe_open

import model
from experiments.runs.subject import Row
from model import Layout, ModelConfig
from model.block import Block
from model.pretrained.loading import Parameter
from model.rows import Rows

STACK = 'stack/'
BYTES = 4  # of a number: all is read as float32

Weights = Mapping[str, Parameter]  # by path, those of the stack with N
Look = Callable[[int], None]  # told of the bytes held beside JAX's arrays
Pass = Callable[[ModelConfig, Weights, np.ndarray, Look], np.ndarray]


def of_file(path: Path) -> Weights:
  """The weights in a file of a run's parameters; each reading opens it anew."""
  def parameter(name: str, shape: Iterable[int]) -> Parameter:
    def read(index: Any) -> np.ndarray:
      with safe_open(path, 'numpy') as file:
        return np.asarray(file.get_slice(name)[index])

    return Parameter(tuple(shape), read)

  with safe_open(path, 'numpy') as file:
    return {name: parameter(name, file.get_slice(name).get_shape())
            for name in sorted(file.keys())}


def in_memory(weights: Weights) -> Weights:
  """The same, all of them read."""
  def parameter(one: Parameter) -> Parameter:
    array = one.read(tuple(slice(size) for size in one.shape))
    return Parameter(one.shape, lambda index: array[index])

  return {name: parameter(one) for name, one in weights.items()}


def compared(config: ModelConfig, weights: Weights, tokens_BT: np.ndarray,
             run: Pass) -> list[Row]:
  """A pass against one with all weights in memory.

  Args:
    config: of the model.
    weights: of the model, to be read.
    tokens_BT: token ids.
    run: the pass.
  """
  run(config, weights, tokens_BT, unseen)  # compiles
  logits_BTV, most = held(functools.partial(run, config, weights, tokens_BT))
  loaded = in_memory(weights)
  whole_BTV = whole(config, loaded, tokens_BT, unseen)
  sizes = {name: BYTES * math.prod(one.shape) for name, one in weights.items()}
  total = sum(sizes.values())
  stack = sum(n for name, n in sizes.items() if name.startswith(STACK))
  allowed = total - stack + stack / config.n_layers
  rows = [Row('bits_that_differ', (logits_BTV != whole_BTV).sum()),
          Row('bytes_in_memory', most), Row('bytes_of_the_model', total),
          Row('bytes_in_memory_over_allowed', most / allowed),
          Row('share_of_the_model_in_memory', most / total)]
  for skipped in range(config.n_layers):
    without_BTV = stream(config, loaded, tokens_BT, unseen, skipped)
    rows += [
      Row('change_without_it', np.abs(without_BTV - whole_BTV).max(),
          {'layer': skipped}),
      Row('answers_that_change_without_it', np.mean(
        without_BTV.argmax(-1) != whole_BTV.argmax(-1)), {'layer': skipped})]
  return rows


def whole(config: ModelConfig, weights: Weights, tokens_BT: np.ndarray,
          look: Look) -> np.ndarray:
  """The logits, with all weights in memory."""
  return np.asarray(_apply(config, read(weights, look, ''), tokens_BT))


def stream(config: ModelConfig, weights: Weights, tokens_BT: np.ndarray,
           look: Look, skipped: int = -1) -> np.ndarray:
  """The logits, with one layer's weights in memory at a time.

  Args:
    config: of the model.
    weights: of the model, to be read.
    tokens_BT: token ids.
    look: called after each array that was read.
    skipped: a layer that is left out, from 0.
  """
  embeddings = [name.split('/')[0] + '/' for name in weights
                if not name.startswith((STACK, 'norm/', 'unembedding/'))]
  x_BTD = _once(_embed, config, read(weights, look, *embeddings), tokens_BT)
  for number in range(config.n_layers):
    if number != skipped:
      x_BTD = _once(_block, config, read(weights, look, STACK, layer=number),
                    x_BTD, number)
  tied = embeddings if config.unembedding == 'tied' else ()
  return np.asarray(_once(_unembed, config, read(
    weights, look, 'norm/', 'unembedding/', *tied), x_BTD))


def _once(function: Callable[..., jax.Array], config: ModelConfig, params: Any,
          *given: Any) -> jax.Array:
  """What a function gives of weights, which are gone when it returns."""
  out = function(config, params, *given).block_until_ready()
  for weights in jax.tree.leaves(params):
    weights.delete()
  return out


def read(weights: Weights, look: Look, *parts: str,
         layer: int | None = None) -> Any:
  """Parameters whose names begin so; of stacked ones those of a layer.

  One after the other, so that no more than one is held twice: as it was read,
  and as JAX's.
  """
  found = {}
  for name, one in weights.items():
    if not name.startswith(parts):
      continue
    index = [slice(size) for size in one.shape]
    if layer is not None:
      index[0] = slice(layer, layer + 1)
    given = one.read(tuple(index))
    given = given if layer is None else given[0]
    found[name] = jax.device_put(given).block_until_ready()
    look(_beside(given, found[name]))
  return unflatten_dict(found, sep='/')


def _beside(given: np.ndarray, taken: jax.Array) -> int:
  """The bytes of an array that stand beside JAX's; 0 where it was taken over.
  """
  shared = taken.unsafe_buffer_pointer() == given.ctypes.data
  return 0 if shared else given.nbytes


@functools.partial(jax.jit, static_argnums=0)
def _apply(config: ModelConfig, params: Any, tokens_BT: Any) -> jax.Array:
  return model.apply(config, params, tokens_BT).logits_BTV


@functools.partial(jax.jit, static_argnums=0)
def _block(config: ModelConfig, params: Any, x_BTD: jax.Array,
           number: jax.Array) -> jax.Array:
  out_BTD: jax.Array = Block(config, {}, Layout()).apply(
    {'params': params['stack']}, x_BTD, number, {}, Rows())[0]
  return out_BTD


_embed = jax.jit(model.embed, static_argnums=0)
_unembed = jax.jit(model.unembed, static_argnums=0)


def held(run: Callable[[Look], np.ndarray]) -> tuple[np.ndarray, int]:
  """What a pass gives, and the most bytes that it held at a time.

  Seen after each array that is read; what a program holds while it runs is not.
  Those are of all arrays that JAX has (weights and activations; what it had
  before does not count) and of the one that was just read.
  """
  gc.collect()
  before, most = _live(), 0

  def look(beside: int) -> None:
    nonlocal most
    most = max(most, _live() - before + beside)

  result = run(look)
  return result, most


def _live() -> int:
  # Two arrays can be names of one memory.
  return sum({x.unsafe_buffer_pointer(): x.nbytes
              for x in jax.live_arrays()}.values())


def unseen(beside: int) -> None:
  """Nobody looks."""
