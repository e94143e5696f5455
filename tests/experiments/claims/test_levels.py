"""The hierarchy's numbers on networks for which they are known."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import model
from data import DataConfig
from data.sources.tree import TreeConfig
from experiments.claims.depth import levels
from experiments.instruments.tree import constructed
from experiments.runs.subject import Subject
from experiments.sweeps.task import Train
from train import Config, TrainConfig

TREE = TreeConfig(symbols=4, levels=3, objective='root')


@functools.cache
def measured():
  """Rows of a network that climbs a level a layer, by metric."""
  source = TREE.open()
  config, params = constructed.tree_reader(
    source, source.instance(1), (1, 2, 3), n_layers=4)
  start = jax.jit(functools.partial(model.init, config))
  subject = Subject(
    'reader', Train(Config(
      model=config, data=DataConfig(TREE, batch_size=64, seed=1),
      train=TrainConfig(evaluation_batches=8))),
    {'loss': np.zeros(1)}, params=lambda: params,
    initial=lambda: jax.device_get(start(jax.random.key(0))))
  found = {}
  for row in levels.measure(subject):
    found.setdefault(row.metric, {})[tuple(row.where.values())] = row.value
  return found


@pytest.mark.parametrize(('metric', 'least', 'most'), [
  ('excess_bits', 0, 0.01), ('learned_share', 0.99, 1.01),
  ('sampled_excess_bits', -0.01, 0.01), ('order', 0.8, 1.2),
  ('order_counted', 0.8, 1.2), ('highest_decodability', 0.99, 1.01),
  ('interchange_ceiling', 0.99, 1.01), ('interchange_normalised', 0.9, 1.01),
  ('selectivity', 0.3, 0.8)])
def test_every_threshold_can_be_reached(metric, least, most):
  assert least <= measured()[metric][()] <= most


def test_of_a_root_alone_no_leaf_is_scored():
  assert measured()['excess_bits'].keys() == {(), (3,)}


def test_a_network_that_knows_nothing_has_every_number_that_is_judged():
  tree = dataclasses.replace(TREE, objective='joint', levels=2)
  config = model.ModelConfig(n_layers=3, d_model=8,
                             mixer=model.AttentionConfig(n_heads=1),
                             position=model.LearnedPosition(),
                             mask='bidirectional', vocab_size=6, max_length=5)
  params = jax.device_get(jax.jit(functools.partial(model.init, config))(
    jax.random.key(0)))
  found = {row.metric: row.value for row in levels.measure(Subject(
    'untrained', Train(Config(
      model=config, data=DataConfig(tree, batch_size=32),
      train=TrainConfig(evaluation_batches=4))), {'loss': np.zeros(1)},
    params=lambda: params, initial=lambda: params)) if not row.where}
  assert np.isfinite(list(found.values())).all()
  assert found.keys() == {key for key, places in measured().items()
                          if () in places}
  for metric in ('order', 'order_counted', 'highest_decodability',
                 'interchange_normalised', 'selectivity'):
    assert found[metric] == 0


def test_what_a_network_lacks_that_knows_nothing():
  """An even guess has learned nothing, of root and leaf alike."""
  tree = dataclasses.replace(TREE, objective='joint')
  config = Config(
    model=model.ModelConfig(n_layers=1, d_model=8,
                            mixer=model.AttentionConfig(n_heads=1),
                            position=model.LearnedPosition(),
                            mask='bidirectional', vocab_size=6, max_length=9),
    data=DataConfig(tree))
  shape = jax.eval_shape(functools.partial(model.init, config.model),
                         jax.random.key(0))
  even = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shape)
  found = levels.excess(Subject('even', Train(config), params=lambda: even))
  # Even over six tokens, of which two are no symbols: log2(6 / 4) bits more.
  np.testing.assert_allclose(found.excess - found.knowable, np.log2(6 / 4),
                             atol=1e-4)
  assert (found.knowable > 0.3).all()
