"""Multi-head attention, causal or not, with grouped key/value heads."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from model import attention_kernel, cpu, linear, norm, parameterisation
from model.attention_kernel import KernelName
from model.config import (
  EXECUTION,
  ConfigError,
  MixerConfig,
  ModelConfig,
  Shapes,
  require,
)
from model.linear import biased, project
from model.rows import Positions
from model.sites import Sites

# Added to the scores of what is not to be seen: finite, so that a row is never
# 0/0, and far below any score.
UNSEEN = np.float32(-1e30)

QKNorm = Literal['none', 'head']


@dataclasses.dataclass(frozen=True)
class AttentionConfig(MixerConfig):
  """Multi-head attention (Vaswani et al., 2017).

  H / G query heads share each key/value head (Ainslie et al., 2023).
  """

  n_heads: int = 4
  n_kv_heads: int = 0  # 0: as many as n_heads
  d_head: int = 0  # 0: d_model / n_heads
  qkv_bias: bool = False  # of queries, keys and values
  out_bias: bool = False
  # head: queries and keys, each over the width of its head (Henry et al., 2020,
  # with the norm of Yang et al., 2025)
  qk_norm: QKNorm = 'none'
  # what computes it; auto: the fastest exact way the platform has
  kernel: KernelName = dataclasses.field(default='auto', metadata=EXECUTION)

  has_scores = True

  @property
  def kv_heads(self) -> int:
    """G, the number of key/value heads."""
    return self.n_kv_heads or self.n_heads

  def head_width(self, model: ModelConfig) -> int:
    """K, the width of one head."""
    return self.d_head or model.d_model // self.n_heads

  def validate(self, model: ModelConfig) -> None:
    """Raises ConfigError when heads do not divide what they share."""
    require(self, 'model.mixer', 1, 'n_heads')
    require(self, 'model.mixer', 0, 'n_kv_heads', 'd_head')
    width, heads = model.d_model, self.n_heads
    if not self.d_head and width % heads:
      fits = [h for h in range(1, width + 1) if width % h == 0]
      raise ConfigError(
        f'model.mixer.n_heads: {heads} does not divide model.d_model={width}; '
        f'use one of {fits} or set model.mixer.d_head')
    if heads % self.kv_heads:
      raise ConfigError(f'model.mixer.n_kv_heads: {self.kv_heads} does not '
                        f'divide n_heads={heads}')
    model.position.validate_head(self.head_width(model))

  def module(self, model: ModelConfig) -> 'Attention':
    """Computes it."""
    return Attention(model, self)

  def weights(self, model: ModelConfig) -> int:
    """Those of queries and outputs, and of keys and values."""
    heads = 2 * self.n_heads + 2 * self.kv_heads
    return heads * self.head_width(model) * model.d_model

  def vectors(self, model: ModelConfig) -> int:
    """Biases, and the scales of normalised queries and keys."""
    head = self.head_width(model)
    return (self.qkv_bias * (self.n_heads + 2 * self.kv_heads) * head
            + self.out_bias * model.d_model
            + (self.qk_norm == 'head') * 2 * head)

  def memory(self, model: ModelConfig, batch: int, length: int) -> Shapes:
    """Keys and values, as products take them without turning them round."""
    head, dtype = self.head_width(model), jnp.dtype(model.dtype)
    rows = (batch, self.kv_heads)
    return {'k_BGKS': jax.ShapeDtypeStruct((*rows, head, length), dtype),
            'v_BGSK': jax.ShapeDtypeStruct((*rows, length, head), dtype)}

  def flops(self, model: ModelConfig, length: int) -> int:
    """Also of queries with keys, and of weights with values."""
    scores = 2 * length * self.n_heads * self.head_width(model)
    return 2 * length * (self.weights(model) + scores)

  def width_step(self, model: ModelConfig) -> int:
    """Heads of equal width, which rotary position cuts in parts."""
    if self.d_head:
      return 1
    return self.n_heads * model.position.head_step()

  def heads(self) -> Mapping[str, int]:
    """Those of queries, and of keys and values where they are others."""
    grouped = self.kv_heads != self.n_heads
    return {'n_heads': self.n_heads,
            **({'n_kv_heads': self.kv_heads} if grouped else {})}


class Attention(nn.Module):
  """What `AttentionConfig` says."""

  model: ModelConfig
  config: AttentionConfig

  @nn.compact
  def __call__(self, x_BTD: jax.Array, layer: jax.Array,
               sites: Sites) -> jax.Array:
    """(B,T,D) -> (B,T,D); `layer` is not used."""
    config, width = self.config, self.model.d_model
    heads, groups = config.n_heads, config.kv_heads
    head = config.head_width(self.model)
    start = parameterisation.hidden(self.model, width)
    w_q_DHK = self.param('w_q_DHK', start, (width, heads, head))
    w_k_DGK = self.param('w_k_DGK', start, (width, groups, head))
    w_v_DGK = self.param('w_v_DGK', start, (width, groups, head))
    w_o_HKD = self.param('w_o_HKD',
                         parameterisation.output(self.model, heads * head),
                         (heads, head, width))
    bias = functools.partial(linear.bias, self)
    b_q_HK = bias(config.qkv_bias, 'b_q_HK', heads, head)
    b_k_GK = bias(config.qkv_bias, 'b_k_GK', groups, head)
    b_v_GK = bias(config.qkv_bias, 'b_v_GK', groups, head)
    b_o_D = bias(config.out_bias, 'b_o_D', width)
    q_BTHK = biased(project(x_BTD, w_q_DHK, sites.layout, 'DHK'), b_q_HK)
    k_BSGK = biased(project(x_BTD, w_k_DGK, sites.layout, 'DGK'), b_k_GK)
    v_BSGK = biased(project(x_BTD, w_v_DGK, sites.layout, 'DGK'), b_v_GK)
    position = sites.rows.positions(x_BTD.shape[1])
    q_BTHK, k_BSGK = (
      self.model.position.turned(self._normed(name, x), position)
      for name, x in (('scale_q_K', q_BTHK), ('scale_k_K', k_BSGK)))
    k_BSGK = sites.rows.attended('k_BGKS', k_BSGK)
    v_BSGK = sites.rows.attended('v_BGSK', v_BSGK)
    mixed_BTHK = attend(self.model, config.kernel, q_BTHK, k_BSGK, v_BSGK,
                        sites)
    out_BTD = project(sites.at('mixer_hidden', mixed_BTHK), w_o_HKD,
                      sites.layout, 'HKD', axes=2)
    return biased(out_BTD, b_o_D)

  def _normed(self, name: str, x_BTHK: jax.Array) -> jax.Array:
    """Queries or keys, normalised where the config has it so."""
    if self.config.qk_norm == 'none':
      return x_BTHK
    scale_K = self.param(name, nn.initializers.ones, x_BTHK.shape[-1:])
    return norm.rms(self.model.norm_epsilon, x_BTHK, scale_K)


def attend(model: ModelConfig, kernel: KernelName, q_BTHK: jax.Array,
           k_BSGK: jax.Array, v_BSGK: jax.Array, sites: Sites) -> jax.Array:
  """Mixes values by the softmax of the scores, taken in float32.

  By a kernel where there is one, which holds no scores; all agree but for
  rounding.

  Args:
    model: what is computed.
    kernel: the kernel that is asked for.
    q_BTHK: queries.
    k_BSGK: keys.
    v_BSGK: values.
    sites: where the pattern may be read and changed, and what is known of the
      rows.

  Returns:
    (B,T,H,K): what each head read.
  """
  rows = sites.rows
  # Under a causal mask no real position sees padding.
  valid_BS = None if model.mask == 'causal' else rows.valid_BT
  pattern_used = sites.uses('attention_pattern')
  chosen = None if rows.continued else attention_kernel.choose(
    model, kernel, sites.layout, q_BTHK, k_BSGK, pattern_used,
    valid_BS is not None)
  if chosen:
    return chosen(q_BTHK, k_BSGK, v_BSGK)
  T, H = q_BTHK.shape[1:3]
  bias = score_bias(model, H, rows.positions(T), np.arange(k_BSGK.shape[1]))
  if valid_BS is not None:
    bias = bias + jnp.where(valid_BS, 0.0, UNSEEN)[:, None, None]
  apart = model.mask == 'causal' and not (pattern_used or rows.continued)
  return mix(q_BTHK, k_BSGK, v_BSGK, bias, sites, apart)


@cpu.in_rows
def mix(q_BTHK: jax.Array, k_BSGK: jax.Array, v_BSGK: jax.Array,
        bias: np.ndarray | jax.Array, sites: Sites,
        apart: bool) -> jax.Array:
  """Computes the scores, (B,H,T,S), and mixes the values by their softmax.

  Args:
    q_BTHK: queries.
    k_BSGK: keys.
    v_BSGK: values.
    bias: added to the scores, (1 or H, T, S) or (B, 1 or H, T, S).
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
  score_BHTS = score_BGhTS.reshape(B, H, T, S) + bias
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


def score_bias(model: ModelConfig, heads: int, position: Positions,
               attended: Positions) -> np.ndarray | jax.Array:
  """What is added to the scores: float32, (B,1 or H,T,S), or without B.

  Args:
    model: what is computed.
    heads: H.
    position: (T,) or (B,T), of queries.
    attended: (S,), of keys.
  """
  where = np.where if isinstance(position, np.ndarray) else jnp.where
  bias = model.position.penalty_HTS(heads, position, attended)
  if bias is None:
    bias = np.zeros((1, position.shape[-1], len(attended)), np.float32)
  if model.mask == 'causal':
    seen = attended <= position[..., None, :, None]
    bias = where(seen, bias, UNSEEN)
  return bias
