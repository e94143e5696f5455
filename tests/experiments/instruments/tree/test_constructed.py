"""Instruments on networks that were built to have known answers.

The decisive tests of decodability and interchange: ordinary models whose
weights say at which layer each level is computed.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

import model
from data.sources.tree import TreeConfig
from experiments.instruments.tree import constructed, decodability, interchange

WRITE_LAYERS = [(1, 2, 3), (2, 3, 5)]
GRAMMAR = 1
PAIRS = 96


@functools.cache
def tree(**fields):
  return TreeConfig(
    symbols=4, **{'levels': 3, 'objective': 'root', **fields}).open()


@functools.cache
def initial(config):
  return jax.jit(jax.vmap(functools.partial(model.init, config)))(
    jax.random.split(jax.random.key(0)))


@functools.cache
def network(write_layers):
  """A tree reader, and the same model with random parameters."""
  instance = tree().instance(GRAMMAR)
  config, params = constructed.tree_reader(
    tree(), instance, write_layers, n_layers=6)
  config = dataclasses.replace(config, unroll=1)  # quick to compile
  first = jax.tree.map(lambda w: w[0], initial(config))
  return config, params, first, tree(), instance


@functools.cache
def known(write_layers):
  return decodability.measure(*network(write_layers), seed=0, examples=1024)


@functools.cache
def used(write_layers):
  return interchange.measure(*network(write_layers), seed=0, examples=512,
                             pairs=PAIRS)


@pytest.mark.parametrize('write_layers', WRITE_LAYERS)
def test_reads_every_root(write_layers):
  config, params, _, source, instance = network(write_layers)
  leaves_BT = np.random.default_rng(0).integers(4, size=(512, 8))
  tokens_BT = source.tokens(leaves_BT)
  belief = jax.jit(source.posteriors)(instance, tokens_BT)[3][:, 0]
  logits_BTV = jax.jit(functools.partial(model.apply, config))(
    params, tokens_BT).logits_BTV
  np.testing.assert_array_equal(
    logits_BTV[:, source.root_position].argmax(-1), belief.argmax(-1))


@pytest.mark.parametrize('write_layers', WRITE_LAYERS)
def test_decodability_finds_the_layer_of_each_level(write_layers):
  result = known(write_layers)
  layers = decodability.emergence(result.score)
  # Nothing is known of a level before its layer and all of it after, so nine
  # tenths are crossed within the last tenth of a layer or two.
  np.testing.assert_array_equal(np.ceil(layers), write_layers)
  assert (np.asarray(write_layers) - layers < 0.2).all()
  for level, layer in enumerate(write_layers):
    np.testing.assert_array_equal(result.accuracy[layer:, level], 1)
    assert result.score[:layer, level].max() < 0.5
  # Judged without level 1, as the claim does: (1, 2, 3) is a layer a level,
  # (2, 3, 5) two.
  assert decodability.order(result.levels[1:], layers[1:]) == pytest.approx(
    write_layers[2] - write_layers[1], abs=0.2)


def test_control_tasks_are_not_read_where_the_levels_are():
  result = known(WRITE_LAYERS[0])
  selectivity = (result.accuracy - result.accuracy_control)[-1]
  assert (selectivity[1:] > 0.4).all()
  assert result.accuracy_control[:, -1] == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize('write_layers', WRITE_LAYERS)
def test_interchange_works_from_where_a_level_is_written(write_layers):
  result = used(write_layers)
  assert (result.pairs == PAIRS).all()
  np.testing.assert_array_equal(result.ceiling, 1)
  until = [*write_layers[1:], 7]
  for level, (start, stop) in enumerate(zip(write_layers, until)):
    assert result.accuracy[start:stop, level].min() > 0.9
    assert result.accuracy[:start, level].max() < 0.75
    assert result.accuracy[stop:, level].max(initial=0) < 0.75
  # What is not computed at all yet cannot be moved.
  assert result.accuracy[:write_layers[0]].max() < 0.2


@pytest.mark.parametrize('write_layers', WRITE_LAYERS)
def test_normalised_interchange_reaches_one_and_the_null_nothing(write_layers):
  """The threshold of the claim, 0.6, lies between."""
  result, layers = used(write_layers), np.array(write_layers, float)
  assert result.normalised(layers) > 0.9
  assert result.normalised(np.array([np.nan, *layers[1:]])) > 0.9
  assert result.normalised(np.zeros(3)) < 0.1
  assert np.isnan(result.normalised(np.full(3, np.nan)))
  null = result._replace(accuracy=result.accuracy_init)
  assert null.normalised(layers) == 0


def test_random_subspaces_and_networks_do_not_pass():
  result = used(WRITE_LAYERS[0])
  assert result.accuracy_random.max() < 0.2
  # Any symbol that is not the base's may come out: a third, at the most.
  assert result.accuracy_init.max() < 0.45


def test_nothing_emerges_between_two_random_networks():
  config, _, first, source, instance = network(WRITE_LAYERS[0])
  second = jax.tree.map(lambda w: w[1], initial(config))
  null = decodability.measure(
    config, second, first, source, instance, seed=0, examples=1024)
  # What is highest of seven layers of noise is no level that is known.
  assert np.nanmax(null.score[:, 1:]) < 0.3
  assert np.abs(null.score).max() < 0.3
  assert np.abs(np.nanmean(null.score)) < 0.1
  assert (null.accuracy < 0.9).all()


@pytest.mark.parametrize(('write_layers', 'n_layers', 'fields'), [
  ((1, 3, 2), 4, {}), ((1, 2), 3, {}), ((0, 1, 2), 3, {}), ((1, 2, 3), 3, {}),
  ((1, 2, 3), 4, {'filter_level': 1})])
def test_layers_that_no_network_can_have(write_layers, n_layers, fields):
  source = tree(**fields)
  with pytest.raises(ValueError, match='must ascend'):
    constructed.tree_reader(source, source.instance(0), write_layers, n_layers)
