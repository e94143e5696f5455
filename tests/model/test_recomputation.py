import collections

import jax
import jax.numpy as jnp
import pytest
import tiny

import model
from model import backend

B, T, D, F = 3, 5, 8, 32


def kept(platform, **changes):
  """What the backward pass of one layer reads: {(dtype, width): arrays}."""
  config = tiny.config(n_layers=1, d_model=D, dtype='bfloat16',
                       kernel='xla', **changes)

  def loss(params):
    tokens_BT = jnp.zeros((B, T), jnp.int32)
    return model.apply(config, params, tokens_BT).logits_BTV.sum()

  with backend.compiling_for(platform):
    pull = jax.eval_shape(lambda params: jax.vjp(loss, params)[1],
                          tiny.shapes_of(config))
  return collections.Counter(
    (str(x.dtype), x.shape[-1]) for x in jax.tree.leaves(pull)
    if x.shape[-3:-1] == (B, T))


@pytest.mark.parametrize(('feed_forward', 'norm', 'wide'), [
  ('plain', 'layer', 2),  # before and after the activation
  ('gated', 'rms', 3),  # the gate, what it opens, and what comes through
])
@pytest.mark.parametrize('platform', ['cpu', 'gpu', 'tpu'])
def test_what_products_read_is_kept_and_little_else(
    platform, feed_forward, norm, wide):
  found = kept(platform, feed_forward=feed_forward, norm=norm,
               activation='gelu')
  assert found['bfloat16', F] == wide
  assert found['float32', F] == 0
  assert found['float32', D] == 0
