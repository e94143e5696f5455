"""What each field of a config computes, against a pass written out in NumPy."""

import explicit
import numpy as np
import pytest
import tiny

import model

FIELDS = {
  'defaults': {}, 'query, key and value biases': {'qkv_bias': True},
  'output bias': {'out_bias': True},
  'head norms': {'qk_norm': 'head', 'norm_epsilon': 0.1},
  'epsilon': {'norm_epsilon': 0.3},
  'epsilon of RMS': {'norm_epsilon': 0.3, 'norm': 'rms'},
  'no final norm': {'final_norm': False},
  'parallel': {'branches': 'parallel'},
  'embedding norm': {'embedding_norm': True, 'position': 'learned'},
  'types': {'token_types': 2},
  'fraction and base': {'fraction': 0.5, 'base': 20.0},
  'exact gelu': {'activation': 'gelu_exact'},
  'no logits': {'unembedding': 'absent', 'mask': 'bidirectional'},
  'everything': tiny.EVERYTHING,
  'everything, both ways': {**tiny.EVERYTHING, 'mask': 'bidirectional'},
}


def run(config, tokens_BT, **inputs):
  params = tiny.params(config)
  return tiny.jit(lambda: model.apply(config, params, tokens_BT, **inputs))()


def assert_close(ours, expected, size):
  np.testing.assert_allclose(ours, expected, atol=2e-5 * size)


@pytest.mark.parametrize('changes', FIELDS.values(), ids=FIELDS)
def test_it_is_what_the_field_says(changes):
  config = tiny.config(n_kv_heads=1, d_model=16, **changes)
  types_BT = tiny.tokens(vocab_size=2, seed=3) if config.token_types else None
  out = run(config, tiny.tokens(), types_BT=types_BT)
  for b, tokens_T in enumerate(tiny.tokens()):
    x_TD, logits_TV = explicit.forward(
      config, tiny.params(config), tokens_T,
      None if types_BT is None else types_BT[b])
    size = max(1, np.abs(x_TD).max(), np.abs(logits_TV).max(initial=0))
    assert_close(out.x_BTD[b], x_TD, size)
    assert_close(out.logits_BTV[b], logits_TV, size)


def test_tokens_are_of_the_first_type_where_nothing_is_said():
  config = tiny.config(token_types=2)
  plain, first, second = (
    run(config, tiny.tokens(), types_BT=types).logits_BTV
    for types in (None, np.zeros((2, 6), int), np.ones((2, 6), int)))
  np.testing.assert_array_equal(plain, first)
  assert np.abs(plain - second).max() > 0.01


def test_types_that_the_model_does_not_have_are_refused():
  config = tiny.config()
  with pytest.raises(model.ConfigError, match=r'^model\.token_types: 0, and'):
    model.apply(config, tiny.params(config), tiny.tokens(),
                types_BT=np.zeros((2, 6), int))


def test_an_encoder_has_no_logits_and_no_matrix_for_them():
  config = tiny.config(unembedding='absent', mask='bidirectional')
  assert 'unembedding' not in tiny.params(config)
  assert run(config, tiny.tokens()).logits_BTV.shape == (2, 6, 0)


@pytest.mark.parametrize('changes', [
  {'position': 'alibi'}, {'position': 'learned', 'n_kv_heads': 1},
  tiny.EVERYTHING], ids=['alibi', 'learned', 'everything'])
def test_padding_is_not_read(changes):
  config = tiny.config(mask='bidirectional', **changes)
  tokens_BT = tiny.tokens(3)
  valid_BT = np.arange(6) < np.array([[6], [4], [1]])
  out = run(config, tokens_BT, valid_BT=valid_BT)
  whole, short = run(config, tokens_BT), run(config, tokens_BT[:, :4])
  assert_close(out.x_BTD[0], whole.x_BTD[0], 10)
  assert_close(out.x_BTD[1, :4], short.x_BTD[1], 10)
  assert_close(out.logits_BTV[1, :4], short.logits_BTV[1], 10)
  assert np.abs(out.x_BTD[1, :4] - whole.x_BTD[1, :4]).max() > 1e-3
  assert np.isfinite(out.logits_BTV).all()


@pytest.mark.parametrize('mixer', tiny.MIXERS)
def test_what_looks_back_alone_never_asks_what_is_padding(mixer):
  config = tiny.config(mixer, **tiny.EVERYTHING)
  assert_close(
    run(config, tiny.tokens(), valid_BT=np.arange(6) < [[6], [4]]).logits_BTV,
    run(config, tiny.tokens()).logits_BTV, 10)
