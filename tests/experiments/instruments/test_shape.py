"""Similarity, dimension and anisotropy find what was planted, and no more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import (
  anisotropy,
  dimension,
  geometry,
  passages,
  points,
  similarity,
)
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from model import AttentionConfig, ModelConfig

CONFIG = ModelConfig(n_layers=2, d_model=16, vocab_size=512, unroll=1,
                     mixer=AttentionConfig(n_heads=2))
ENCODER = ModelConfig(n_layers=2, d_model=16, vocab_size=512, unroll=1,
                      mixer=AttentionConfig(n_heads=2), mask='none',
                      unembedding='absent', norm_placement='post',
                      final_norm=False)


def network(config=CONFIG, seed=1):
  return Network(model.init(config, jax.random.key(seed)), config)


def text(tokens, length=16):
  rng = np.random.default_rng(0)
  return passages.cut([rng.integers(512, size=tokens).tolist()], length)


def normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('config', [CONFIG, ENCODER], ids=['causal', 'encoder'])
def test_points_are_the_streams_of_real_positions(config):
  given = passages.cut([list(range(5)), list(range(7, 18))], 8)
  one = network(config)
  found = points.gather(one, given, most=9)
  stream_NBTD = jax.jit(Network.stream)(one, given)
  whole_NVD = np.asarray(stream_NBTD)[:, given.valid_BT]
  kept = np.linspace(0, 15, 9).round().astype(int)
  np.testing.assert_allclose(found.stream_NVD, whole_NVD[:, kept], atol=1e-5)
  column_V = np.nonzero(given.valid_BT)[1]
  np.testing.assert_array_equal(found.first_V, column_V[kept] == 0)


def test_points_of_several_parts_keep_their_order(monkeypatch):
  monkeypatch.setattr(points, 'TOGETHER', 16)
  one, given = network(), text(70)
  found = points.gather(one, given)
  first_VD = model.embed(CONFIG, one.params, given.tokens_BT)[given.valid_BT]
  np.testing.assert_allclose(found.stream_NVD[0], first_VD, atol=1e-6)


def test_what_is_turned_and_scaled_is_the_same():
  x_VD = normal(200, 12)
  turn_DD, _ = np.linalg.qr(normal(12, 12, seed=1))
  layers_NVD = jnp.stack([x_VD, 3 * x_VD @ turn_DD + 5, x_VD[::-1]])
  found_NN = similarity.alignment(layers_NVD, 64)
  np.testing.assert_allclose(found_NN[:2, :2], 1, atol=1e-4)
  assert abs(found_NN[0, 2]) < 0.1


def test_unrelated_layers_have_none_with_fewer_points_than_numbers():
  def biased(x_VD, y_VD):
    x_VV, y_VV = (geometry.centred(z_VD) @ geometry.centred(z_VD).T
                  for z_VD in (x_VD, y_VD))
    return (x_VV * y_VV).sum() / np.sqrt((x_VV**2).sum() * (y_VV**2).sum())

  found, plain = [], []
  for seed in range(20):
    layers_NVD = normal(2, 40, 120, seed=seed)
    found.append(similarity.alignment(layers_NVD)[0, 1])
    plain.append(biased(*layers_NVD))
  assert abs(np.mean(found)) < 0.02
  assert np.mean(plain) > 0.6


def test_sets_add_up_to_the_whole():
  shared_VD = normal(400, 20)
  layers_NVD = jnp.asarray(np.stack(
    [shared_VD, shared_VD + normal(400, 20, seed=1)]))
  parts_NN, whole_NN = (similarity.alignment(layers_NVD, together)
                        for together in (50, 400))
  np.testing.assert_allclose(parts_NN, whole_NN, atol=0.05)
  assert 0.3 < whole_NN[0, 1] < 0.7


def test_outliers_alone_make_layers_alike():
  layers_NVD = normal(2, 300, 20)
  layers_NVD[:, :, 4] = 100 * normal(300, seed=9)
  layers_NVD = jnp.asarray(layers_NVD)
  assert similarity.alignment(layers_NVD)[0, 1] > 0.99
  fewer_NVD = points.without_largest(layers_NVD, 1)
  assert not np.any(fewer_NVD[:, :, 4])
  assert abs(similarity.alignment(fewer_NVD)[0, 1]) < 0.1


@pytest.mark.parametrize('true', [2, 5])
def test_the_dimension_of_a_curved_surface(true):
  surface_VD = np.concatenate(
    [np.sin(normal(1500, true, seed=3)), normal(1500, true, seed=3)], 1)
  turned_VD = surface_VD @ normal(2 * true, 40, seed=4)
  found = dimension.neighbours(turned_VD, 16)
  distance_VK = np.asarray(found.distance_VK, float)
  assert found.distinct_V.all()
  assert dimension.two_nearest(distance_VK) == pytest.approx(true, rel=0.15)
  for k in (1, 2, 4):
    assert dimension.at_scale(distance_VK, k) == pytest.approx(true, rel=0.15)
  assert dimension.at_scale(distance_VK, 1) == pytest.approx(
    geometry.two_nearest_dimension(geometry.distance(turned_VD)), rel=1e-3)


def test_noise_across_a_surface_counts_at_a_fine_scale_only():
  line_VD = np.zeros((1500, 10), np.float32)
  line_VD[:, 0] = np.random.default_rng(0).uniform(0, 1500, 1500)
  line_VD += normal(1500, 10, seed=1)
  found = dimension.neighbours(line_VD, 64)
  distance_VK = np.asarray(found.distance_VK, float)
  fine, coarse = (dimension.at_scale(distance_VK, k) for k in (1, 32))
  assert fine > 2 > 1.3 > coarse


def test_equal_points_count_once():
  one_VD = normal(300, 3)
  copies_VD = np.concatenate([one_VD, one_VD[:200], one_VD[:200]])
  once, thrice = (dimension.neighbours(x_VD, 2)
                  for x_VD in (one_VD, copies_VD))
  assert thrice.distinct_V.sum() == 300
  np.testing.assert_allclose(
    np.asarray(thrice.distance_VK)[thrice.distinct_V],
    once.distance_VK, rtol=1e-6)


def test_words_that_come_again_are_one_point_of_stream_zero():
  given = passages.cut([list(range(150)) * 4], 60)
  rows = dimension.measure(Given(network(), given))
  distinct = {row.where['layer']: row.value for row in rows
              if row.metric == 'distinct' and 'network' not in row.where}
  assert distinct[0] == 150 < distinct[1]
  assert all(np.isfinite(row.value) and row.value > 0 for row in rows)


def test_anisotropy_is_that_of_what_was_planted():
  x_VD = normal(3000, 10)
  shifted_VD = x_VD + 10
  stretched_VD = x_VD * np.array([3, *[1] * 9], np.float32)
  layers_NVD = jnp.asarray(np.stack([x_VD, shifted_VD, stretched_VD]))
  cosine_N = anisotropy.mean_cosine(layers_NVD)
  np.testing.assert_allclose(cosine_N, [0, 0.99, 0], atol=0.01)
  np.testing.assert_allclose(anisotropy.top_share(layers_NVD),
                             [0.1, 0.1, 9 / 18], atol=0.02)
  plain = geometry.cosine(x_VD[:50])
  assert float(anisotropy.mean_cosine(jnp.asarray(x_VD[None, :50]))[0]
               ) == pytest.approx((plain.sum() - 50) / (50 * 49), abs=1e-5)


def test_fewer_points_than_numbers_have_the_same_share():
  x_VD = normal(20, 50)
  full = np.linalg.svd(geometry.centred(x_VD), compute_uv=False)**2
  assert float(anisotropy.top_share(jnp.asarray(x_VD)[None])[0]
               ) == pytest.approx(full[0] / full.sum(), rel=1e-4)


@pytest.mark.parametrize('instrument', [
  similarity.INSTRUMENT, dimension.INSTRUMENT, dimension.SCALES_INSTRUMENT,
  anisotropy.INSTRUMENT], ids=lambda one: one.name)
def test_rows_of_an_encoder_and_of_a_random_one(instrument):
  rows = instrument.measure(Given(network(ENCODER), text(240)))
  assert {row.metric for row in rows} == set(instrument.metrics)
  assert {row.where.get('network') for row in rows} == {None, 'random'}
  assert {row.where['layer'] for row in rows} == {0, 1, 2}
  assert all(np.isfinite(row.value) for row in rows)
  few, many = (instrument.flops(ENCODER, tokens, 0) for tokens in (500, 2000))
  assert 0 < few < many


def test_a_short_text_gives_no_number_that_it_cannot():
  given = Given(network(), text(3))
  for instrument in (similarity, dimension, anisotropy):
    assert not instrument.measure(given)
