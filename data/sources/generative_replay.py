"""Text that the model wrote itself, before its first update.

A model that learns something new forgets what it does not see. Where the old
text is gone, it can be shown what it says of it (Shin et al., 2017): texts that
begin as the old ones do and go on as the model draws them. They are written
once, from the parameters that a run starts from, which are its parent's; so
they are a function of the parent and the seed, and a resumed run reads the same
ones.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from data.batch import Batch, Instance, SourceConfig, Writer, batch_key
from data.errors import InputError
from data.sources.hop_string import HopStringConfig
from data.sources.uniform import uniform


def _kinds() -> Mapping[str, type]:
  from data.sources import SOURCES  # which names this one too
  return SOURCES


@dataclasses.dataclass(frozen=True)
class GenerativeReplayConfig:
  """How much is written, and how it begins."""

  name: ClassVar[str] = 'generative replay'
  causal: ClassVar[bool] = True

  # Its texts begin what is written, with their first token, and are as long.
  like: SourceConfig = dataclasses.field(default=HopStringConfig(),
                                         metadata={'kinds': _kinds})
  texts: int = 512

  def open(self) -> 'GenerativeReplay':
    """Raises InputError for no texts, or for a source that streams."""
    return GenerativeReplay(self)


class GenerativeReplay:
  """Source of a model's own texts; see `data.batch.WrittenSource`."""

  bytes_V: np.ndarray | None = None
  fingerprint: Mapping[str, Any] = {}
  streams = False
  writes = True
  groups: tuple[str, ...] = ('generative replay',)

  def __init__(self, config: GenerativeReplayConfig):
    """As `GenerativeReplayConfig.open`."""
    if config.texts < 1:
      raise InputError(f'data.source.texts: {config.texts} must be at least 1')
    self._like, self._texts = config.like.open(), config.texts
    if self._like.streams:
      raise InputError(f'data.source.like: {config.like.name} streams its '
                       'batches; name a source that lies on the device')
    self.length, self.vocab_size = self._like.length, self._like.vocab_size

  def instance(self, seed: int) -> Instance:
    """Room for the texts, (texts, T + 1), and what they begin like."""
    return {'like': self._like.instance(seed),
            'texts': np.zeros((self._texts, self.length + 1), np.int32)}

  def written(self, instance: Instance, seed: int, writer: Writer) -> Instance:
    """The constants with texts that a model has written."""
    begun = self._like.batch(instance['like'], seed, 'train', 0, self._texts)
    texts = writer(np.asarray(begun.tokens_BT[:, :1]), self.length)
    return {**instance, 'texts': np.asarray(texts, np.int32)}

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws texts, with replacement, from the same ones in every split."""
    uniform_B = uniform(batch_key(seed, split, step), batch_size, draws=1)[:, 0]
    row_B = (uniform_B * self._texts).astype(jnp.int32)
    text_BT = jnp.asarray(instance['texts'])[row_B]
    return Batch(
      tokens_BT=text_BT[:, :-1], targets_BT=text_BT[:, 1:],
      weights_BT=jnp.ones((batch_size, self.length), jnp.float32),
      group_B=jnp.zeros(batch_size, jnp.int32))

  def evaluation_steps(self, split: str, batch_size: int) -> None:
    """Every split is endless."""
