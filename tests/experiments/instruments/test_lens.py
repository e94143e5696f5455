"""The logit lens, transports, and the residual stream that they read."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import lens, stream
from experiments.instruments.instrument import Given
from experiments.instruments.lens import Transport
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, cut

CONFIG = model.ModelConfig(n_layers=2, d_model=16, vocab_size=11, unroll=1,
                           mixer=model.AttentionConfig(n_heads=2))
LAYERS = range(CONFIG.n_layers + 1)

read_stream = jax.jit(functools.partial(stream.read, CONFIG))
unembed = jax.jit(functools.partial(model.unembed, CONFIG))


@functools.cache
def params():
  # Well above the usual scale, so that layers and positions differ.
  return jax.jit(functools.partial(model.init, CONFIG))(
    jax.random.key(0), scale=3.0)


def network():
  return Network(params(), CONFIG)


def passages(seed=0, masked=0.3):
  tokens_BT, targets_BT = np.random.default_rng(seed).integers(
    CONFIG.vocab_size, size=(2, 4, 8)).astype(np.int32)
  weights_BT = np.random.default_rng(seed).random((4, 8)) > masked
  return Passages(tokens_BT, targets_BT, weights_BT.astype(np.float32),
                  np.ones((4, 8), bool), np.arange(4, dtype=np.int32))


def read(examples, own=None, transport=lens.LOGIT):
  own = own or network()
  return lens.read(own, lens.streams(own, examples), transport)


@functools.partial(jax.jit, static_argnames='edited')
def logits_of(tokens_BT, layer=0, value_BTD=None, edited=False):
  edits = stream.write(CONFIG, layer, value_BTD) if edited else None
  return model.apply(CONFIG, params(), tokens_BT, edits=edits).logits_BTV


def test_the_last_layer_is_the_model():
  examples = passages()
  seen = read(examples)
  log_BTV = jax.nn.log_softmax(logits_of(examples.tokens_BT)) / np.log(2)
  bits_BT = -np.take_along_axis(
    np.asarray(log_BTV), np.asarray(examples.targets_BT)[..., None], -1)[..., 0]
  assert seen.divergence_N[-1] == 0
  assert seen.agreement_N[-1] == 1
  assert seen.overlap_N[-1] == 1
  assert seen.positions == examples.weights_BT.sum()
  assert seen.bits_N[-1] == pytest.approx(
    np.average(bits_BT, weights=examples.weights_BT), rel=1e-5)


def test_every_layer_reads_as_its_stream_unembedded():
  examples = passages()
  seen = read(examples)
  stream_NBTD = read_stream(params(), examples.tokens_BT)
  prob = [jax.nn.softmax(unembed(params(), x_BTD)) for x_BTD in stream_NBTD]
  for layer, prob_BTV in enumerate(prob):
    bits_BT = jnp.sum(prob[-1] * jnp.log2(prob[-1] / prob_BTV), axis=-1)
    same_BT = prob[-1].argmax(-1) == prob_BTV.argmax(-1)
    mine, theirs = (np.argsort(-each_BTV)[..., :5]
                    for each_BTV in (prob_BTV, prob[-1]))
    both_BT = (mine[..., None] == theirs[..., None, :]).sum((-1, -2)) / 5
    expected = [np.average(x_BT, weights=examples.weights_BT)
                for x_BT in (bits_BT, same_BT, both_BT)]
    assert [x_N[layer] for x_N in seen[1:4]] == pytest.approx(
      expected, rel=1e-4, abs=1e-6)
  assert seen.divergence_N[0] > 0.1


def test_positions_without_weight_do_not_count():
  examples = passages()
  other = examples._replace(targets_BT=np.where(
    examples.weights_BT > 0, examples.targets_BT, 0))
  for mine, theirs in zip(read(examples),
                          read(other)):
    np.testing.assert_array_equal(mine, theirs)


def test_layers_that_write_nothing_read_alike():
  silent = jax.tree_util.tree_map_with_path(
    lambda path, w: w * 0 if path[-1].key in ('w_o_HKD', 'w_down_FD') else w,
    params())
  seen = read(passages(), Network(silent, CONFIG))
  np.testing.assert_array_equal(seen.divergence_N, 0)
  np.testing.assert_array_equal(seen.agreement_N, 1)
  np.testing.assert_allclose(seen.bits_N, seen.bits_N[0])


def test_reducing_inside_the_layer_is_reducing_after():
  tokens_BT = passages().tokens_BT
  mean = functools.partial(jnp.mean, axis=1)
  reduced = jax.jit(functools.partial(stream.read, CONFIG, reduce=mean))(
    params(), tokens_BT)
  np.testing.assert_allclose(
    reduced, read_stream(params(), tokens_BT).mean(2), atol=1e-5)


def test_writing_another_sentences_stream_gives_its_prediction():
  base_BT, source_BT = passages(0).tokens_BT, passages(1).tokens_BT
  expected_BTV = logits_of(source_BT)
  source_NBTD = read_stream(params(), source_BT)
  assert not np.allclose(logits_of(base_BT), expected_BTV, atol=0.1)
  for layer in LAYERS:
    edited_BTV = logits_of(base_BT, layer, source_NBTD[layer], edited=True)
    np.testing.assert_allclose(edited_BTV, expected_BTV, atol=1e-4)


def test_a_transport_of_identities_is_the_logit_lens_to_the_last_bit():
  width = CONFIG.d_model
  identity = Transport(jnp.stack([jnp.eye(width)] * CONFIG.n_layers),
                       jnp.zeros((CONFIG.n_layers, width)))
  for mine, theirs in zip(read(passages(), transport=identity),
                          read(passages())):
    np.testing.assert_array_equal(mine, theirs)


def test_a_transport_moves_every_stream_but_the_last():
  width = CONFIG.d_model
  w_NDD, b_ND = (jax.random.normal(jax.random.key(1), (2, *shape))
                 for shape in ((width, width), (width,)))
  seen = read(passages(), transport=Transport(w_NDD, b_ND))
  assert seen.divergence_N[-1] == 0
  stream_NBTD = read_stream(params(), passages().tokens_BT)
  for layer in range(CONFIG.n_layers):
    log_BTV = jax.nn.log_softmax(unembed(
      params(), stream_NBTD[layer] @ w_NDD[layer] + b_ND[layer]))
    bits_BT = -np.take_along_axis(np.asarray(log_BTV),
                                  passages().targets_BT[..., None], -1)[..., 0]
    assert seen.bits_N[layer] == pytest.approx(
      np.average(bits_BT, weights=passages().weights_BT) / np.log(2), rel=1e-4)


def test_parts_read_as_the_whole(monkeypatch):
  whole = read(passages())
  monkeypatch.setattr(lens, 'TOGETHER', 8)
  monkeypatch.setattr(lens, 'LOGITS', 40)
  for mine, theirs in zip(read(passages()), whole):
    np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)


def test_rows_are_of_the_network_and_of_a_random_one():
  given = Given(network(), cut([list(range(11)) * 4], 8))
  rows = lens.INSTRUMENT.measure(given)
  assert {row.metric for row in rows} == set(lens.METRICS)
  for network_of in ({}, {'network': 'random'}):
    assert [row.where['layer'] for row in rows if row.metric == 'lens_bits'
            and row.where.get('network') == network_of.get('network')] == [
              *LAYERS]


def test_what_has_no_logits_or_nothing_to_predict_is_refused():
  text = cut([[1, 2, 3]], 8)
  encoder = Network({}, model.ModelConfig(unembedding='absent', vocab_size=11))
  assert 'encoder' in lens.INSTRUMENT.refusal(Given(encoder, text))
  assert 'longer' in lens.INSTRUMENT.refusal(
    Given(network(), cut([[1]], 8)))
  assert not lens.INSTRUMENT.refusal(Given(network(), text))
