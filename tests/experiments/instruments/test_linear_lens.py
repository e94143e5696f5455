"""The linear lens: least squares towards the last stream."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load

import model
from experiments.instruments import lens, lens_file, linear_lens
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, cut

WIDTH = 12
# No norm in the way of a stream: linear but for the norm of the branch, whose
# scale is 0 where the stream is to pass.
CONFIG = model.ModelConfig(
  n_layers=3, d_model=WIDTH, vocab_size=23, unroll=1,
  mixer=model.AttentionConfig(n_heads=2))


@functools.cache
def network():
  return Network(jax.jit(functools.partial(model.init, CONFIG))(
    jax.random.key(0), scale=2.0), CONFIG)


def text(windows, seed=0, length=16):
  ids = np.random.default_rng(seed).integers(
    CONFIG.vocab_size, size=(windows, length))
  return cut(list(ids), length)


@functools.cache
def planted(noise=0.0):
  """Sums of streams whose map to the last is known: x A + b, and noise."""
  random = np.random.default_rng(0)
  a_DD = random.normal(size=(WIDTH, WIDTH))
  b_D = random.normal(size=WIDTH)

  def half():
    x_TD = random.normal(size=(200, WIDTH)) + 3
    change_TD = x_TD @ a_DD + b_D - x_TD + noise * random.normal(
      size=(200, WIDTH))
    x_TD = np.pad(x_TD, ((0, 0), (0, 1)), constant_values=1)
    return linear_lens.Sums(*(jnp.asarray(x, jnp.float32)[None] for x in (
      x_TD.T @ x_TD, x_TD.T @ change_TD, np.sum(change_TD**2))))

  return (half(), half()), a_DD, b_D


def test_it_finds_the_planted_map():
  halves, a_DD, b_D = planted()
  found = linear_lens.solve(*halves)
  np.testing.assert_allclose(found.w_NDD[0], a_DD, atol=1e-2)
  np.testing.assert_allclose(found.b_ND[0], b_D, atol=3e-2)


def test_errors_are_those_of_the_maps():
  (one, other), _, _ = planted(0.5)
  mean = linear_lens.means(one, 0)
  own, unseen = (linear_lens.centred(half, 0, mean) for half in (one, other))
  size = np.trace(own.products_DD) / WIDTH
  for penalty, error in zip(linear_lens.PENALTIES,
                            linear_lens.errors(own, unseen)):
    w_DD = np.zeros((WIDTH, WIDTH))
    if np.isfinite(penalty):
      w_DD = np.linalg.solve(own.products_DD + penalty * size * np.eye(WIDTH),
                             own.slopes_DD)
    assert error == pytest.approx(
      unseen.squares - 2 * np.sum(w_DD * unseen.slopes_DD)
      + np.sum(w_DD * (unseen.products_DD @ w_DD)), rel=1e-4)


def test_sums_add_over_parts():
  whole = linear_lens.sums(network(), text(6))
  parts = [linear_lens.sums(network(), half)
           for half in linear_lens.halves(text(6))]
  for mine, theirs in zip(linear_lens.merged(*parts), whole):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-3)


def test_it_is_at_least_as_good_as_the_logit_lens_on_other_text():
  """By the error that it is fitted for; by divergence, within noise."""
  given = Given(network(), text(20, seed=1), calibration=text(60))
  streams = lens.streams(network(), given.passages)
  carried = lens.read(network(), streams, linear_lens.transport(given))
  plain = lens.read(network(), streams)
  assert (carried.divergence_N <= plain.divergence_N + 0.01).all()
  assert carried.divergence_N[0] < 0.7 * plain.divergence_N[0]
  assert carried.divergence_N[-1] == 0


def test_what_tells_nothing_is_the_logit_lens():
  """Changes that have nothing to do with the stream, from few positions."""
  random = np.random.default_rng(0)

  def half():
    x_TD = np.pad(random.normal(size=(20, 40)), ((0, 0), (0, 1)),
                  constant_values=1)
    change_TD = random.normal(size=(20, 40))
    return linear_lens.Sums(*(jnp.asarray(x, jnp.float32)[None] for x in (
      x_TD.T @ x_TD, x_TD.T @ change_TD, np.sum(change_TD**2))))

  found = linear_lens.solve(half(), half())
  np.testing.assert_allclose(found.w_NDD[0], np.eye(40), atol=0.01)


def test_the_first_position_and_padding_do_not_count():
  passages = text(4)
  other = passages._replace(
    tokens_BT=np.where(np.arange(16) < 10, passages.tokens_BT, 5),
    valid_BT=passages.valid_BT & (np.arange(16) < 10))
  found = linear_lens.sums(network(), other)
  shorter = linear_lens.sums(network(), Passages(
    *(x[:, :10] if x.ndim == 2 else x for x in passages)))
  assert found.products_NDD[0, -1, -1] == 4 * 9
  for mine, theirs in zip(found, shorter):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-3)


def test_what_was_fitted_is_kept_and_known_by_what_it_was_fitted_on(tmp_path):
  given = Given(network(), text(2), calibration=text(6), folder=tmp_path)
  first = linear_lens.transport(given)
  file = tmp_path / 'linear_lens.safetensors'
  written = file.stat().st_mtime_ns
  again = linear_lens.transport(given)
  assert file.stat().st_mtime_ns == written
  np.testing.assert_array_equal(first.w_NDD, again.w_NDD)
  file.write_bytes(file.read_bytes()[:100])  # damaged
  np.testing.assert_array_equal(first.w_NDD, linear_lens.transport(given).w_NDD)
  other = Given(network(), text(2), calibration=text(6, seed=3),
                folder=tmp_path)
  assert not np.array_equal(first.w_NDD, linear_lens.transport(other).w_NDD)


def test_a_file_of_another_model_or_with_other_numbers_is_not_read(tmp_path):
  own, other = (Given(network(), text(2), calibration=text(6),
                      folder=tmp_path / name) for name in ('own', 'other'))
  first = linear_lens.transport(own).w_NDD
  file = tmp_path / 'own' / 'linear_lens.safetensors'
  good = file.read_bytes()
  (tmp_path / 'other').mkdir()
  (tmp_path / 'other' / file.name).write_bytes(good)
  linear_lens.transport(other)
  assert (tmp_path / 'other' / file.name).read_bytes() != good
  file.write_bytes(good[:-8] + 8 * b'\xff')  # not a number
  np.testing.assert_array_equal(first, linear_lens.transport(own).w_NDD)
  # Its header lists what it says in any order.
  whole, again = load(good), load(file.read_bytes())
  assert whole.keys() == again.keys()
  for name, array in whole.items():
    np.testing.assert_array_equal(array, again[name])


def test_no_or_little_calibration_is_refused():
  refusal = linear_lens.INSTRUMENT.refusal
  assert '--calibration' in refusal(Given(network(), text(2)))
  assert 'longer' in refusal(Given(network(), text(2), calibration=text(1)))
  assert not refusal(Given(network(), text(2), calibration=text(4)))


def test_content_tells_passages_apart():
  assert lens_file.content(text(2)) == lens_file.content(text(2))
  assert lens_file.content(text(2)) != lens_file.content(text(2, seed=1))


def test_few_distinct_vectors_are_fitted_too():
  products_DD = np.diag([4.0, 1.0, -1e-6])  # as rounding leaves them
  slopes_DD = np.array([[2.0], [1.0], [0.0]])
  centred = linear_lens.Centred(products_DD, slopes_DD, 0.0)
  found_DD = linear_lens._ridge(centred, 1e-9)
  np.testing.assert_allclose(found_DD, [[0.5], [1.0], [0.0]], rtol=1e-6)
