"""The Jacobian lens against brute force, on mixing and on linear networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import jacobian_lens, lens
from experiments.instruments.instrument import Given
from experiments.instruments.jacobian_lens import Sums
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, cut

WIDTH, LENGTH, SINKS = 8, 9, 2
CONFIG = model.ModelConfig(n_layers=3, d_model=WIDTH, vocab_size=13, unroll=1,
                           norm='rms', mixer=model.AttentionConfig(n_heads=2))
# A norm is linear where what is added to the variance is all of it.
LARGE = 1e10
LINEAR = model.ModelConfig(
  n_layers=3, d_model=WIDTH, vocab_size=13, unroll=1, norm='rms',
  norm_epsilon=LARGE, position=model.NoPosition(),
  mixer=model.MIXERS['convolution'](window=1, activation='identity'),
  feed_forward=model.PlainFeedForward(activation='identity'))


@functools.cache
def network(config=CONFIG):
  params = jax.jit(functools.partial(model.init, config))(
    jax.random.key(0), scale=1.5)
  if config == LINEAR:
    params = jax.tree_util.tree_map_with_path(
      lambda path, x: x * np.sqrt(LARGE) if path[-1].key == 'scale_D' else x,
      params)
  return Network(params, config)


def text(windows, seed=0, length=LENGTH):
  ids = np.random.default_rng(seed).integers(
    CONFIG.vocab_size, size=(windows, length))
  return cut(list(ids), length)


@jax.jit
def brute_force(network, passages):
  """(n, T of stream n, D, T of stream l, D) of one window, by `jax.jacobian`.
  """
  def last(x_TD, after):
    x_BTD = x_TD[None]
    for layer in range(after + 1, CONFIG.n_layers + 1):
      x_BTD = network.block(layer, x_BTD, passages)
    return x_BTD[0]

  stream_NBTD = network.stream(passages)
  return jnp.stack([
    jax.jacobian(functools.partial(last, after=after))(stream_NBTD[after, 0])
    for after in range(CONFIG.n_layers)])


def test_it_is_what_brute_force_says_where_positions_mix():
  passages = text(2)
  total = 0
  for row in range(2):
    one = Passages(*(x[row:row + 1] for x in passages))
    full = np.asarray(brute_force(network(), one))
    later = np.abs(full[0, 6, :, 3]).max()
    assert later > 0.01  # positions do mix
    assert not full[0, 3, :, 6].any()
    total = total + full[:, SINKS:, :, SINKS:].sum((1, 3))
  found = jacobian_lens.sums(network(), passages, SINKS)
  assert found.positions == 2 * (LENGTH - SINKS)
  np.testing.assert_allclose(found.w_NDD.transpose(0, 2, 1), total, rtol=1e-4,
                             atol=5e-4)


def test_it_is_exact_on_a_linear_network():
  passages = text(3)
  own = network(LINEAR)
  found = jacobian_lens.mean(jacobian_lens.sums(own, passages, 0))
  stream_NBTD = own.stream(passages)
  moved = np.abs(stream_NBTD[-1] - stream_NBTD[0]).max()
  assert moved > 1
  for layer, w_DD in enumerate(found.w_NDD):
    np.testing.assert_allclose(stream_NBTD[layer] @ w_DD, stream_NBTD[-1],
                               atol=1e-4)
  seen = lens.read(own, lens.streams(own, passages), found)
  plain = lens.read(own, lens.streams(own, passages))
  np.testing.assert_allclose(seen.divergence_N, 0, atol=1e-5)
  np.testing.assert_array_equal(seen.agreement_N, 1)
  assert plain.divergence_N[0] > 0.1


def test_sums_add_over_texts_and_do_not_depend_on_how_many_go_together(
    monkeypatch):
  passages = text(4)
  halves = [Passages(*(x[part] for x in passages))
            for part in (slice(0, 1), slice(1, 4))]
  one, other = (jacobian_lens.sums(network(), half, SINKS) for half in halves)
  monkeypatch.setattr(jacobian_lens, 'TOGETHER', 100)
  whole = jacobian_lens.sums(network(), text(4), SINKS)
  for mine, theirs in zip(jacobian_lens.merged(one, other), whole):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=5e-4)
  for mine, theirs in zip(jacobian_lens.merged(other, one), whole):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=5e-4)


def test_padding_does_not_count():
  ids = np.asarray(text(1).tokens_BT[0])
  padded = cut([ids[:6], ids], LENGTH)
  own = Passages(*(x[:1] for x in padded))
  short = cut([ids[:6]], LENGTH)
  for mine, theirs in zip(jacobian_lens.sums(network(), own, SINKS),
                          jacobian_lens.sums(network(), short, SINKS)):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=5e-4)


def test_layers_that_write_nothing_have_the_identity():
  silent = Network(jax.tree_util.tree_map_with_path(
    lambda path, w: w * 0 if path[-1].key in ('w_o_HKD', 'w_down_FD') else w,
    network().params), CONFIG)
  found = jacobian_lens.sums(silent, text(2), SINKS)
  np.testing.assert_allclose(jacobian_lens.mean(found).w_NDD,
                             np.stack([np.eye(WIDTH)] * 3), atol=1e-6)
  one = Sums(found.w_NDD, found.positions)
  assert not np.isfinite(jacobian_lens.agreement(one, one)).any()


def test_halves_agree_by_what_they_share():
  random = np.random.default_rng(0)
  shared_NDD, *own = random.normal(size=(3, 2, 40, 40))
  eye_DD = np.eye(40)

  def sums(own_NDD, share):
    return Sums(jnp.asarray(5 * (eye_DD + share * shared_NDD + own_NDD)),
                jnp.asarray(5.0))

  for share, expected in ((0, 0), (1, 0.5), (100, 1)):
    np.testing.assert_allclose(
      jacobian_lens.agreement(*(sums(each, share) for each in own)), expected,
      atol=0.1)


def test_windows_are_as_many_tokens_as_asked_for_and_at_least_two():
  calibration = text(9, length=40)
  for tokens, shape in ((64, (2, 32)), (32, (2, 16)), (200, (5, 40)),
                        (4, (2, 8)), (10**6, (9, 40))):
    found = jacobian_lens.windows(calibration, tokens)
    assert found.tokens_BT.shape == shape
    assert found.valid_BT.all()
  short = jacobian_lens.windows(cut([range(12), range(5), range(3)], 12), 128)
  assert short.valid_BT.sum(1).tolist() == [12, 5]


def test_rows_say_how_much_the_halves_agree_and_the_fit_is_kept(tmp_path):
  given = Given(network(), text(3), calibration=text(4, seed=1),
                folder=tmp_path, jacobian_tokens=2 * LENGTH)
  assert not jacobian_lens.INSTRUMENT.refusal(given)
  rows = jacobian_lens.INSTRUMENT.measure(given)
  assert {row.metric for row in rows} == set(jacobian_lens.METRICS)
  agreed = [f'{row.value:.2f}' for row in rows if (
    row.metric == 'lens_half_agreement' and not row.where.get('network'))]
  assert agreed[1] in jacobian_lens.summary(rows)
  assert not jacobian_lens.summary(())
  last = [row.value for row in rows if row.metric == 'lens_divergence'
          and row.where['layer'] == CONFIG.n_layers]
  assert last == [0, 0]  # of the network and of a random one
  file = tmp_path / 'jacobian_lens.safetensors'
  written = file.stat().st_mtime_ns
  again = jacobian_lens.INSTRUMENT.measure(
    Given(network(), text(3), calibration=text(4, seed=1), folder=tmp_path,
          jacobian_tokens=2 * LENGTH))
  assert again == rows
  assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize(('fields', 'word'), [
  ({'mask': 'bidirectional'}, 'mask'), ({'unembedding': 'absent'}, 'encoder')])
def test_what_has_no_such_lens_is_refused(fields, word):
  own = Network({}, model.ModelConfig(vocab_size=13, **fields))
  assert word in jacobian_lens.INSTRUMENT.refusal(
    Given(own, text(2), calibration=text(4)))
