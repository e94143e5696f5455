"""Going on with a text says what reading all of it again would say."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny

import model
from model import ConfigError, decoding
from train import MeshConfig, placement

LENGTH = 9


def config(mixer='attention', **changes):
  return tiny.config(mixer, **{'max_length': LENGTH, 'vocab_size': 7,
                               **changes})


def whole(config, params, tokens_BT):
  return tiny.logits(config, params, tokens_BT)


def stepwise(config, tokens_BT, cuts, params=None, layout=None):
  """Logits of pieces that end at `cuts`, one after the other."""
  if params is None:
    params = tiny.params(config)
  cache = decoding.start(config, len(tokens_BT), LENGTH)
  said = []
  for begin, end in zip((0, *cuts), (*cuts, LENGTH)):
    logits_BTV, cache = decoding.extend(
      config, params, tokens_BT[:, begin:end], cache, layout=layout)
    said.append(logits_BTV)
  np.testing.assert_array_equal(cache.length_B, LENGTH)
  return np.concatenate(said, axis=1)


def assert_decodes(config, cuts=(3, 6)):
  tokens_BT = tiny.tokens(2, LENGTH, config.vocab_size)
  expected = whole(config, tiny.params(config), tokens_BT)
  np.testing.assert_allclose(stepwise(config, tokens_BT, cuts), expected,
                             atol=1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(('mixer', 'position'), [
  (mixer, position) for mixer, kind in model.MIXERS.items()
  for position, acts in model.POSITIONS.items()
  if kind.has_scores or not acts.on_scores])
def test_every_mixer_goes_on_with_every_position(mixer, position):
  assert_decodes(config(mixer, position=position), range(1, LENGTH))


LLAMA3 = model.rotary_scaling.Llama3Scaling(4.0, original_length=4)
YARN = model.rotary_scaling.YarnScaling(4.0, 4)


@pytest.mark.parametrize('changes', [
  {'n_heads': 4, 'n_kv_heads': 2, 'qkv_bias': True, 'out_bias': True,
   'qk_norm': 'head'},
  {'n_heads': 4, 'n_kv_heads': 1, 'position': 'alibi'},
  {'fraction': 0.5, 'base': 100.0, 'branches': 'parallel'},
  {'scaling': LLAMA3, 'norm': 'rms', 'feed_forward': 'gated'},
  {'scaling': YARN, 'd_head': 6},
  {'layers': 'tied', 'n_layers': 3},
  {'norm_placement': 'post', 'position': 'learned', 'unembedding': 'tied',
   'embedding_norm': True, 'token_types': 2},
  {'norm_placement': 'scaled', 'final_norm': False, 'unroll': 2},
  {'unembedding': 'none', 'vocab_size': 8, 'feed_forward': 'none'},
])
def test_every_switch_of_an_attention_model_goes_on(changes):
  assert_decodes(config(**changes))


@pytest.mark.parametrize(('mixer', 'changes'), [
  ('gru', {'layers': 'tied', 'norm_placement': 'post'}),
  ('linear_recurrence', {'branches': 'parallel', 'unembedding': 'tied'}),
  ('dilated_convolution', {'n_layers': 3, 'window': 2}),
  ('convolution', {'window': 1, 'norm_placement': 'scaled'}),
])
def test_the_other_mixers_go_on_in_other_blocks(mixer, changes):
  assert_decodes(config(mixer, **changes))


def test_bfloat16_goes_on_up_to_its_rounding():
  narrow = config(dtype='bfloat16')
  tokens_BT = tiny.tokens(2, LENGTH)
  expected = whole(narrow, tiny.params(narrow), tokens_BT)
  np.testing.assert_allclose(stepwise(narrow, tokens_BT, (3, 6)), expected,
                             atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize('mixer', tiny.MIXERS)
def test_rows_of_unequal_length_are_each_as_if_alone(mixer):
  """Padding is forgotten, whatever it says; a row may have nothing new."""
  own = config(mixer)
  params, tokens_BT = tiny.params(own), tiny.tokens(3, LENGTH)
  expected = np.asarray(whole(own, params, tokens_BT))
  cache = decoding.start(own, 3, LENGTH)
  read_B = np.zeros(3, int)
  for count_B in ([5, 1, 3], [0, 4, 1], [3, 1, 0], [1, 3, 5]):
    piece_BT = np.full((3, 5), 6)
    for row, (read, count) in enumerate(zip(read_B, count_B)):
      piece_BT[row, :count] = tokens_BT[row, read:read + count]
    logits_BTV, cache = decoding.extend(own, params, piece_BT, cache,
                                        np.array(count_B))
    for row, (read, count) in enumerate(zip(read_B, count_B)):
      np.testing.assert_allclose(
        logits_BTV[row, :count], expected[row, read:read + count],
        atol=1e-5 * np.abs(expected).max())
    read_B += count_B
  np.testing.assert_array_equal(cache.length_B, LENGTH)


def test_positions_far_from_the_start_are_as_exact():
  """Angles of thousands of radians lose what sine and cosine still see."""
  far = config(max_length=4096, d_model=32, n_layers=1)
  params, tokens_BT = tiny.params(far), tiny.tokens(1, 2048)
  expected = whole(far, params, tokens_BT)[:, -2:]
  cache = decoding.start(far, 1, 2048)
  _, cache = decoding.extend(far, params, tokens_BT[:, :-2], cache)
  said, _ = decoding.extend(far, params, tokens_BT[:, -2:], cache)
  np.testing.assert_allclose(said, expected,
                             atol=1e-4 * np.abs(expected).max())


def test_keys_and_values_are_kept_for_the_heads_that_have_them():
  cache = decoding.start(config(n_heads=4, n_kv_heads=2), 3, 5)
  shapes = {name: x.shape for name, x in cache.memory.items()}
  assert shapes == {'k_BGKS': (2, 3, 2, 2, 5), 'v_BGSK': (2, 3, 2, 5, 2)}


def test_a_split_model_says_the_same():
  own = config(n_heads=4, n_kv_heads=2, d_model=16, vocab_size=8)
  params, tokens_BT = tiny.params(own), tiny.tokens(2, LENGTH)
  layout = placement.layout(placement.make_mesh(
    MeshConfig(replica=1, data=2, tensor=2), jax.devices()[:4]))
  split = jax.jit(layout.parameters)(params)
  assert 'tensor' in str(split['stack']['mixer']['w_k_DGK'].sharding.spec)
  said = stepwise(own, tokens_BT, (4, 5), split, layout)
  np.testing.assert_allclose(said, stepwise(own, tokens_BT, (4, 5)), atol=1e-4)
  _, cache = decoding.extend(own, split, tokens_BT,
                             decoding.start(own, 2, LENGTH), layout=layout)
  k_NBGKS = cache.memory['k_BGKS']
  assert k_NBGKS.sharding.shard_shape(k_NBGKS.shape) == (2, 1, 1, 4, LENGTH)


def test_what_cannot_go_on_is_refused():
  encoder = config(mask='bidirectional')
  with pytest.raises(ConfigError, match='looks at what is not written yet'):
    decoding.start(encoder, 1, 4)
  with pytest.raises(ConfigError, match="'absent' scores no tokens"):
    decoding.start(config(unembedding='absent'), 1, 4)
  with pytest.raises(ConfigError, match='how far apart a dilated'):
    decoding.start(config('dilated_convolution', max_length=0), 1, 4)


def test_more_than_there_is_room_for_is_refused():
  own = config(position='learned')
  params, tokens_BT = tiny.params(own), tiny.tokens(2, LENGTH)
  with pytest.raises(ConfigError, match=r'room for 4 tokens a row, and .* 9'):
    decoding.extend(own, params, tokens_BT, decoding.start(own, 2, 4))
  _, cache = decoding.extend(own, params, tokens_BT, decoding.start(own, 2, 20))
  with pytest.raises(ConfigError, match=r'9 learned positions, .* 10 tok'):
    decoding.extend(own, params, tokens_BT[:, :1], cache)
  later = dataclasses.replace(own, position=model.RotaryPosition())
  decoding.extend(later, params, tokens_BT[:, :1], cache)


def test_a_cache_can_be_gone_on_with_twice():
  own = config()
  params, tokens_BT = tiny.params(own), tiny.tokens(2, LENGTH)
  _, cache = decoding.extend(own, params, tokens_BT[:, :4],
                             decoding.start(own, 2, LENGTH))
  first, _ = decoding.extend(own, params, tokens_BT[:, 4:6], cache)
  decoding.extend(own, params, tokens_BT[:, 5:8], cache)
  again, _ = decoding.extend(own, params, tokens_BT[:, 4:6], cache)
  np.testing.assert_array_equal(first, again)
