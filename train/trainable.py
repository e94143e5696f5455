"""What of a model is trained; the rest stays, bit for bit, what it was.

Each kind splits the parameters of a model into what is trained and what is
frozen, and merges the two again. Gradients, moments and weight decay exist for
what is trained alone. Trees are nested dicts without R; all of it is traced.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from model import dims
from model.config import ConfigError, ModelConfig
from model.language_model import Params

# Where the vocabulary and the positions have their tables.
TABLES = ('token_embedding', 'position_embedding', 'token_types',
          'unembedding')


class Trainable(Protocol):
  """A kind: a frozen dataclass of what it has to be told."""

  __dataclass_fields__: ClassVar[dict[str, Any]]

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError where a model has nothing of the kind."""

  def split(self, params: Params,
            seed: jax.Array | int) -> tuple[Params, Params]:
    """Parameters to (trained, frozen).

    Args:
      params: as `model.init` returns them.
      seed: of whatever the kind adds at random.

    Raises:
      ConfigError: the kind does not fit these arrays.
    """

  def merge(self, trained: Params, frozen: Params) -> Params:
    """The parameters of the model."""


@dataclasses.dataclass(frozen=True)
class All:
  """Everything is trained."""

  def validate(self, model: ModelConfig) -> None:
    """Every model has parameters."""

  def split(self, params: Params,
            seed: jax.Array | int) -> tuple[Params, Params]:
    """Nothing is frozen."""
    return params, {}

  def merge(self, trained: Params, frozen: Params) -> Params:
    """What is trained is the model."""
    return trained


@dataclasses.dataclass(frozen=True)
class Embeddings:
  """Only the tables of tokens and positions, and the unembedding."""

  def validate(self, model: ModelConfig) -> None:
    """Every model has tables."""

  def split(self, params: Params,
            seed: jax.Array | int) -> tuple[Params, Params]:
    """The tables, and the stack with its norms."""
    return ({k: v for k, v in params.items() if k in TABLES},
            {k: v for k, v in params.items() if k not in TABLES})

  def merge(self, trained: Params, frozen: Params) -> Params:
    """Both, side by side."""
    return {**trained, **frozen}


