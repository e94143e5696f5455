"""What one config can say of another: which field stands in the way."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

from model.attention import AttentionConfig
from model.config import ConfigError, ModelConfig
from model.feed_forward import GatedFeedForward, PlainFeedForward

# How parameters were found, and how fast they are used. What a parameterisation
# multiplies by belongs into the parameters that are written.
BESIDE = {'model.parameterisation', 'model.base_layers', 'model.base_width',
          'model.init_scale', 'model.dtype', 'model.unroll', 'model.remat',
          'model.mixer.kernel'}

Kind = TypeVar('Kind')


def kind(config: ModelConfig, name: str, wanted: type[Kind]) -> Kind:
  """The part of that name.

  Raises:
    ConfigError: it is of another kind.
  """
  part = getattr(config, name)
  if not isinstance(part, wanted):
    raise ConfigError(f'model.{name}: {type(part).__name__} cannot be written '
                      f'in this format, which has {wanted.__name__}')
  return part


def check(config: ModelConfig, written: ModelConfig) -> None:
  """Raises ConfigError for a field of `config` that was not written.

  Args:
    config: a model.
    written: what is read back of what was written of it.
  """
  for path, value, back in _differences('model', _plain(config),
                                        _plain(written)):
    if path not in BESIDE:
      raise ConfigError(f'{path}: {value!r} cannot be written in this format, '
                        f'which has {back!r}')


def _plain(config: ModelConfig) -> ModelConfig:
  """Sizes that are worked out are written out."""
  mixer = config.mixer
  if isinstance(mixer, AttentionConfig):
    mixer = dataclasses.replace(mixer, n_kv_heads=mixer.kv_heads,
                                d_head=mixer.head_width(config))
  feed_forward = config.feed_forward
  if isinstance(feed_forward, PlainFeedForward | GatedFeedForward):
    feed_forward = dataclasses.replace(
      feed_forward, multiple=config.ff_width / config.d_model)
  return dataclasses.replace(config, mixer=mixer, feed_forward=feed_forward)


def _differences(path: str, one: Any,
                 other: Any) -> Iterator[tuple[str, Any, Any]]:
  if dataclasses.is_dataclass(one) and type(one) is type(other):
    for field in dataclasses.fields(one):
      yield from _differences(f'{path}.{field.name}', getattr(one, field.name),
                              getattr(other, field.name))
  elif one != other:
    yield path, one, other
