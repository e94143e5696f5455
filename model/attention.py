"""Multi-head attention, causal or not, with grouped key/value heads."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.lax import optimization_barrier

from model import attention_kernel, backend, embedding, parameterisation
from model.config import ModelConfig
from model.linear import multiplicable, project
from model.sites import Sites

# Queries that a CPU takes at a time under a causal mask, and in how many pieces
# it takes them at most, since each is compiled.
ROWS = 128
MOST_PIECES = 4


class Attention(nn.Module):
  """Multi-head attention (Vaswani et al., 2017).

  H / G query heads share each key/value head (Ainslie et al., 2023).
  """

  config: ModelConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, layer: jax.Array,
               sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D); `layer` is not used."""
    config = self.config
    width, heads, groups = config.d_model, config.n_heads, config.kv_heads
    head = config.head_width
    start = parameterisation.hidden(width)
    w_q_DHK = self.param('w_q_DHK', start, (width, heads, head))
    w_k_DGK = self.param('w_k_DGK', start, (width, groups, head))
    w_v_DGK = self.param('w_v_DGK', start, (width, groups, head))
    w_o_HKD = self.param('w_o_HKD',
                         parameterisation.output(config, heads * head),
                         (heads, head, width))
    q_BTHK = project(x_BTD, w_q_DHK, sites.layout, 'DHK')
    k_BSGK = project(x_BTD, w_k_DGK, sites.layout, 'DGK')
    v_BSGK = project(x_BTD, w_v_DGK, sites.layout, 'DGK')
    if config.position == 'rotary':
      q_BTHK, k_BSGK = embedding.rotate(q_BTHK), embedding.rotate(k_BSGK)
    mixed_BTHK = attend(config, q_BTHK, k_BSGK, v_BSGK, sites)
    return project(sites.at('mixer_hidden', mixed_BTHK), w_o_HKD,
                   sites.layout, 'HKD', axes=2)


def score_bias(config: ModelConfig, length: int) -> np.ndarray:
  """What is added to the scores: (1 or H, T, S), float32."""
  bias_HTS = np.zeros((1, length, length), np.float32)
  if config.position == 'alibi':
    bias_HTS = embedding.alibi_HTS(config.n_heads, length)
  if config.mask == 'causal':
    # Finite, so that a row is never 0/0, and far below any score.
    bias_HTS = np.where(np.tri(length, dtype=bool), bias_HTS,
                        np.float32(-1e30))
  return bias_HTS


def attend(config: ModelConfig, q_BTHK: jax.Array, k_BSGK: jax.Array,
           v_BSGK: jax.Array, sites: Sites) -> jax.Array:
  """Mixes values by the softmax of the scores, taken in float32.

  By a kernel where there is one, which holds no scores; all agree but for
  rounding.

  Returns:
    (B,T,H,K): what each head read.
  """
  T, pattern_used = q_BTHK.shape[1], sites.uses('attention_pattern')
  kernel = attention_kernel.choose(config, sites.layout, q_BTHK, k_BSGK,
                                   pattern_used)
  if kernel:
    return kernel(q_BTHK, k_BSGK, v_BSGK)
  bias_HTS = score_bias(config, T)
  if config.mask != 'causal' or backend.platform() != 'cpu' or pattern_used:
    return mix(q_BTHK, k_BSGK, v_BSGK, bias_HTS, sites)
  # Some rows at a time, each with the columns that they see: less is computed,
  # and XLA:CPU, which writes every score to memory, waits less for it.
  rows = max(ROWS, -(-T // MOST_PIECES))
  return jnp.concatenate([
    mix(q_BTHK[:, end - rows:end], k_BSGK[:, :end], v_BSGK[:, :end],
        bias_HTS[:, end - rows:end, :end], sites)
    for end in range(rows, T + rows, rows)], axis=1)


def mix(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array,
        bias_HTS: np.ndarray, sites: Sites) -> jax.Array:
  """Computes the scores, (B,H,T,S), and mixes the values by their softmax."""
  B, T, H, K = q_BTHK.shape
  dtype, on_cpu = q_BTHK.dtype, backend.platform() == 'cpu'
  q_BTHK, k_BSGK, v_BSGK = multiplicable(q_BTHK, k_BSGK, v_BSGK)
  if on_cpu:
    # Each layer its own: one bias for all is written out once as large as the
    # scores, and read from memory by every layer.
    bias_HTS, q_BTHK = optimization_barrier((jnp.asarray(bias_HTS), q_BTHK))
  G, S = k_BSGK.shape[2], k_BSGK.shape[1]
  # h counts the heads of one group; H = G h. Operands in the order of the
  # products: left to itself, XLA:CPU copies their results number by number.
  q = q_BTHK.reshape(B, T, G, H // G, K).transpose(0, 2, 3, 1, 4)
  k, v_BGSK = k_BSGK.swapaxes(1, 2), v_BSGK.swapaxes(1, 2)
  q = q * (1 / math.sqrt(K))
  score = (_cpu_scores if on_cpu else _scores)(q, k)
  score_BHTS = score.reshape(B, H, T, S) + bias_HTS
  weight_BHTS = jnp.exp(
    score_BHTS - jax.lax.stop_gradient(score_BHTS.max(-1, keepdims=True)))
  total_BHT = weight_BHTS.sum(-1)
  if sites.uses('attention_pattern'):
    weight_BHTS = sites.at('attention_pattern',
                           weight_BHTS / total_BHT[..., None])
    total_BHT = jnp.ones_like(total_BHT)
  weight = weight_BHTS.reshape(score.shape).astype(v_BSGK.dtype)
  mixed = jnp.einsum('BGhTS,BGSK->BGhTK', weight, v_BGSK)
  # XLA:CPU sums slowly past an axis of length one, so one head has no axis.
  heads = (H,) if H > 1 else ()
  # Dividing what was read is cheaper than dividing the pattern by T / K.
  mixed = (mixed.reshape(B, *heads, T, K)
           / total_BHT.reshape(B, *heads, T, 1))
  return mixed.reshape(B, H, T, K).swapaxes(1, 2).astype(dtype)


def _scores(q: jax.Array, k: jax.Array) -> jax.Array:
  """(B,G,h,T,K) and (B,G,S,K) to (B,G,h,T,S), float32."""
  return jnp.einsum('BGhTK,BGSK->BGhTS', q, k,
                    preferred_element_type=jnp.float32)


@jax.custom_vjp
def _cpu_scores(q, k):
  return _scores(q, k)


def _forward(q, k):
  return _scores(q, k), (q, k)


def _backward(saved, d_BGhTS):
  q, k = saved
  dq = jnp.einsum('BGhTS,BGSK->BGhTK', d_BGhTS, k)
  # The product with the scores transposed would have to copy them first, for
  # which XLA:CPU takes as long as for the product; queries are smaller.
  q_BGKhT = optimization_barrier(q.transpose(0, 1, 4, 2, 3))
  dk_BGKS = optimization_barrier(
    jnp.einsum('BGKhT,BGhTS->BGKS', q_BGKhT, d_BGhTS))
  return dq, dk_BGKS.swapaxes(2, 3)


_cpu_scores.defvjp(_forward, _backward)
