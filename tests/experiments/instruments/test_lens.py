"""The logit lens and the residual stream that it reads."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data import Batch
from experiments.instruments import lens, stream

CONFIG = model.ModelConfig(n_layers=2, d_model=16, vocab_size=11,
                           mixer=model.AttentionConfig(n_heads=2))
LAYERS = range(CONFIG.n_layers + 1)

read_lens = jax.jit(functools.partial(lens.logit_lens, CONFIG))
read_stream = jax.jit(functools.partial(stream.read, CONFIG))
unembed = jax.jit(functools.partial(model.unembed, CONFIG))


@functools.cache
def network():
  # Well above the usual scale, so that layers and positions differ.
  return jax.jit(functools.partial(model.init, CONFIG))(
    jax.random.key(0), scale=3.0)


def batch(seed=0, masked=0.3):
  tokens_BT, targets_BT = np.random.default_rng(seed).integers(
    CONFIG.vocab_size, size=(2, 4, 8))
  weights_BT = np.random.default_rng(seed).random((4, 8)) > masked
  return Batch(jnp.asarray(tokens_BT), jnp.asarray(targets_BT),
               jnp.asarray(weights_BT, jnp.float32), jnp.zeros(4, jnp.int32))


@functools.partial(jax.jit, static_argnames='edited')
def logits_of(tokens_BT, layer=0, value_BTD=None, edited=False):
  edits = stream.write(CONFIG, layer, value_BTD) if edited else None
  return model.apply(CONFIG, network(), tokens_BT, edits=edits).logits_BTV


def test_the_last_layer_is_the_model():
  examples = batch()
  read = read_lens(network(), examples)
  log_BTV = jax.nn.log_softmax(logits_of(examples.tokens_BT)) / np.log(2)
  bits_BT = -np.take_along_axis(
    np.asarray(log_BTV), np.asarray(examples.targets_BT)[..., None], -1)[..., 0]
  assert read.divergence_N[-1] == 0
  assert read.agreement_N[-1] == 1
  assert read.positions == examples.weights_BT.sum()
  assert read.bits_N[-1] == pytest.approx(
    np.average(bits_BT, weights=examples.weights_BT), rel=1e-5)


def test_every_layer_reads_as_its_stream_unembedded():
  examples = batch()
  read = read_lens(network(), examples)
  stream_NBTD = read_stream(network(), examples.tokens_BT)
  prob = [jax.nn.softmax(unembed(network(), x_BTD)) for x_BTD in stream_NBTD]
  for layer, prob_BTV in enumerate(prob):
    bits_BT = jnp.sum(prob[-1] * jnp.log2(prob[-1] / prob_BTV), axis=-1)
    same_BT = prob[-1].argmax(-1) == prob_BTV.argmax(-1)
    expected = [np.average(x_BT, weights=examples.weights_BT)
                for x_BT in (bits_BT, same_BT)]
    assert [read.divergence_N[layer], read.agreement_N[layer]] == pytest.approx(
      expected, rel=1e-4, abs=1e-6)
  assert read.divergence_N[0] > 0.1


def test_positions_without_weight_do_not_count():
  examples = batch()
  other = examples._replace(targets_BT=jnp.where(
    examples.weights_BT > 0, examples.targets_BT, 0))
  for mine, theirs in zip(read_lens(network(), examples),
                          read_lens(network(), other)):
    np.testing.assert_array_equal(mine, theirs)


def test_layers_that_write_nothing_read_alike():
  params = jax.tree_util.tree_map_with_path(
    lambda path, w: w * 0 if path[-1].key in ('w_o_HKD', 'w_down_FD') else w,
    network())
  read = read_lens(params, batch())
  np.testing.assert_array_equal(read.divergence_N, 0)
  np.testing.assert_array_equal(read.agreement_N, 1)
  np.testing.assert_allclose(read.bits_N, read.bits_N[0])


def test_reducing_inside_the_layer_is_reducing_after():
  tokens_BT = batch().tokens_BT
  mean = functools.partial(jnp.mean, axis=1)
  reduced = jax.jit(functools.partial(stream.read, CONFIG, reduce=mean))(
    network(), tokens_BT)
  np.testing.assert_allclose(
    reduced, read_stream(network(), tokens_BT).mean(2), atol=1e-5)


def test_writing_another_sentences_stream_gives_its_prediction():
  base_BT, source_BT = batch(0).tokens_BT, batch(1).tokens_BT
  expected_BTV = logits_of(source_BT)
  source_NBTD = read_stream(network(), source_BT)
  assert not np.allclose(logits_of(base_BT), expected_BTV, atol=0.1)
  for layer in LAYERS:
    edited_BTV = logits_of(base_BT, layer, source_NBTD[layer], edited=True)
    np.testing.assert_allclose(edited_BTV, expected_BTV, atol=1e-4)
