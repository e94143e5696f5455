"""Models small enough to test, and their parameters."""

import dataclasses
import functools

import jax
import numpy as np

import model
from model.rotary_scaling import Llama3Scaling

# Half the time to compile, and the same numbers.
jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0})

MIXERS = tuple(model.MIXERS)
# Every part that is off by default, on.
EVERYTHING = {
  'qkv_bias': True, 'out_bias': True, 'qk_norm': 'head', 'norm_epsilon': 0.1,
  'final_norm': False, 'embedding_norm': True, 'branches': 'parallel',
  'token_types': 2, 'fraction': 0.5, 'base': 50.0,
  'scaling': Llama3Scaling(4.0, original_length=64)}
LENGTH = 6


def config(mixer='attention', **changes):
  """Changes of fields that only another mixer has are left out."""
  position = 'rotary' if mixer == 'attention' else 'none'
  sizes = {'n_layers': 2, 'd_model': 8, 'n_heads': 2, 'vocab_size': 7,
           'max_length': LENGTH, 'position': position, 'unroll': 1, **changes}
  sizes['position'] = part(model.POSITIONS[sizes['position']], sizes)
  sizes['mixer'] = part(model.MIXERS[mixer], sizes)
  sizes['feed_forward'] = part(
    model.FEED_FORWARDS[sizes.get('feed_forward', 'plain')], sizes)
  return part(model.ModelConfig, sizes)


def part(kind, values):
  """Of one kind, with those values that are its fields."""
  return kind(**{field.name: values[field.name]
                 for field in dataclasses.fields(kind) if field.name in values})


@functools.cache
def params(config, seed=0):
  """Parameters far from their start, so that no part is silent."""
  random = np.random.default_rng(seed)
  return jax.tree.map(
    lambda leaf: 0.5 * random.standard_normal(leaf.shape, np.float32),
    shapes_of(config))


def shapes_of(config):
  return jax.eval_shape(lambda: model.init(config, jax.random.key(0)))


def tokens(batch=2, length=LENGTH, vocab_size=7, seed=0):
  return np.random.default_rng(seed).integers(
    vocab_size, size=(batch, length), dtype=np.int32)


def normal(*shape, seed=2):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def logits(config, params, tokens_BT, **inputs):
  """Compiles and runs."""
  run = jit(lambda params, tokens_BT: model.apply(
    config, params, tokens_BT, **inputs).logits_BTV)
  return run(params, tokens_BT)


def influence(config, params, tokens_BT):
  """|d logits[t] / d embedding[t']|, summed: (T, T')."""
  r_V = normal(config.vocab_size)

  def scores_T(shift_TD):
    edit = model.sites.add(config.n_layers, 0, shift_TD)
    out = model.apply(config, params, tokens_BT[:1],
                      edits={'resid_pre': edit})
    return out.logits_BTV[0] @ r_V

  zeros_TD = np.zeros((tokens_BT.shape[1], config.d_model), np.float32)
  return np.abs(jit(jax.jacrev(scores_T))(zeros_TD)).sum(-1)
