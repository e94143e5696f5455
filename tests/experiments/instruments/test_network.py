"""What instruments read: streams, blocks and passages agree with the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import passages
from experiments.instruments.network import Network
from model import AttentionConfig, ModelConfig

CONFIGS = {
  'causal': {},
  'padded encoder': {'mask': 'none', 'unembedding': 'absent',
                     'norm_placement': 'post', 'final_norm': False},
  'tied layers': {'layers': 'tied'},
}


def network(**fields):
  config = ModelConfig(n_layers=3, d_model=8, vocab_size=11, unroll=1,
                       mixer=AttentionConfig(n_heads=2), **fields)
  return Network(model.init(config, jax.random.key(1)), config)


@pytest.mark.parametrize('fields', CONFIGS.values(), ids=CONFIGS)
def test_blocks_one_by_one_are_the_stack(fields):
  one = network(**fields)
  given = passages.cut([[1, 2, 3, 4, 5], [6, 7]], 4)

  @jax.jit
  def both(one, given):
    streams = one.stream(given)
    x_BTD, passed = one.embed(given), []
    for layer in (1, 2, 3):
      x_BTD = one.block(jnp.asarray(layer), x_BTD, given)
      passed.append(x_BTD)
    return streams, jnp.stack([one.embed(given), *passed]), (
      one.apply(given).logits_BTV, one.unembed(x_BTD))

  whole, passed, (logits, read) = both(one, given)
  np.testing.assert_allclose(whole, passed, atol=1e-6)
  np.testing.assert_allclose(logits, read, atol=1e-5)


def test_networks_of_one_shape_share_a_program():
  one = network()
  traced = []

  @jax.jit
  def read(one, given):
    traced.append(given.tokens_BT.shape)
    return one.stream(given, jnp.mean)

  given = passages.cut([[1, 2, 3, 4, 5]], 4)
  seen = [read(each, given) for each in (one, one.random(), one.random(5))]
  assert len(traced) == 1
  assert not np.allclose(seen[1], seen[2])


def test_windows_keep_texts_apart_and_their_order():
  cut = passages.cut([[1, 2, 3, 4, 5], [], [6]], 2)
  np.testing.assert_array_equal(
    cut.tokens_BT, [[1, 2], [3, 4], [5, 0], [6, 0]])
  np.testing.assert_array_equal(
    cut.targets_BT, [[2, 3], [4, 5], [0, 0], [0, 0]])
  np.testing.assert_array_equal(
    cut.weights_BT, [[1, 1], [1, 1], [0, 0], [0, 0]])
  np.testing.assert_array_equal(cut.text_B, [0, 0, 0, 2])
  assert cut.tokens == 6


def test_parts_and_scores_lose_nothing():
  cut = passages.cut([list(range(1, 12))], 4)
  pieces = list(passages.parts(cut, 2))
  assert [part.tokens_BT.shape for part in pieces] == [(2, 4), (2, 4)]
  assert sum(part.tokens for part in pieces) == 11
  fewer = passages.scored(cut, 5)
  assert fewer.weights_BT.sum() == 5
  assert (fewer.weights_BT <= cut.weights_BT).all()
  assert passages.scored(cut, 10) is cut


def test_nothing_to_read_is_refused():
  with pytest.raises(ValueError, match='no text has any tokens'):
    passages.cut([[]], 4)
