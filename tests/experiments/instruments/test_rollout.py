"""Attention weighed three ways, and whether it goes to what matters."""

import jax
import numpy as np
import pytest

import model
from experiments.instruments import importance, passages, rollout
from experiments.instruments.constructed import induction, reader
from experiments.instruments.importance import Context
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network

TEXT = passages.cut([[1, 2, 3, 4, 5, 6, 7], [6, 2, 1]], 8)
MASSES = jax.jit(rollout.masses)


def drawn(**fields):
  config = model.ModelConfig(n_layers=3, d_model=8, vocab_size=11, unroll=1,
                             **fields)
  params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(1), 3.0)
  return Network(params, config)


@pytest.mark.parametrize('fields', [
  {'mixer': model.AttentionConfig(n_heads=4, n_kv_heads=2, qkv_bias=True)},
  {'mixer': model.AttentionConfig(n_heads=2), 'mask': 'bidirectional',
   'norm_placement': 'post', 'layers': 'tied'}], ids=['causal', 'encoder'])
def test_masses_are_what_their_definitions_say(fields):
  network = drawn(**fields)
  found = MASSES(network, TEXT)
  taps = jax.jit(lambda: network.apply(TEXT, {
    'attention_pattern': None, 'mixer_out': None}).taps)()
  pattern_NBHTS = np.asarray(taps['attention_pattern'])
  raw_NBTS = pattern_NBHTS.mean(2)
  np.testing.assert_allclose(found.raw, raw_NBTS, atol=1e-5)
  through_BTS = np.broadcast_to(np.eye(7), raw_NBTS.shape[1:])
  for raw_BTS, rolled_BTS in zip(raw_NBTS, found.rollout):
    through_BTS = (raw_BTS + np.eye(7)) / 2 @ through_BTS
    np.testing.assert_allclose(rolled_BTS, through_BTS, atol=1e-5)
  for mass in found:
    real = np.asarray(mass)[:, TEXT.valid_BT]
    np.testing.assert_allclose(real.sum(-1), 1, atol=1e-5)
  if network.config.mask == 'causal':
    # What the first place adds up to is all that its heads write.
    assert (np.asarray(found.value_weighted)[:, :, 0, 0] > 0.999).all()


def test_a_head_that_rests_on_an_empty_value_weighs_nothing():
  network = drawn(mixer=model.AttentionConfig(n_heads=1))
  mixer = network.params['stack']['mixer']
  assert np.abs(MASSES(network, TEXT).value_weighted).max() > 0.5
  empty = Network({**network.params, 'stack': {
    **network.params['stack'],
    'mixer': {**mixer, 'w_o_HKD': 0 * mixer['w_o_HKD']}}}, network.config)
  assert not np.asarray(MASSES(empty, TEXT).value_weighted).any()


def test_the_reach_of_a_head_that_looks_one_back():
  network = induction.induction(12, 16)
  rows = rollout.measure(Given(network, passages.cut(
    [[3, 5, 8, 1, 3, 5, 8, 1]], 16)))
  own = {(row.metric, row.where['layer']): row.value for row in rows
         if 'network' not in row.where
         and row.where['weighing'] == 'value-weighted'}
  # Of the first layer's heads one alone writes anything, from one back.
  assert own['attention_reach', 1] == pytest.approx(6 / 7)
  assert own['attention_to_first', 1] == pytest.approx(1 / 7)
  assert own['attention_to_self', 1] == pytest.approx(0, abs=1e-6)


def test_attention_is_importance_where_it_is_planted_so():
  rng = np.random.default_rng(0)
  network, kept_S = reader.reader(20), np.arange(20) > 0
  for seed in range(3):
    found = importance.read(network, Context(
      rng.integers(2, size=20).tolist(), reader.ANSWER), 4, seed)
    order_S = found.importance_RS.mean(0)
    for name, mass_S in found.mass_S.items():
      least = 0.7 if name[0] == 'rollout' else 0.9
      assert importance.agreement(mass_S, order_S, kept_S) > least, name
    assert importance.agreement(*found.importance_RS, kept_S) > 0.8


def test_a_random_network_does_not_attend_to_what_matters_to_another():
  network, rng = reader.reader(20), np.random.default_rng(0)
  random, kept_S, taus = network.random(), np.arange(20) > 0, []
  for seed in range(8):
    context = Context(rng.integers(2, size=20).tolist(), reader.ANSWER)
    found, other = (importance.read(each, context, 4, seed)
                    for each in (network, random))
    taus.append(importance.agreement(
      other.mass_S['raw', importance.LAST], found.importance_RS.mean(0),
      kept_S))
  assert abs(np.mean(taus)) < 0.2


def test_what_is_replaced_decides_what_matters():
  network = induction.induction(16, 16)
  tokens = [7, 3, 5, 9, 2, 11, 3]
  found = importance.read(network, Context(tokens, 5), 4)
  matters = {int(place) for place in np.flatnonzero(
    found.importance_RS.mean(0) > 1)}
  assert matters == {1, 2, 6}  # the 3s, and what followed the first
  top = int(np.argmax(found.mass_S['raw', importance.LAST]))
  assert top == 2
