"""What one config can say of another: which field stands in the way."""

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar

from model.attention import AttentionConfig
from model.config import ConfigError, ModelConfig, kind_name, kinds
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
    fields = {field.name: field for field in dataclasses.fields(config)}
    names = {each: found for found, each in kinds(fields[name]).items()}
    raise _refused(f'model.{name}', kind_name(config, name), names[wanted])
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
      raise _refused(path, value, back)


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
  for field in dataclasses.fields(one):
    place = f'{path}.{field.name}'
    ours, theirs = getattr(one, field.name), getattr(other, field.name)
    if type(ours) is type(theirs) and dataclasses.is_dataclass(ours):
      yield from _differences(place, ours, theirs)
    elif ours != theirs:
      if kinds(field):
        ours, theirs = (kind_name(each, field.name) for each in (one, other))
      yield place, ours, theirs


def _refused(path: str, value: Any, other: Any) -> ConfigError:
  return ConfigError(f'{path}={value} cannot be written in this format, which '
                     f'has {other}')
