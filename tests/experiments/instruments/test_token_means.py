"""Means by token are those of a loop over positions."""

import jax
import jax.numpy as jnp
import numpy as np

import model
from data.batch import Batch
from experiments.instruments import stream, token_means
from model import AttentionConfig, ModelConfig

CONFIG = ModelConfig(n_layers=2, d_model=8, mixer=AttentionConfig(n_heads=2),
                     base_width=8, vocab_size=6, unroll=1)


def test_means_are_over_the_positions_of_each_token():
  tokens_BT = jnp.array([[0, 1, 1, 4], [4, 0, 2, 1]])  # no 3, no 5
  params = model.init(CONFIG, jax.random.key(0))
  batch = Batch(tokens_BT, tokens_BT, jnp.ones((2, 4)), jnp.zeros(2, int))
  means = token_means.read(CONFIG, params, batch)
  logits_BTV = model.apply(CONFIG, params, tokens_BT).logits_BTV
  log_BTV = np.asarray(jax.nn.log_softmax(logits_BTV))
  stream_NBTD = np.asarray(stream.read(CONFIG, params, tokens_BT))
  assert means.count_V.tolist() == [2, 3, 1, 0, 2, 0]
  for token, count in enumerate(means.count_V):
    here_BT = np.asarray(tokens_BT) == token
    if not count:
      assert np.isnan(means.log_probability_VV[token]).all()
      continue
    np.testing.assert_allclose(means.log_probability_VV[token],
                               log_BTV[here_BT].mean(0), rtol=1e-5)
    np.testing.assert_allclose(
      means.stream_NVD[:, token], stream_NBTD[:, here_BT].mean(1), atol=1e-5)
  np.testing.assert_allclose(
    means.stream_NVD[0, 0], params['token_embedding']['embedding_VD'][0],
    rtol=1e-5)