@dataclasses.dataclass(frozen=True)
class NewRows:
  """Only tokens that the parent does not know: their rows of the tables."""

  first: int = 0  # token id of the first: the parent's model.vocab_size

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError where no row is new, or all are."""
    size = model.vocab_size
    if self.first < 1 or 0 < size <= self.first:
      most = f' and below model.vocab_size={size}' if size else ''
      raise ConfigError(
        f'train.trainable.first: {self.first} must be at least 1{most}; set '
        "it to the parent's model.vocab_size")

  def split(self, params: Params,
            seed: jax.Array | int) -> tuple[Params, Params]:
    """The rows from `first` on, and all before them with the stack."""
    flat = flatten_dict(params)
    axes = {path: _vocabulary_axis(path) for path in flat
            if 'V' in dims.letters(path[-1])}
    cut = {path: jnp.split(flat[path], [self.first], axis)
           for path, axis in axes.items()}
    return (unflatten_dict({path: new for path, (_, new) in cut.items()}),
            unflatten_dict({**flat, **{path: old
                                       for path, (old, _) in cut.items()}}))

  def merge(self, trained: Params, frozen: Params) -> Params:
    """Puts the new rows behind the old ones."""
    flat = flatten_dict(frozen)
    for path, new in flatten_dict(trained).items():
      flat[path] = jnp.concatenate([flat[path], new], _vocabulary_axis(path))
    return unflatten_dict(flat)


@dataclasses.dataclass(frozen=True)
class LowRank:
  """A change of low rank to every matrix of the stack: LoRA (Hu et al., 2021).

  W + (alpha / rank) A B, where A starts random and B at zero, so that the
  model starts as it was. Tokens that the parent does not know can be trained
  beside it.
  """

  rank: int = 8
  alpha: float = 8.0
  first: int = 0  # token id of the first new row, as in NewRows; 0: none

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError for a change that changes nothing."""
    if self.rank < 1:
      raise ConfigError(
        f'train.trainable.rank: {self.rank} must be at least 1')
    if not 0 < self.alpha < math.inf:
      raise ConfigError(f'train.trainable.alpha: {self.alpha:g} must be above '
                        '0 and finite')
    if self.first:
      NewRows(self.first).validate(model)

  def split(self, params: Params,
            seed: jax.Array | int) -> tuple[Params, Params]:
    """A and B, under the path of their matrix; and the model as it was."""
    matrices = {
      path: _Sides.of(path[-1], w.shape)
      for path, w in sorted(flatten_dict(params).items()) if _is_matrix(path)}
    path, smallest = min(matrices.items(), key=lambda item: item[1].rank)
    if self.rank > smallest.rank:
      raise ConfigError(
        f'train.trainable.rank: {self.rank} is larger than a side of '
        f'{"/".join(path)}, which maps {math.prod(smallest.inputs)} numbers '
        f'to {math.prod(smallest.outputs)}; use at most {smallest.rank}')
    key = jax.random.fold_in(jax.random.key(2), seed)
    trained = {}
    for i, (path, at) in enumerate(matrices.items()):
      trained[*path, at.a] = jax.random.normal(
        jax.random.fold_in(key, i), (*at.layers, *at.inputs, self.rank)
      ) / math.sqrt(math.prod(at.inputs))
      trained[*path, at.b] = jnp.zeros((*at.layers, self.rank, *at.outputs))
    rows, frozen = (NewRows(self.first).split(params, seed) if self.first
                    else ({}, params))
    return {**unflatten_dict(trained), **rows}, frozen

  def merge(self, trained: Params, frozen: Params) -> Params:
    """Adds each change to its matrix, and the new rows to their tables."""
    if self.first:
      rows = {k: v for k, v in trained.items() if k in TABLES}
      frozen = NewRows(self.first).merge(rows, frozen)
    flat, changes = flatten_dict(frozen), flatten_dict(trained)
    for path in filter(_is_matrix, list(flat)):
      w = flat[path]
      at = _Sides.of(path[-1], w.shape)
      a = changes[*path, at.a].reshape(*at.layers, -1, self.rank)
      b = changes[*path, at.b].reshape(*at.layers, self.rank, -1)
      flat[path] = w + self.alpha / self.rank * (a @ b).reshape(w.shape)
    return unflatten_dict(flat)


class _Sides(NamedTuple):
  """How a matrix of the stack is cut into A and B.

  Attributes:
    a: the key of A, which has the inputs.
    b: the key of B, which has the outputs.
    layers: (N,), or () where layers are tied.
    inputs: sizes of the axes that it sums over.
    outputs: sizes of the axes that it makes.
  """

  a: str
  b: str
  layers: tuple[int, ...]
  inputs: tuple[int, ...]
  outputs: tuple[int, ...]

  @property
  def rank(self) -> int:
    """The most that a matrix of these sides can have."""
    return min(math.prod(self.inputs), math.prod(self.outputs))

  @classmethod
  def of(cls, key: str, shape: tuple[int, ...]) -> '_Sides':
    """The sides of the matrix under a key: DHK is D x HK, HKD is HK x D."""
    letters = dims.letters(key)
    layers = len(shape) - len(letters)
    # Every matrix has the width of the model, alone, on one of its sides.
    inputs = len(letters) - 1 if letters.endswith('D') else 1
    cut = layers + inputs
    return cls(f'w_a_{letters[:inputs]}L', f'w_b_L{letters[inputs:]}',
               shape[:layers], shape[layers:cut], shape[cut:])


def _is_matrix(path: tuple[str, ...]) -> bool:
  return path[0] == 'stack' and path[-1].startswith('w_')


def _vocabulary_axis(path: tuple[str, ...]) -> int:
  letters = dims.letters(path[-1])
  return letters.index('V') - len(letters)


KINDS: Mapping[str, type] = {
  'all': All,
  'embeddings': Embeddings,
  'new_rows': NewRows,
  'low_rank': LowRank,
}
