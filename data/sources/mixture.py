"""Several sources in one batch, by weight.

Every batch has the same number of rows of each part, the weights' share of it
rounded by largest remainder, and the rows of a part follow those of the part
before. So it is a function of (seed, split, step) as those of the parts are.
Evaluation keeps the parts apart: their groups are groups of the mixture.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from data.batch import (
  Batch,
  Instance,
  Source,
  SourceConfig,
  Writer,
  writes,
)
from data.errors import InputError
from data.sources.text import TextSource


def _kinds() -> Mapping[str, type]:
  from data.sources import SOURCES  # which names this one too
  return SOURCES


@dataclasses.dataclass(frozen=True)
class Part:
  """A source, and how much of a batch comes from it."""

  source: SourceConfig = dataclasses.field(metadata={'kinds': _kinds})
  weight: float = 1.0  # against those of the other parts


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
  """What is mixed. Parts are set in Python: no flag can hold them."""

  parts: tuple[Part, ...] = ()

  @property
  def name(self) -> str:
    """The names of the parts."""
    return 'mixture of ' + (', '.join(self.names) or 'nothing')

  @property
  def names(self) -> tuple[str, ...]:
    """What each part is called, in groups above all."""
    return unique(part.source.name for part in self.parts)

  @property
  def causal(self) -> bool:
    """That of the parts, which have to agree."""
    return any(part.source.causal for part in self.parts)

  def open(self) -> 'Mixture':
    """Opens every part.

    Raises:
      InputError: a part that cannot be opened, or parts that do not mix.
    """
    return Mixture(self)


class Mixture:
  """Source of mixed batches; see `data.batch.Source`.

  Attributes:
    parts: the sources.
    names: what they are called.
  """

  streams = False

  def __init__(self, config: MixtureConfig):
    """As `MixtureConfig.open`."""
    _check_weights(config)
    self.names = config.names
    self.parts: tuple[Source, ...] = tuple(
      part.source.open() for part in config.parts)
    named = dict(zip(self.names, self.parts))
    check_resident('data.source.parts', named)
    check_same_tokens('data.source.parts', named)
    self._weights = [part.weight for part in config.parts]
    self.length = _common(
      'length', {name: part.length for name, part in named.items()})
    _common('causal', {name: part.source.causal for name, part
                       in zip(self.names, config.parts)})
    self.writes = any(map(writes, self.parts))
    self.vocab_size = max(part.vocab_size for part in self.parts)
    # Ids stand for bytes if they do so in every part.
    self.bytes_V = (self.parts[0].bytes_V if all(
      part.bytes_V is not None for part in self.parts) else None)
    self.groups = tuple(
      name if len(part.groups) == 1 else f'{name}: {group}'
      for name, part in named.items() for group in part.groups)
    # Without names, which hold paths.
    self.fingerprint: Mapping[str, Any] = (
      {'parts': [dict(part.fingerprint) for part in self.parts]}
      if any(part.fingerprint for part in self.parts) else {})

  def instance(self, seed: int) -> Instance:
    """The constants of the parts, in their order."""
    return {'parts': tuple(part.instance(seed) for part in self.parts)}

  def written(self, instance: Instance, seed: int, writer: Writer) -> Instance:
    """The constants with what parts have a model write."""
    return {'parts': tuple(
      part.written(its, seed, writer) if writes(part) else its
      for part, its in zip(self.parts, instance['parts']))}

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Joins a batch of each part.

    Raises:
      InputError: a part that gets no row, or has no such split.
    """
    batches, groups = [], 0
    for part, its, rows in zip(self.parts, instance['parts'],
                               self._rows(batch_size)):
      batch = part.batch(its, seed, split, step, rows)
      batches.append(batch._replace(group_B=batch.group_B + groups))
      groups += len(part.groups)
    return Batch(*(jnp.concatenate(field) for field in zip(*batches)))

  def evaluation_steps(self, split: str, batch_size: int) -> int | None:
    """Steps that cover every part whose split ends; None if none does."""
    steps = [part.evaluation_steps(split, rows) for part, rows
             in zip(self.parts, self._rows(batch_size))]
    return max((count for count in steps if count is not None), default=None)

  def _rows(self, batch_size: int) -> list[int]:
    """How many rows of a batch each part has: at least one."""
    rows = largest_remainder(self._weights, batch_size)
    if 0 in rows:
      name, weight = next((name, weight) for name, weight, count
                          in zip(self.names, self._weights, rows) if not count)
      raise InputError(
        f'data.source.parts: {name} with weight {weight} gets none of the '
        f'{batch_size} rows of a batch; raise its weight or data.batch_size')
    return rows


def largest_remainder(weights: Sequence[float], count: int) -> list[int]:
  """Whole numbers in proportion to weights, that add up to `count`.

  What is left after rounding down goes to the largest remainders, and among
  equal ones to the first.
  """
  shares = [weight * count / sum(weights) for weight in weights]
  whole = [math.floor(share) for share in shares]
  order = sorted(range(len(shares)), key=lambda i: whole[i] - shares[i])
  for i in order[:count - sum(whole)]:
    whole[i] += 1
  return whole


def unique(names: Iterable[str]) -> tuple[str, ...]:
  """The names, those that were there before with a number: a, a-2, a-3."""
  taken: list[str] = []
  for name in names:
    numbered, number = name, 1
    while numbered in taken:
      number += 1
      numbered = f'{name}-{number}'
    taken.append(numbered)
  return tuple(taken)


def check_resident(field: str, sources: Mapping[str, Source]) -> None:
  """Raises InputError, naming a config field, where a source streams."""
  for name, source in sources.items():
    if source.streams:
      raise InputError(
        f'{field}: {name} is too large for the device, and streams its '
        'batches, which is possible for data.source alone; prepare a smaller '
        'part of that text')


def check_same_tokens(field: str, sources: Mapping[str, Source]) -> None:
  """Raises InputError, naming a field, where an id stands for two texts."""
  texts = [(name, part.tokenizer.name) for name, source in sources.items()
           for part in (source.parts if isinstance(source, Mixture)
                        else (source,)) if isinstance(part, TextSource)]
  for name, tokenizer in texts:
    first, expected = texts[0]
    if tokenizer != expected:
      raise InputError(
        f'{field}: {name} has another tokenizer than {first}, so that an id '
        "stands for different bytes; give both tokenizer='bytes' or the path "
        'of the same .model or tokenizer.json')


def _check_weights(config: MixtureConfig) -> None:
  if not config.parts:
    raise InputError(
      'data.source.parts: a mixture without parts; set them in Python, as '
      'MixtureConfig((Part(TextConfig(), 0.9), Part(TreeConfig(), 0.1)))')
  for name, part in zip(config.names, config.parts):
    if isinstance(part.source, MixtureConfig):
      raise InputError('data.source.parts: a mixture in a mixture; name its '
                       'parts here')
    if not 0 < part.weight < math.inf:
      raise InputError(f'data.source.parts: the weight of {name} is '
                       f'{part.weight}; it must be above 0 and finite')


def _common(name: str, values: Mapping[str, Any]) -> Any:
  """What all parts have.

  Raises:
    InputError: they differ.
  """
  (first, common), *rest = values.items()
  for other, value in rest:
    if value != common:
      raise InputError(
        f'data.source.parts: {name} is {common} in {first} and {value} in '
        f'{other}, and the rows of a batch have one; choose the fields of both '
        'parts so that it is the same')
  return common
