"""Whether a config fits a mesh, and other sources a model.

Both are asked before anything is traced.

What a mesh axis does not divide would be held, and computed, whole on every
device along it. For heads, widths and the batch that is a mistake, and an
error. A vocabulary is often given (50257 for GPT-2), so its tables stay whole,
and that is logged.
"""

import functools
import logging
import math
from collections.abc import Mapping

from data.batch import Source
from model.config import ConfigError, ModelConfig
from model.position import LearnedPosition
from train import placement
from train.config import Config


def validate(config: Config, devices: int, replicas: int = 1) -> None:
  """Refuses a config that does not fit on this many devices.

  Args:
    config: a complete config.
    devices: how many there are.
    replicas: how many runs train together.

  Raises:
    ConfigError: with every field that does not fit, the numbers, and the
      nearest values that would.
  """
  check(config, placement.sizes(config.mesh, devices, replicas))


def check(config: Config, sizes: Mapping[str, int]) -> None:
  """Refuses a config that does not fit a mesh with axes of these sizes.

  Raises:
    ConfigError: see `validate`.
  """
  problems = [*_model(config.model, sizes), *_batch(config, sizes),
              *_pmap(config, sizes)]
  if problems:
    raise ConfigError('\n'.join(problems))
  vocabulary, tensor = config.model.vocab_size, sizes['tensor']
  if vocabulary % tensor:
    _log_whole(vocabulary, tensor)


def check_sources(model: ModelConfig, sources: Mapping[str, Source]) -> None:
  """Refuses sources that a model of these sizes cannot be evaluated on.

  Raises:
    ConfigError: with every source that does not fit, and the fix.
  """
  problems = []
  for name, source in sources.items():
    sizes = {'vocab_size': source.vocab_size}
    if isinstance(model.position, LearnedPosition):
      sizes['max_length'] = source.length
    problems += [
      f'data.evaluate: {name} has a {field} of {size}, more than '
      f'model.{field}={getattr(model, field)}; set model.{field}={size}, or '
      'leave the source out'
      for field, size in sizes.items() if size > getattr(model, field)]
  if problems:
    raise ConfigError('\n'.join(problems))


def _model(model: ModelConfig, sizes: Mapping[str, int]) -> list[str]:
  tensor, fsdp = sizes['tensor'], sizes['fsdp']
  split = [('d_model', model.d_model, 'fsdp', fsdp)]
  split += [(f'mixer.{name}', heads, 'tensor', tensor)
            for name, heads in model.mixer.heads().items()]
  problems = [
    f'model.{name}: {size} is not divisible by mesh.{axis}={parts}; use '
    f'{_nearest(size, parts)}, or mesh.{axis} of {_divisors(size, parts)}'
    for name, size, axis, parts in split if size % parts]
  width = model.ff_width
  if width % tensor:
    problems.append(
      f'model.feed_forward.multiple: a feed-forward width of {width} is not '
      f'divisible by mesh.tensor={tensor}; use one of '
      f'{_nearest(width, tensor)}, or mesh.tensor of '
      f'{_divisors(width, tensor)}')
  return problems


def _batch(config: Config, sizes: Mapping[str, int]) -> list[str]:
  batch, microbatches = config.data.batch_size, config.train.microbatches
  parts = sizes['data'] * sizes['fsdp'] * microbatches
  if batch % parts == 0:
    return []
  return [
    f'data.batch_size: {batch} is not divisible by mesh.data={sizes["data"]} x '
    f'mesh.fsdp={sizes["fsdp"]} x train.microbatches={microbatches} = {parts}; '
    f'use {_nearest(batch, parts)}']


def _pmap(config: Config, sizes: Mapping[str, int]) -> list[str]:
  if config.mesh.compile != 'pmap':
    return []
  return [
    f'mesh.{axis}: {size}, but mesh.compile=pmap splits the batch alone; use '
    f'mesh.{axis}=1 with mesh.data={math.prod(sizes.values())}, or '
    'mesh.compile=jit'
    for axis, size in sizes.items() if axis != 'data' and size > 1]


def _nearest(size: int, parts: int) -> str:
  """The multiples of `parts` on both sides of `size`."""
  below = size // parts * parts
  return f'{below} or {below + parts}' if below else str(parts)


def _divisors(size: int, most: int) -> str:
  """What divides `size`, below `most`."""
  return ', '.join(str(n) for n in range(1, most) if size % n == 0)


@functools.cache
def _log_whole(vocabulary: int, tensor: int) -> None:
  logging.warning(
    'model.vocab_size: %d is not divisible by mesh.tensor=%d, so each device '
    'holds the whole tables and computes all logits; model.vocab_size=%d '
    'would split them', vocabulary, tensor,
    math.ceil(vocabulary / tensor) * tensor)
