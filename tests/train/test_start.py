"""A run starts from another's parameters, or says why it cannot."""

import dataclasses

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from test_loop import BASE, Killed, assert_same, configs

import train
from model import ConfigError, LearnedPosition
from train import programs
from train.trainable import LowRank


def changed(**fields):
  return dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, **fields))


@pytest.fixture(scope='module')
def parents(tmp_path_factory):
  """Host parameters of two trained runs."""
  fitted = train.fit(configs(seeds=(0, 1)), tmp_path_factory.mktemp('parent'))
  return [jax.tree.map(lambda x, r=r: np.asarray(x[r]), fitted.params)
          for r in range(2)]


def loads(parents):
  return [lambda parent=parent: parent for parent in parents]


def test_replicas_start_each_from_its_parent(parents, tmp_path):
  children = configs(seeds=(5, 6))
  fitted = train.fit(children, tmp_path, start=loads(parents))
  for r, parent in enumerate(parents):
    assert_same(jax.tree.map(lambda x, r=r: x[r], fitted.initial), parent)
    assert_same(train.initial(children[r], loads(parents)[r]), parent)
    assert all((x[r] != y).any() for x, y in zip(
      jax.tree.leaves(fitted.params), jax.tree.leaves(parent), strict=True))


def test_a_start_from_the_random_values_of_a_run_is_that_run(tmp_path):
  child = configs(seeds=(0,), steps=1)
  own = train.fit(child, tmp_path / 'own')
  same = train.fit(child, tmp_path / 'same',
                   start=[lambda: train.initial(child[0])])
  assert_same((own.params, own.initial), (same.params, same.initial))


@pytest.mark.parametrize('kind', [train.TrainConfig().trainable,
                                  LowRank(rank=2)])
def test_a_resumed_child_is_bit_identical_and_loads_no_parent(
    kind, parents, tmp_path):
  children = configs(seeds=(5, 6), checkpoint_every=4, trainable=kind)
  whole = train.fit(children, tmp_path / 'whole', start=loads(parents))

  def die(step, rate):
    if step >= 8:
      raise Killed

  def never():
    raise AssertionError('the parent was loaded again')

  with pytest.raises(Killed):
    train.fit(children, tmp_path / 'cut', train.Hooks(progress=die),
              start=loads(parents))
  resumed = train.fit(children, tmp_path / 'cut', start=[never, never])
  assert_same(whole.params, resumed.params)
  assert resumed.initial is None


def test_new_tokens_start_from_the_childs_own_random_rows(parents, tmp_path):
  size = parents[0]['token_embedding']['embedding_VD'].shape[0]
  child = configs(base=changed(vocab_size=size + 3), seeds=(9,))[0]
  found = flatten_dict(train.initial(child, loads(parents)[0]))
  own = flatten_dict(train.initial(child))
  parent = flatten_dict(parents[0])
  tokens, scores = ('token_embedding', 'embedding_VD'), ('unembedding', 'w_DV')
  for path, x in found.items():
    if path not in (tokens, scores):
      np.testing.assert_array_equal(x, parent[path])
  np.testing.assert_array_equal(found[tokens][:size], parent[tokens])
  np.testing.assert_array_equal(found[tokens][size:], own[tokens][size:])
  np.testing.assert_array_equal(found[scores][:, :size], parent[scores])
  np.testing.assert_array_equal(found[scores][:, size:], own[scores][:, size:])
  fitted = train.fit([child], tmp_path, start=loads(parents)[:1])
  assert_same(jax.tree.map(lambda x: x[0], fitted.initial),
              train.initial(child, loads(parents)[0]))


@pytest.mark.parametrize(('fields', 'message'), [
  ({'vocab_size': 4}, r'token_embedding/embedding_VD is \(\d+, 16\) in the '
   r'parent and \(4, 16\) here; give model.vocab_size the value that the '
   r'parent has, or a larger one \(and 1 more\)'),
  ({'n_layers': 3}, r'\(2, 16\) in the parent and \(3, 16\) here; '
   r'give model.n_layers the value that the parent has \('),
  ({'layers': 'tied'}, r'give model.layers the value'),
  ({'position': LearnedPosition()},
   r'position_embedding/embedding_TD is missing in the parent and \(\d+, 16\)'),
  ({'unembedding': 'tied'},
   r'unembedding/w_DV is \(16, \d+\) in the parent and missing here'),
])
def test_what_does_not_fit_is_named_with_the_fix(fields, message, parents):
  child = configs(base=changed(**fields))[0]
  with pytest.raises(ConfigError, match=message):
    train.initial(child, loads(parents)[0])


def test_learned_positions_of_another_length_are_refused():
  short, long = (programs.complete(changed(
    position=LearnedPosition(), max_length=n)) for n in (8, 9))
  parent = train.initial(short)
  with pytest.raises(ConfigError, match=r'position_embedding/embedding_TD is '
                     r'\(8, 16\) .*\(9, 16\) here; give model.max_length'):
    train.initial(long, lambda: parent)
