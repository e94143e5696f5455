"""Multi-head attention, causal or not, with grouped key/value heads."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from model import attention_kernel, cpu, embedding, parameterisation
from model.config import ModelConfig
from model.linear import project
from model.sites import Sites


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


def attend(config: ModelConfig, q_BTHK: jax.Array, k_BSGK: jax.Array,
           v_BSGK: jax.Array, sites: Sites) -> jax.Array:
  """Mixes values by the softmax of the scores, taken in float32.

  By a kernel where there is one, which holds no scores; all agree but for
  rounding.

  Returns:
    (B,T,H,K): what each head read.
  """
  pattern_used = sites.uses('attention_pattern')
  kernel = attention_kernel.choose(config, sites.layout, q_BTHK, k_BSGK,
                                   pattern_used)
  if kernel:
    return kernel(q_BTHK, k_BSGK, v_BSGK)
  return mix(q_BTHK, k_BSGK, v_BSGK, score_bias(config, q_BTHK.shape[1]),
             sites, config.mask == 'causal' and not pattern_used)


@cpu.in_rows
def mix(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array,
        bias_HTS: np.ndarray | jax.Array, sites: Sites,
        apart: bool) -> jax.Array:
  """Computes the scores, (B,H,T,S), and mixes the values by their softmax.

  Args:
    q_BTHK: queries.
    k_BSGK: keys.
    v_BSGK: values.
    bias_HTS: added to the scores.
    sites: where the pattern may be read and changed.
    apart: whether rows may be computed apart, without what they do not see.
  """
  B, T, H, K = q_BTHK.shape
  S, G = k_BSGK.shape[1:3]
  # h counts the heads of one group; H = G h. Operands in the order of the
  # products, which are then plain matrix products.
  q_BGhTK = q_BTHK.reshape(B, T, G, H // G, K).transpose(0, 2, 3, 1, 4)
  k_BGSK, v_BGSK = k_BSGK.swapaxes(1, 2), v_BSGK.swapaxes(1, 2)
  score_BGhTS = scores(q_BGhTK * (1 / math.sqrt(K)), k_BGSK)
  score_BHTS = score_BGhTS.reshape(B, H, T, S) + bias_HTS
  weight_BHTS = jnp.exp(
    score_BHTS - jax.lax.stop_gradient(score_BHTS.max(-1, keepdims=True)))
  total_BHT = weight_BHTS.sum(-1)
  if sites.uses('attention_pattern'):
    weight_BHTS = sites.at('attention_pattern',
                           weight_BHTS / total_BHT[..., None])
    total_BHT = jnp.ones_like(total_BHT)
  weight_BGhTS = weight_BHTS.reshape(score_BGhTS.shape).astype(v_BGSK.dtype)
  read_BGhTK = jnp.einsum('BGhTS,BGSK->BGhTK', weight_BGhTS, v_BGSK)
  # Dividing what was read is cheaper than dividing the pattern by T / K.
  read_BHTK = share(read_BGhTK.reshape(B, H, T, K), total_BHT)
  return read_BHTK.swapaxes(1, 2).astype(q_BTHK.dtype)


@cpu.form(cpu.scores)
def scores(q_BGhTK: jax.Array, k_BGSK: jax.Array) -> jax.Array:
  """How well each query fits each key: (B,G,h,T,S), float32."""
  return jnp.einsum('BGhTK,BGSK->BGhTS', q_BGhTK, k_BGSK,
                    preferred_element_type=jnp.float32)


@cpu.form(cpu.share)
def share(read_BHTK: jax.Array, total_BHT: jax.Array) -> jax.Array:
  """Sums of weighted values over the sums of their weights."""
  return read_BHTK / total_BHT[..., None]


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
