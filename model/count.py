"""Exact counts of parameters and floating point operations, from the config.

XLA's own count takes the body of a loop once, whatever its length, so no
comparison at matched compute could rest on it.
"""

import dataclasses

from model.config import ConfigError, ModelConfig

# A backward pass multiplies twice for every product of the forward pass.
TRAIN_OVER_FORWARD = 3


@dataclasses.dataclass(frozen=True)
class Count:
  """Parameters, or FLOPs, by part of the model; the layers taken together."""

  token_embedding: int = 0
  position_embedding: int = 0
  token_types: int = 0
  embedding_norm: int = 0
  mixer: int = 0
  feed_forward: int = 0
  norm: int = 0  # those inside the blocks
  final_norm: int = 0
  unembedding: int = 0

  @property
  def total(self) -> int:
    """All parts."""
    return sum(dataclasses.astuple(self))

  @property
  def embedding(self) -> int:
    """The tables: tokens, positions and types."""
    return self.token_embedding + self.position_embedding + self.token_types

  @property
  def stack(self) -> int:
    """All layers: the model without embeddings, final norm, unembedding."""
    return self.mixer + self.feed_forward + self.norm


def parameters(config: ModelConfig) -> Count:
  """Counts the numbers that `model.init` makes; tied layers count once.

  Raises:
    ConfigError: no such model can be built, or vocab_size is not known.
  """
  _check(config)
  width, vocabulary = config.d_model, config.vocab_size
  layers = 1 if config.layers == 'tied' else config.n_layers
  norm = {'layer': 2 * width, 'rms': width}[config.norm]
  norms = 2 if config.ff_width else 1
  separate = config.unembedding == 'separate'
  return Count(
    token_embedding=vocabulary * width,
    position_embedding=config.position.parameters(config),
    token_types=config.token_types * width,
    embedding_norm=config.embedding_norm * norm,
    mixer=layers * (config.mixer.weights(config)
                    + config.mixer.vectors(config)),
    feed_forward=layers * (config.feed_forward.weights(config)
                           + config.feed_forward.vectors(config)),
    norm=layers * norms * norm,
    final_norm=config.final_norm * norm,
    unembedding=vocabulary * width if separate else 0)


def flops(config: ModelConfig, length: int) -> Count:
  """Counts the products of one sequence's forward pass: 2 m n k for each.

  Work on single elements (norms, activations, the softmax, recurrences linear
  in their state) is left out. Masked attention scores are counted, since they
  are computed.

  Args:
    config: the model.
    length: T, positions of the sequence.

  Raises:
    ConfigError: no such model can be built, or vocab_size is not known.
  """
  _check(config)
  layer = 2 * length
  return Count(
    mixer=config.n_layers * config.mixer.flops(config, length),
    feed_forward=config.n_layers * layer * config.feed_forward.weights(config),
    unembedding=layer * config.d_model * config.vocab_size
    * (config.unembedding in ('separate', 'tied')))


def train_flops(config: ModelConfig, length: int) -> int:
  """Forward and backward products of one sequence."""
  return TRAIN_OVER_FORWARD * flops(config, length).total


def _check(config: ModelConfig) -> None:
  config.validate()
  if not config.vocab_size:
    raise ConfigError('model.vocab_size: 0 is not worked out yet; set it, or '
                      "complete the config with the data source's")
