"""What a number of layers can do, by networks whose weights are set by hand."""

import jax
import numpy as np
import pytest

import model
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.instruments.pointer_chasing import constructed


def accuracy(source, network, prompts=1000):
  """By link count, over all scored queries; and how many there were."""
  config, params = network
  batch = source.batch({}, 100, 'validation', 0, prompts)
  logits_BTV = jax.jit(model.apply, static_argnums=0)(
    config, params, batch.tokens_BT).logits_BTV
  asked_BT = np.asarray(batch.weights_BT) > 0
  hits_BT = np.asarray(logits_BTV.argmax(-1) == batch.targets_BT)
  by_hops = {k: hits_BT[np.asarray(batch.group_B) == g][
    asked_BT[np.asarray(batch.group_B) == g]].mean()
    for g, k in enumerate(source.hops)}
  return by_hops, asked_BT.sum()


@pytest.mark.parametrize('queries', ['all', 'one'])
def test_two_layers_answer_up_to_four_links(queries):
  source = PointerChasingConfig(hops=(1, 2, 3, 4), queries=queries).open()
  network = constructed.two_layers(source)
  assert (network[0].n_layers, network[0].d_model) == (2, 95)
  prompts = {'all': 4000, 'one': 3000}[queries]
  by_hops, asked = accuracy(source, network, prompts)
  assert asked == {'all': 36_000, 'one': 3000}[queries]
  assert by_hops == {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}


@pytest.mark.parametrize('queries', ['all', 'one'])
def test_one_layer_answers_two_links(queries):
  source = PointerChasingConfig(hops=(2,), queries=queries).open()
  network = constructed.one_layer(source)
  assert (network[0].n_layers, network[0].ff_width) == (1, 72)
  by_hops, _ = accuracy(source, network)
  assert by_hops == {2: 1.0}


def test_one_layer_answers_one_and_two_links():
  source = PointerChasingConfig(hops=(1, 2), queries='all').open()
  by_hops, _ = accuracy(source, constructed.one_layer(source))
  assert by_hops == {1: 1.0, 2: 1.0}


def test_an_answer_is_lost_with_the_head_that_finds_it():
  source = PointerChasingConfig(hops=(1, 2), queries='all').open()
  config, params = constructed.one_layer(source)
  params['stack']['mixer']['w_o_HKD'][0, 1] = 0  # the bag of edges
  by_hops, _ = accuracy(source, (config, params))
  assert by_hops[1] == 1.0
  assert by_hops[2] < 0.2


@pytest.mark.parametrize(('build', 'hops'), [
  (constructed.two_layers, (5,)), (constructed.one_layer, (1, 3))])
def test_no_network_is_made_for_more_links(build, hops):
  source = PointerChasingConfig(symbols=11, hops=hops).open()
  with pytest.raises(ValueError, match='at most'):
    build(source)
