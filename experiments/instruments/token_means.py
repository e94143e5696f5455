"""What a model does with each token, averaged over the places it stands in."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import model
from data.batch import Batch
from model.language_model import Params


class TokenMeans(NamedTuple):
  """Averages over the positions that hold each token.

  All float64.

  Attributes:
    log_probability_VV: of the next token (second axis) after each, nats.
    stream_NVD: the residual stream: 0 is the embeddings, i leaves block i.
    count_V: positions; where it is 0, the means are NaN.
  """

  log_probability_VV: np.ndarray
  stream_NVD: np.ndarray
  count_V: np.ndarray


def read(config: model.ModelConfig, params: Params,
         batch: Batch) -> TokenMeans:
  """Runs a model over a batch, and averages by the token of each position."""
  means = _read(config, params, batch)
  return TokenMeans(*(np.asarray(array, float) for array in means))


@functools.partial(jax.jit, static_argnums=0)
def _read(config: model.ModelConfig, params: Params,
          batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
  tokens_BT, V = batch.tokens_BT, config.vocab_size

  def total(x_BTD: jax.Array) -> jax.Array:
    return jax.ops.segment_sum(
      x_BTD.reshape(-1, x_BTD.shape[-1]), tokens_BT.reshape(-1), V)

  out = model.apply(config, params, tokens_BT, taps={'resid_post': total})
  first_VD = total(model.embed(config, params, tokens_BT))
  stream_NVD = jnp.concatenate([first_VD[None], out.taps['resid_post']])
  count_V = jnp.bincount(tokens_BT.reshape(-1), length=V)
  return (
    total(jax.nn.log_softmax(out.logits_BTV)) / count_V[:, None],
    stream_NVD / count_V[:, None], count_V)
