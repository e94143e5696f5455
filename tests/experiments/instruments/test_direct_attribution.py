"""The parts of a logit make up the logit."""

import jax
import numpy as np
import pytest

import model
from experiments.instruments import direct_attribution, passages
from experiments.instruments.constructed import induction
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network

CONFIGS = {
  'grouped heads, biases': {
    'mixer': model.AttentionConfig(n_heads=4, n_kv_heads=2, out_bias=True),
    'position': model.LearnedPosition(), 'unembedding': 'tied'},
  'root mean square, scaled, parallel': {
    'norm': 'rms', 'norm_placement': 'scaled', 'branches': 'parallel'},
  'no heads, no final norm': {
    'mixer': model.MIXERS['gru'](), 'position': model.NoPosition(),
    'layers': 'tied', 'final_norm': False, 'feed_forward':
    model.NoFeedForward(), 'unembedding': 'none', 'vocab_size': 8},
}
TEXT = passages.cut([[1, 2, 3, 4, 5, 6, 7], [6, 2, 1]], 8)


@pytest.mark.parametrize('fields', CONFIGS.values(), ids=CONFIGS)
def test_parts_and_heads_make_up_the_logit(fields):
  config = model.ModelConfig(**{'n_layers': 3, 'd_model': 8, 'vocab_size': 11,
                                'max_length': 8, 'unroll': 1, **fields})
  params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(1), 2.0)
  # Vectors start at 0 or 1, where a mistake would not show.
  params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(
    jax.random.key(2), x.shape), params)

  @jax.jit
  def both(network):
    return (direct_attribution.written(network, TEXT, relative=False),
            direct_attribution.written(network, TEXT, relative=True),
            network.apply(TEXT).logits_BTV)

  own, relative, logits_BTV = both(Network(params, config))
  logit_BT = np.take_along_axis(
    np.asarray(logits_BTV), TEXT.targets_BT[..., None], axis=2)[..., 0]
  for found, expected in ((own, logit_BT),
                          (relative, logit_BT - logits_BTV.mean(-1))):
    np.testing.assert_allclose(
      found.embedding_BT + found.mixer_NBT.sum(0) + found.ffn_NBT.sum(0)
      + found.bias_BT, expected, atol=1e-4)
  if config.mixer.has_scores:
    bias_NBT = own.mixer_NBT - own.head_NBTH.sum(-1)
    assert np.abs(bias_NBT).max() > 1e-3 or not config.mixer.out_bias
    if not config.mixer.out_bias:
      np.testing.assert_allclose(bias_NBT, 0, atol=1e-4)


def test_the_head_that_copies_is_the_one_that_writes():
  network = induction.induction(12, 16)
  text = passages.cut([[3, 5, 8, 1, 3, 5, 8, 1]], 16)
  text = text._replace(weights_BT=text.weights_BT * (np.arange(8) > 3))
  rows = direct_attribution.measure(Given(network, text))
  found = {tuple(row.where.values()): row.value for row in rows
           if 'network' not in row.where}
  wrote = {place for place, value in found.items() if abs(value) > 1e-3}
  assert wrote == {('mixer', 2), ('head', *induction.INDUCTION)}
  # All tokens but one of the vocabulary stay at 0.
  assert found['mixer', 2] == pytest.approx(
    induction.CONFIDENCE * 11 / 12, rel=1e-3)
  assert all(abs(row.value) < 2 for row in rows if 'network' in row.where)


def test_norms_behind_branches_are_refused():
  config = model.ModelConfig(norm_placement='post', vocab_size=5)
  given = Given(Network({}, config), TEXT)
  assert 'post' in direct_attribution.INSTRUMENT.refusal(given)
