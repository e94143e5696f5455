"""Configs that each family expresses, and parameters far from their start."""

import dataclasses

import jax
import numpy as np

import model
from model import (
  AttentionConfig,
  GatedFeedForward,
  ModelConfig,
  PlainFeedForward,
)
from model.position import LearnedPosition, SinusoidalPosition

SIZES = {'n_layers': 3, 'd_model': 16, 'vocab_size': 257, 'max_length': 24,
         'base_layers': 2, 'base_width': 8, 'unroll': 1}
NEOX = ModelConfig(**SIZES, mixer=AttentionConfig(n_heads=2))
GPT2 = ModelConfig(
  **SIZES, mixer=AttentionConfig(n_heads=4), position=LearnedPosition(),
  unembedding='tied', parameterisation='standard')
LLAMA = ModelConfig(
  **SIZES, mixer=AttentionConfig(n_heads=4, n_kv_heads=2), norm='rms',
  feed_forward=GatedFeedForward(2.6, 'silu'), parameterisation='standard')

# {what is tried: (family, config)}; every folding, and each family.
CASES = {
  'llama': ('llama', LLAMA),
  'gpt2': ('gpt2', GPT2),
  'neox with multipliers': ('neox', NEOX),
  'llama with multipliers, tied': ('llama', dataclasses.replace(
    LLAMA, parameterisation='completep', unembedding='tied')),
  'gpt2 with multipliers, tied': ('gpt2', dataclasses.replace(
    GPT2, parameterisation='completep')),
  'one layer, looped': ('neox', dataclasses.replace(NEOX, layers='tied')),
  'deeper layers read less': ('neox', dataclasses.replace(
    NEOX, norm_placement='scaled')),
  'one layer, looped, that reads less': ('llama', dataclasses.replace(
    LLAMA, layers='tied', norm_placement='scaled')),
  'positions in waves': ('gpt2', dataclasses.replace(
    GPT2, position=SinusoidalPosition(), norm_epsilon=1e-3)),
  'no biases': ('gpt2', dataclasses.replace(
    GPT2, unembedding='separate',
    feed_forward=PlainFeedForward(1.5, 'gelu_exact', bias=False))),
  'biases of queries': ('llama', dataclasses.replace(
    LLAMA, mixer=AttentionConfig(4, qkv_bias=True, qk_norm='none'))),
  'side by side': ('neox', dataclasses.replace(NEOX, branches='parallel')),
}

TEXTS = ('Hello world', '  two  blanks\n\n\ttab ', 'naïve café 深 🙂', '')


def params(config, seed=0):
  random = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: 0.4 * random.standard_normal(leaf.shape, np.float32),
    jax.eval_shape(lambda: model.init(config, jax.random.key(0))))


def logits(config, params, tokens_BT):
  return np.asarray(jax.jit(
    lambda p, t: model.apply(config, p, t).logits_BTV,
    compiler_options={'xla_backend_optimization_level': 0})(params, tokens_BT))


def tokens(config, batch=3, seed=1):
  return np.random.default_rng(seed).integers(
    256, size=(batch, config.max_length), dtype=np.int32)
