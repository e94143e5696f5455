"""The language model: embed, the stack, norm, unembed; and its functions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from model import linear, parameterisation, sites, stack
from model.block import Block
from model.config import ConfigError, ModelConfig
from model.embedding import TokenEmbedding, TokenTypes
from model.layout import Layout
from model.norm import NORMS
from model.position import LearnedPosition
from model.rows import Rows
from model.sites import Edits, Taps

Params = dict[str, Any]


class Output(NamedTuple):
  """What a model computes.

  Attributes:
    logits_BTV: float32 scores of the next token, before the softmax; (B,T,0)
      of an encoder without them.
    taps: what was asked for, by site, each with leading axis N.
    x_BTD: the normalised stream that the logits are made of.
  """

  logits_BTV: jax.Array
  taps: dict[str, jax.Array]
  x_BTD: jax.Array


class Hidden(NamedTuple):
  """What a model computes before its logits.

  The logits are `multiplier * x_BTD @ w_DV`; whoever cannot hold them all at
  once computes them in pieces.

  Attributes:
    x_BTD: the normalised stream, in the dtype of the computation.
    w_DV: the unembedding, float32.
    multiplier: of the logits.
  """

  x_BTD: jax.Array
  w_DV: jax.Array
  multiplier: float


class Unembedding(nn.Module):
  """Scores every token with a matrix of its own."""

  config: ModelConfig

  def setup(self):
    """Makes the matrix."""
    self.w_DV = self.param('w_DV', parameterisation.unembedding(self.config),
                           (self.config.d_model, self.config.vocab_size))

  def matrix_DV(self) -> jax.Array:
    """What the final stream is multiplied by."""
    return self.w_DV


class StreamAsLogits(nn.Module):
  """Scores tokens by the normalised stream itself, one for each width."""

  config: ModelConfig

  def matrix_DV(self) -> jax.Array:
    """The identity."""
    return jnp.eye(self.config.d_model)


class NoLogits(nn.Module):
  """Scores no tokens: the stream is what an encoder is for."""

  config: ModelConfig

  def matrix_DV(self) -> jax.Array:
    """Without columns."""
    return jnp.zeros((self.config.d_model, 0))


UNEMBEDDINGS = {
  'separate': Unembedding, 'none': StreamAsLogits, 'absent': NoLogits}


class LanguageModel(nn.Module):
  """Tokens to logits."""

  config: ModelConfig
  taps: Taps
  layout: Layout

  def setup(self):
    """Chooses the parts that the config names."""
    config = self.config
    self.token_embedding = TokenEmbedding(config, self.layout)
    self.token_types = TokenTypes(config) if config.token_types else _passed
    self.position_embedding = config.position.module(config) or _passed
    self.embedding_norm = (NORMS[config.norm](config.norm_epsilon)
                           if config.embedding_norm else _passed)
    self.stack = stack.stack(config, self.taps, self.layout)
    self.norm = (NORMS[config.norm](config.norm_epsilon)
                 if config.final_norm else _passed)
    if config.unembedding != 'tied':
      self.unembedding = UNEMBEDDINGS[config.unembedding](config)

  def __call__(self, tokens_BT: jax.Array, edits: Edits,
               valid_BT: jax.Array | None = None,
               types_BT: jax.Array | None = None) -> Output:
    """Runs the whole model."""
    x_BTD, taps, _ = self.through(tokens_BT, Rows(valid_BT), edits, types_BT)
    hidden = self.before_logits(x_BTD)
    return Output(self.logits(hidden), taps, hidden.x_BTD)

  def through(self, tokens_BT: jax.Array, rows: Rows, edits: Edits,
              types_BT: jax.Array | None = None):
    """Runs the model up to the stream that leaves the last layer."""
    return stack.run(self.stack, self.embed(tokens_BT, rows, types_BT), edits,
                     rows)

  def embed(self, tokens_BT: jax.Array, rows: Rows,
            types_BT: jax.Array | None = None) -> jax.Array:
    """The stream that enters the first layer."""
    x_BTD = self.token_types(self.token_embedding(tokens_BT), types_BT)
    return self.embedding_norm(self.position_embedding(x_BTD, rows))

  def unembed(self, x_BTD: jax.Array) -> jax.Array:
    """Logits from the stream that leaves a layer."""
    return self.logits(self.before_logits(x_BTD))

  def logits(self, hidden: Hidden) -> jax.Array:
    """(B,T,V), float32."""
    logits_BTV = linear.project(hidden.x_BTD, hidden.w_DV, self.layout, 'DV',
                                dtype=jnp.float32)
    return self.layout.constrain(logits_BTV * hidden.multiplier, 'BTV')

  def hidden(self, tokens_BT: jax.Array) -> Hidden:
    """Runs the model up to its logits."""
    x_BTD, _, _ = self.through(tokens_BT, Rows(), {})
    return self.before_logits(x_BTD)

  def before_logits(self, x_BTD: jax.Array) -> Hidden:
    """Normalises the stream, and says what it is multiplied by."""
    tied = self.config.unembedding == 'tied'
    scores = self.token_embedding if tied else self.unembedding
    return Hidden(self.norm(x_BTD), scores.matrix_DV(),
                  parameterisation.logit_multiplier(self.config))


def init(config: ModelConfig, key: jax.Array,
         scale: float | jax.Array = 1.0,
         layout: Layout | None = None) -> Params:
  """Draws the parameters of a model; jit the call, it is cheap to compile.

  Args:
    config: must know vocab_size and, for learned positions, max_length.
    key: a typed random key; may be traced.
    scale: multiplies all random weights (`config.init_scale`); may be traced.
    layout: where arrays live; on one device when not given.

  Returns:
    A nested dict of float32 arrays, those of the stack with leading axis N.

  Raises:
    ConfigError: no such model can be built.
  """
  check(config)
  tokens_BT = jnp.zeros((1, 1), jnp.int32)
  network = LanguageModel(config, {}, Layout())
  filled = network.init(key, tokens_BT, {})['params']
  return parameterisation.draw(layout or Layout(), key, filled, scale)


def apply(config: ModelConfig, params: Params, tokens_BT: jax.Array,
          taps: Taps | None = None, edits: Edits | None = None,
          layout: Layout | None = None, valid_BT: jax.Array | None = None,
          types_BT: jax.Array | None = None) -> Output:
  """Runs a model.

  Args:
    config: as given to `init`.
    params: as `init` returns them.
    tokens_BT: token ids, integers below vocab_size.
    taps: sites to read; for each a function applied on the device to the
      site's array inside the layer, or None for the whole array.
    edits: sites to change; see model/sites.py for the constructors.
    layout: where arrays live; on one device when not given.
    valid_BT: which tokens are real, the first of each row, where rows of
      unequal length are padded on the right; None: all. What is computed for
      the others means nothing.
    types_BT: the type of each token, below token_types; 0 when not given.

  Raises:
    ConfigError: no such model, or the model has no such site or no types.
  """
  taps, edits = taps or {}, edits or {}
  check(config)
  sites.check(config, [*taps, *edits])
  if types_BT is not None and not config.token_types:
    raise ConfigError('model.token_types: 0, and types_BT is given; set it, or '
                      'leave types_BT out')
  network = LanguageModel(config, taps, layout or Layout())
  out: Any = network.apply({'params': params}, tokens_BT, edits, valid_BT,
                           types_BT)
  return out


def hidden(config: ModelConfig, params: Params, tokens_BT: jax.Array,
           layout: Layout | None = None) -> Hidden:
  """Runs a model up to its logits, for whom they are too many to hold."""
  check(config)
  network = LanguageModel(config, {}, layout or Layout())
  out: Any = network.apply({'params': params}, tokens_BT, method='hidden')
  return out


def embed(config: ModelConfig, params: Params,
          tokens_BT: jax.Array) -> jax.Array:
  """(B,T) token ids to the (B,T,D) stream that enters the first layer."""
  check(config)
  network = LanguageModel(config, {}, Layout())
  x_BTD: Any = network.apply({'params': params}, tokens_BT, Rows(),
                             method='embed')
  return x_BTD


def run_block(config: ModelConfig, params: Params, x_BTD: jax.Array,
              layer: int | jax.Array, valid_BT: jax.Array | None = None,
              layout: Layout | None = None, taps: Taps | None = None,
              edits: Edits | None = None
              ) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The (B,T,D) stream through one layer, counted from 0; may be traced.

  Args:
    config: as given to `init`.
    params: as `init` returns them.
    x_BTD: the stream that enters the layer.
    layer: which.
    valid_BT: see `apply`.
    layout: see `apply`.
    taps: sites to read; see `apply`.
    edits: sites to change, of this layer, so without N.

  Returns:
    The stream that leaves it, and what was tapped, by site.
  """
  taps, edits = taps or {}, edits or {}
  check(config)
  sites.check(config, [*taps, *edits])
  out: Any = Block(config, taps, layout or Layout()).apply(
    {'params': layer_params(config, params, layer)}, x_BTD, jnp.asarray(layer),
    edits, Rows(valid_BT))
  x_BTD, (tapped, _) = out
  return x_BTD, tapped


def layer_params(config: ModelConfig, params: Params,
                 layer: int | jax.Array) -> Params:
  """The parameters of one layer, counted from 0; may be traced."""
  if config.layers == 'tied':
    return params['stack']
  return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(
    x, layer, keepdims=False), params['stack'])


def unembed(config: ModelConfig, params: Params,
            x_BTD: jax.Array) -> jax.Array:
  """(B,T,D) residual stream through the final norm to (B,T,V) logits."""
  check(config)
  network = LanguageModel(config, {}, Layout())
  logits_BTV: Any = network.apply({'params': params}, x_BTD, method='unembed')
  return logits_BTV


def check(config: ModelConfig) -> None:
  """Raises ConfigError when a model cannot be built, or lacks a size."""
  config.validate()
  if not config.vocab_size:
    raise ConfigError('model.vocab_size: 0 is not worked out yet; set it, or '
                      "complete the config with the data source's")
  if isinstance(config.position, LearnedPosition) and not config.max_length:
    raise ConfigError('model.max_length: learned positions need it; set it, or '
                      "complete the config with the data source's length")


def _passed(x_BTD: jax.Array, *_: Any) -> jax.Array:
  """In the place of a part that the model does not have."""
  return x_BTD
