"""A batch, and the rule that makes it a function of (seed, split, step)."""

from collections.abc import Callable, Mapping
from typing import (
  Any,
  ClassVar,
  NamedTuple,
  Protocol,
  TypeGuard,
  runtime_checkable,
)

import jax
import jax.numpy as jnp
import numpy as np

# A data source's constants (a grammar, a token stream): a tree of arrays that
# the compiled step takes as an input, so replicas can differ in them.
Instance = Mapping[str, Any]

# Goes on with texts as a model would: (begun_BT, how many tokens more) → the
# whole texts, int32.
Writer = Callable[[np.ndarray, int], np.ndarray]

SPLITS = ('train', 'validation', 'test')


class Batch(NamedTuple):
  """Examples ready for a model; NumPy arrays where the host made them.

  Attributes:
    tokens_BT: int32, what the model reads.
    targets_BT: int32, what it should predict at each position.
    weights_BT: float32, 0 where a position is not scored.
    group_B: int32, which of `Source.groups` each example belongs to.
  """

  tokens_BT: jax.Array
  targets_BT: jax.Array
  weights_BT: jax.Array
  group_B: jax.Array


class SourceConfig(Protocol):
  """The fields of one kind of source: a frozen dataclass beside its code.

  Its module is the one place that knows it, beside `data.sources.SOURCES`.
  """

  __dataclass_fields__: ClassVar[dict[str, Any]]

  def __hash__(self) -> int:
    """A source is opened once for all that ask for the same."""

  @property
  def name(self) -> str:
    """What tells it from other sources, for people."""

  @property
  def causal(self) -> bool:
    """Whether answers stand among later inputs: a model must not look ahead."""

  def open(self) -> 'Source':
    """The source itself.

    Raises:
      InputError: a field has a value that the source cannot work with, or a
        file cannot be read; the message names it and what would work.
    """


class Source(Protocol):
  """Where batches come from.

  Attributes:
    vocab_size: V, the number of token ids.
    length: T, the number of positions in an example.
    groups: names of the kinds of example that evaluation keeps apart.
    bytes_V: bytes of text that each token id stands for, or None when the
      source is not text.
    fingerprint: what a manifest keeps of data that lie in files, their hash
      above all; {} where the config says everything.
    streams: whether batches are read by the host, from a corpus that is too
      large for the device. Such a source is also a `StreamedSource`; its
      `instance` is empty, and its `batch` raises InputError.
  """

  vocab_size: int
  length: int
  groups: tuple[str, ...]
  bytes_V: np.ndarray | None
  fingerprint: Mapping[str, Any]
  streams: bool

  def instance(self, seed: int) -> Instance:
    """Builds the constants of the source on the host."""

  def batch(self, instance: Instance, seed: jax.Array | int, split: str,
            step: jax.Array | int, batch_size: int) -> Batch:
    """Draws one batch; traceable, and pure in its arguments."""

  def evaluation_steps(self, split: str, batch_size: int) -> int | None:
    """Steps that cover the split once; None when the split is endless."""


@runtime_checkable
class StreamedSource(Source, Protocol):
  """A source that can make batches on the host."""

  def host_batch(self, seed: int, split: str, step: int, batch_size: int,
                 rows: slice = slice(None)) -> Batch:
    """Draws one batch, or `rows` of it, as NumPy arrays; pure.

    It may be called from another thread; see `data.prefetch.Prefetch`.
    """


@runtime_checkable
class WrittenSource(Source, Protocol):
  """A source with texts that the model of a run writes before training.

  Attributes:
    writes: whether there are any.
  """

  writes: bool

  def written(self, instance: Instance, seed: int, writer: Writer) -> Instance:
    """The constants with their texts: those of `instance` have only room."""


def writes(source: Source) -> TypeGuard[WrittenSource]:
  """Whether the model of a run has to write before a batch can be drawn."""
  return isinstance(source, WrittenSource) and source.writes


def batch_key(seed: jax.Array | int, split: str,
              step: jax.Array | int) -> jax.Array:
  """The random key of one batch: distinct for every (seed, split, step).

  The three numbers are the words of a Threefry key as they are: the generator
  is a keyed hash, made for counters as keys (Salmon et al., 2011), and hashing
  them first would only cost compilation time.
  """
  seed, step = jnp.asarray(seed, jnp.uint32), jnp.asarray(step, jnp.uint32)
  words = jnp.stack([seed * len(SPLITS) + SPLITS.index(split), step])
  return jax.random.wrap_key_data(words, impl='threefry2x32')
