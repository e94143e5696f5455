"""The chain is what it says: clusters, far links, exact frequencies."""

import jax
import numpy as np
import pytest

from data.errors import InputError
from data.sources.markov import MarkovConfig

CONFIG = MarkovConfig()
V = CONFIG.symbols


@pytest.fixture(scope='module')
def source():
  return CONFIG.open()


@pytest.fixture(scope='module')
def chain(source):
  return source.instance(0)


@pytest.fixture(scope='module')
def batch(source, chain):
  return jax.tree.map(np.asarray, jax.jit(
    lambda: source.batch(chain, 0, 'test', 0, 20_000))())


def test_rows_are_laws_and_frequencies_stay(chain):
  transition_VV = chain['transition_VV'].astype(float)
  assert (transition_VV > 0).all()
  np.testing.assert_allclose(transition_VV.sum(1), 1, atol=1e-6)
  np.testing.assert_allclose(chain['frequency_V'] @ transition_VV,
                             chain['frequency_V'], atol=1e-8)


def test_a_token_has_its_link_and_shares_the_rest_with_its_cluster(
    source, chain):
  rest_VV = chain['transition_VV'].astype(float)
  cluster_V, link_V = chain['cluster_V'], chain['link_V']
  assert np.bincount(cluster_V).tolist() == [V // 8] * 8
  rest_VV[np.arange(V), link_V] -= CONFIG.link
  for cluster in range(8):
    rows_VV = rest_VV[cluster_V == cluster]
    np.testing.assert_allclose(rows_VV, rows_VV[:1].repeat(len(rows_VV), 0),
                               atol=1e-7)
  assert source.far(cluster_V)[np.arange(V), link_V].all()


def test_near_clusters_are_alike_and_far_ones_are_not(source, chain):
  rest_VV = chain['transition_VV'].astype(float)
  rest_VV[np.arange(V), chain['link_V']] -= CONFIG.link
  unit_VV = rest_VV / np.linalg.norm(rest_VV, axis=1, keepdims=True)
  steps_VV = source.distance(chain['cluster_V'], chain['cluster_V'])
  alike = [(unit_VV @ unit_VV.T)[steps_VV == steps].mean()
           for steps in range(5)]
  assert alike[0] == pytest.approx(1, abs=1e-5)
  assert (np.diff(alike[:4]) < -0.1).all()
  assert max(alike[3:]) < 0.3
  np.testing.assert_array_equal(source.far(chain['cluster_V']), steps_VV > 2)


def test_degrees_vary_and_clusters_have_every_frequency(chain):
  degree_V = np.bincount(chain['link_V'], minlength=V)
  assert (degree_V == 0).sum() > 20
  assert degree_V.max() >= 3
  never_linked = [chain['frequency_V'][(chain['cluster_V'] == c)
                                       & (degree_V == 0)]
                  for c in range(8)]
  assert max(map(np.min, never_linked)) < 2 * min(map(np.min, never_linked))
  assert chain['frequency_V'].max() > 10 * chain['frequency_V'].min()


def test_sequences_follow_the_chain(chain, batch):
  np.testing.assert_array_equal(batch.tokens_BT[:, 1:],
                                batch.targets_BT[:, :-1])
  for position in (0, -1):  # they begin anywhere in it
    share_V = np.bincount(batch.tokens_BT[:, position], minlength=V) / 20_000
    np.testing.assert_allclose(share_V, chain['frequency_V'], atol=0.005)
  count_VV = np.zeros((V, V))
  np.add.at(count_VV, (batch.tokens_BT, batch.targets_BT), 1)
  total_V = count_VV.sum(1)
  expected_VV = chain['transition_VV'] * total_V[:, None]
  error_VV = np.abs(count_VV - expected_VV) / np.sqrt(expected_VV + 1)
  assert error_VV.max() < 6
  assert np.square(error_VV).mean() < 1.1


def test_bayes_loss_averages_to_the_entropy_rate(source, chain, batch):
  transition_VV = chain['transition_VV'].astype(float)
  entropy = -(chain['frequency_V'][:, None] * transition_VV
              * np.log(transition_VV)).sum()
  loss_BT = source.bayes_loss(chain, batch)
  assert float(loss_BT.mean()) == pytest.approx(entropy, abs=0.01)


@pytest.mark.parametrize(('fields', 'fix'), [
  ({'clusters': 3}, 'use at least 4'),
  ({'symbols': 130}, 'use 128 or 136'),
  ({'symbols': 4}, 'use 8 or 16'),
  ({'link': 1.0}, 'below 1'),
  ({'length': 0}, 'at least 1')])
def test_a_chain_that_cannot_be_names_the_field_and_the_fix(fields, fix):
  with pytest.raises(InputError, match=f'data.source.{next(iter(fields))}: '
                     f'.*{fix}'):
    MarkovConfig(**fields).open()
