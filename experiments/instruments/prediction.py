"""What a model expects to come next."""

import functools

import jax

import model
from model.language_model import Params


@functools.partial(jax.jit, static_argnums=0)
def beliefs(config: model.ModelConfig, params: Params,
            tokens_BT: jax.Array) -> jax.Array:
  """The probabilities of every next token, (B, T, V)."""
  return jax.nn.softmax(model.apply(config, params, tokens_BT).logits_BTV)
