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
    names = _names(ModelConfig)[name]
    raise _refused(f'model.{name}', names[type(part)], names[wanted])
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
  kinds = _names(one)
  for field in dataclasses.fields(one):
    place = f'{path}.{field.name}'
    ours, theirs = getattr(one, field.name), getattr(other, field.name)
    if type(ours) is type(theirs) and dataclasses.is_dataclass(ours):
      yield from _differences(place, ours, theirs)
    elif ours != theirs:
      names = kinds.get(field.name, {})
      yield (place, names.get(type(ours), ours),
             names.get(type(theirs), theirs))


def _names(config: Any) -> dict[str, dict[type, str]]:
  """What the kinds are called that a config's fields may hold."""
  found = {}
  for field in dataclasses.fields(config):
    kinds = field.metadata.get('kinds', {})
    found[field.name] = {kind: name for name, kind in (
      kinds() if callable(kinds) else kinds).items()}
  return found


def _refused(path: str, value: Any, other: Any) -> ConfigError:
  return ConfigError(f'{path}={value} cannot be written in this format, which '
                     f'has {other}')
