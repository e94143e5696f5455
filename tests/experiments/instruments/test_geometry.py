"""Geometry of tables whose answer is known, and of random ones."""

import numpy as np
import pytest
from scipy import stats

from experiments.instruments import geometry

V, D = 128, 32


@pytest.fixture
def rng():
  return np.random.default_rng(0)


@pytest.fixture
def random_VD(rng):
  return rng.standard_normal((V, D))


def clustered(rng, spread=0.1):
  """Eight clusters around directions of their own, and whose each point is."""
  cluster_V = np.arange(V) % 8
  table_VD = np.eye(8, D)[cluster_V] + spread * rng.standard_normal((V, D))
  return table_VD, cluster_V


def test_cosines_and_distances_are_those_of_pairs(random_VD):
  i, j = 3, 77
  u_D, v_D = random_VD[i], random_VD[j]
  assert geometry.cosine(random_VD)[i, j] == pytest.approx(
    u_D @ v_D / np.linalg.norm(u_D) / np.linalg.norm(v_D))
  assert geometry.distance(random_VD)[i, j] == pytest.approx(
    np.linalg.norm(u_D - v_D))
  random_VD[i] = 0
  assert geometry.cosine(random_VD)[i, j] == 0


def test_clusters_are_found_and_a_random_table_has_none(rng, random_VD):
  table_VD, cluster_V = clustered(rng)
  same_VV = cluster_V[:, None] == cluster_V
  pairs = np.triu_indices(V, k=1)
  assert geometry.area(
    geometry.cosine(table_VD)[pairs], same_VV[pairs]) > 0.99
  assert geometry.area(geometry.cosine(random_VD)[pairs],
                       same_VV[pairs]) == pytest.approx(0.5, abs=0.03)
  planted_VV = same_VV.astype(float)
  # Ties of the pairs apart leave no more than this to any cosine.
  assert geometry.pair_correlation(
    geometry.cosine(table_VD), planted_VV) > 0.5
  assert abs(geometry.pair_correlation(
    geometry.cosine(random_VD), planted_VV)) < 0.04


def test_a_shared_direction_hides_clusters_until_it_is_removed(rng):
  table_VD, cluster_V = clustered(rng, spread=0.2)
  same_VV = (cluster_V[:, None] == cluster_V).astype(float)
  frequency_V = rng.standard_normal(V)
  spoilt_VD = table_VD + 5 * frequency_V[:, None] * np.eye(D)[20] + 3

  def found(table_VD):
    return geometry.pair_correlation(geometry.cosine(table_VD), same_VV)

  # The mean is removed by all three, the direction by the last two.
  assert found(spoilt_VD) < 0.15
  assert found(geometry.centred(spoilt_VD)) < 0.15
  assert found(geometry.all_but_top(spoilt_VD, 1)) > 0.4
  assert found(geometry.whitened(spoilt_VD)) > 0.25


def test_whitened_directions_have_one_variance(random_VD):
  random_VD[:, 0] *= 100
  random_VD[:, 1] = random_VD[:, 2]  # one direction too few
  white_VD = geometry.whitened(random_VD)
  assert white_VD.shape == (V, D - 1)
  np.testing.assert_allclose(white_VD.T @ white_VD, np.eye(D - 1), atol=1e-9)


def test_area_counts_wins_and_halves_ties():
  assert geometry.area([3, 2, 1, 0], np.array([True, False, True, False])) == (
    pytest.approx(3 / 4))
  assert geometry.area([1, 1, 0], np.array([True, False, False])) == (
    pytest.approx(3 / 4))


def test_density_is_low_among_neighbours(rng):
  table_VD, _ = clustered(rng)
  table_VD[0] = 10  # alone
  alone, *others = geometry.neighbour_distance(geometry.distance(table_VD))
  assert alone > 5 * max(others)
  line_VV = geometry.distance(np.array([[0.], [1.], [3.]]))
  assert geometry.neighbour_distance(line_VV, 2).tolist() == [2, 1.5, 2.5]


def test_partial_correlation_removes_what_a_third_tells(rng):
  frequency_V, own_V = rng.standard_normal((2, 2000))
  degree_V = frequency_V + rng.standard_normal(2000)
  by_frequency_V = np.exp(frequency_V + 0.3 * own_V)
  assert stats.spearmanr(by_frequency_V, degree_V).statistic > 0.5
  assert abs(geometry.partial_correlation(
    by_frequency_V, degree_V, frequency_V)) < 0.07
  assert geometry.partial_correlation(
    by_frequency_V + degree_V, degree_V, frequency_V) > 0.5


def test_dimension_of_a_plane_and_of_a_ball(rng, random_VD):
  plane_VD = rng.uniform(size=(1000, 2)) @ rng.standard_normal((2, D))
  assert geometry.participation_ratio(plane_VD) <= 2
  assert geometry.two_nearest_dimension(
    geometry.distance(plane_VD)) == pytest.approx(2, abs=0.25)
  # 1 / D + 1 / V of the variance of a random table meets itself.
  assert geometry.participation_ratio(random_VD) == pytest.approx(
    1 / (1 / D + 1 / V), rel=0.05)
  assert geometry.two_nearest_dimension(geometry.distance(random_VD)) > 10


def test_information_is_what_exceeds_chance():
  transition_VV = np.array([[0.5, 0.5], [0.25, 0.75]])
  frequency_V = np.array([1 / 3, 2 / 3])
  np.testing.assert_allclose(
    geometry.positive_information(transition_VV, frequency_V),
    [[np.log(1.5), 0], [0, np.log(9 / 8)]])


def test_determination_forgives_no_offset(rng):
  truth = rng.standard_normal(1000)
  assert geometry.determination(truth, truth) == 1
  assert geometry.determination(
    truth, np.full(1000, truth.mean())) == pytest.approx(0)
  assert geometry.determination(truth, truth + 1) == pytest.approx(0, abs=0.1)
  # Weights that are whole numbers count as copies do.
  copies = rng.integers(0, 4, size=1000)
  predicted = truth + 0.3 * rng.standard_normal(1000)
  assert geometry.determination(truth, predicted, copies) == pytest.approx(
    geometry.determination(truth.repeat(copies), predicted.repeat(copies)))
