"""Integrated gradients: they add up, and name what matters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import attribution, passages
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network

CONFIG = model.ModelConfig(
  n_layers=2, d_model=8, mixer=model.AttentionConfig(n_heads=2),
  vocab_size=11, max_length=16, unroll=1)


def network_of(config):
  return Network(jax.jit(
    lambda key: model.init(config, key))(jax.random.key(0)), config)


@pytest.fixture(scope='module')
def given():
  tokens = np.random.default_rng(0).integers(11, size=45)
  return Given(network_of(CONFIG), passages.cut([tokens], 16))


@pytest.fixture(scope='module')
def rows(given):
  return attribution.measure(given)


def of(rows, metric):
  return {tuple(row.where.values()): row.value
          for row in rows if row.metric == metric}


def test_attributions_add_up_and_stay_in_the_past(given, rows):
  assert of(rows, 'completeness_error')[()] < attribution.GATE
  assert of(rows, 'complete_share')[()] == 1
  assert sum(of(rows, 'attribution_share').values()) == pytest.approx(1)
  row = attribution.targets(given.passages, CONFIG)[1]
  other = attribution.others(row, given.passages, 0)
  found = attribution.attribute(given.network, row, other)
  assert found.bits_T.sum() == pytest.approx(found.difference, rel=.01)
  # Not what comes later, nor where the baseline is the same.
  differs_T = (other.tokens_BT != row.tokens_BT)[0]
  differs_T[int(np.argmax(row.weights_BT)) + 1:] = False
  assert 1 < differs_T.sum() < 10
  np.testing.assert_array_equal(found.bits_T != 0, differs_T)


def test_deletion_in_that_order_hurts_most(rows):
  drop = of(rows, 'deletion_drop')
  assert drop['attributed',] > drop['random',] + .01


def test_who_reads_one_token_alone_is_told_so(given):
  """Silent mixers leave the token last read as all that matters."""
  params = {**given.network.params}
  params['stack'] = {**params['stack'], 'mixer': jax.tree.map(
    jnp.zeros_like, params['stack']['mixer'])}
  rows = attribution.measure(Given(Network(params, CONFIG), given.passages))
  assert of(rows, 'attribution_share') == {(0,): pytest.approx(1)}


def test_a_rough_way_takes_more_steps(given):
  """Attention that switches at points of the way is halved down to them."""
  params = {**given.network.params}
  params['stack'] = {**params['stack'], 'mixer': {
    **params['stack']['mixer'],
    'w_q_DHK': 5 * params['stack']['mixer']['w_q_DHK']}}
  row = attribution.targets(given.passages, CONFIG)[1]
  found = attribution.attribute(Network(params, CONFIG), row,
                                attribution.others(row, given.passages, 0))
  assert found.steps > attribution.STEPS
  assert found.error < attribution.GATE


def test_an_encoder_without_words_is_refused():
  encoder = dataclasses.replace(CONFIG, unembedding='absent')
  given = Given(Network({}, encoder), passages.cut([[1, 2, 3]], 3))
  assert 'encoder' in attribution.INSTRUMENT.refusal(given)
