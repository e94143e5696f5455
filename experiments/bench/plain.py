"""A GPT in plain JAX, as a competent person writes it: the peer of `train`.

Pre-norm blocks with learned positions, one dict of parameters for each layer,
a Python loop over them, JAX's own attention, optax's AdamW with clipping, and
one jitted step a call. In bfloat16 it computes with rounded parameters, and the
loss in float32. It has the parameters of our model, computes the same function,
and knows none of the things that make ours fast on a CPU.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from model import ModelConfig
from train import TrainConfig

Params = dict[str, Any]
Step = Callable[[Params, Any, jax.Array], tuple[Params, Any, jax.Array]]


def init(config: ModelConfig, key: jax.Array) -> Params:
  """Draws the parameters (Radford et al., 2019)."""
  D, F, n = config.d_model, config.ff_width, config.n_layers
  keys = iter(jax.random.split(key, 4 * n + 3))

  def normal(*shape: int, std: float = 0.02) -> jax.Array:
    return std * jax.random.normal(next(keys), shape)

  def norm() -> Params:
    return {'scale_D': jnp.ones(D), 'bias_D': jnp.zeros(D)}

  def layer() -> Params:
    return {
      'norm_1': norm(), 'norm_2': norm(),
      # queries, keys and values of all heads
      'w_qkv_DE': normal(D, 3 * D),
      'w_out_DD': normal(D, D, std=0.02 / math.sqrt(2 * n)),
      'w_up_DF': normal(D, F), 'b_up_F': jnp.zeros(F),
      'w_down_FD': normal(F, D, std=0.02 / math.sqrt(2 * n)),
      'b_down_D': jnp.zeros(D)}

  return {
    'token_VD': normal(config.vocab_size, D),
    'position_TD': normal(config.max_length, D),
    'layers': [layer() for _ in range(n)],
    'norm': norm(),
    'w_DV': normal(D, config.vocab_size)}


def logits(config: ModelConfig, params: Params,
           tokens_BT: jax.Array) -> jax.Array:
  """(B,T) token ids to (B,T,V), float32."""
  B, T = tokens_BT.shape
  heads = config.mixer.heads()['n_heads']
  params = jax.tree.map(lambda leaf: leaf.astype(config.dtype), params)
  x_BTD = params['token_VD'][tokens_BT] + params['position_TD'][:T]
  for layer in params['layers']:
    h_BTD = _layer_norm(layer['norm_1'], x_BTD)
    q, k, v = (part.reshape(B, T, heads, -1) for part in jnp.split(
      h_BTD @ layer['w_qkv_DE'], 3, axis=-1))
    mixed_BTHK = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    x_BTD += mixed_BTHK.reshape(B, T, -1) @ layer['w_out_DD']
    h_BTD = _layer_norm(layer['norm_2'], x_BTD)
    h_BTF = jax.nn.gelu(h_BTD @ layer['w_up_DF'] + layer['b_up_F'])
    x_BTD += h_BTF @ layer['w_down_FD'] + layer['b_down_D']
  x_BTD = _layer_norm(params['norm'], x_BTD)
  return (x_BTD @ params['w_DV']).astype(jnp.float32)


def loss(config: ModelConfig, params: Params,
         window_BT: jax.Array) -> jax.Array:
  """Mean nats of the T tokens that follow the first of T + 1."""
  logits_BTV = logits(config, params, window_BT[:, :-1])
  return optax.softmax_cross_entropy_with_integer_labels(
    logits_BTV, window_BT[:, 1:]).mean()


def optimizer(config: TrainConfig) -> optax.GradientTransformation:
  """AdamW with clipping; vectors do not decay."""
  rate = optax.warmup_cosine_decay_schedule(
    0.0, config.learning_rate, round(config.warmup_fraction * config.steps),
    config.steps, config.final_fraction * config.learning_rate)
  return optax.chain(
    optax.clip_by_global_norm(config.clip_norm),
    optax.adamw(rate, config.beta1, config.beta2, config.epsilon,
                weight_decay=config.weight_decay,
                mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p)))


def step(model: ModelConfig, update: optax.GradientTransformation) -> Step:
  """The jitted training step: (params, state, window) → the same, and loss."""

  def run(params: Params, state: Any,
          window_BT: jax.Array) -> tuple[Params, Any, jax.Array]:
    value, grads = jax.value_and_grad(
      lambda params: loss(model, params, window_BT))(params)
    updates, state = update.update(grads, state, params)
    return optax.apply_updates(params, updates), state, value

  return jax.jit(run, donate_argnums=(0, 1))


def _layer_norm(norm: Params, x_BTD: jax.Array) -> jax.Array:
  """Layer norm (Ba et al., 2016)."""
  mean_BT1 = x_BTD.mean(-1, keepdims=True)
  variance_BT1 = x_BTD.var(-1, keepdims=True)
  return ((x_BTD - mean_BT1) * jax.lax.rsqrt(variance_BT1 + 1e-5)
          * norm['scale_D'] + norm['bias_D'])
