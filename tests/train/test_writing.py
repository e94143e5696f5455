"""A child replays what its parent writes, and the same when it is resumed."""

import dataclasses

import jax
import numpy as np
import pytest
from test_loop import Killed, assert_same

import train
from data import DataConfig
from data.sources.generative_replay import GenerativeReplayConfig
from data.sources.mixture import MixtureConfig, Part
from data.sources.new_tokens import NewTokensConfig
from model import AttentionConfig, ConfigError, ModelConfig
from train import Config, TrainConfig, programs, writing

NEW = NewTokensConfig('new', 0.5, length=5)
REPLAY = GenerativeReplayConfig(NewTokensConfig('old', length=5), texts=40)
BASE = Config(
  ModelConfig(n_layers=1, d_model=16, base_width=16,
              mixer=AttentionConfig(n_heads=2)),
  DataConfig(MixtureConfig((Part(NEW), Part(REPLAY))), batch_size=4),
  TrainConfig(steps=8, chunk_steps=4, evaluation_batches=1))


def runs(seeds=(5, 6), **fields):
  return [programs.complete(dataclasses.replace(
    BASE, train=dataclasses.replace(BASE.train, seed=seed, **fields)))
    for seed in seeds]


def only(token):
  """Parameters of a model that says one token and no other."""
  params = jax.tree.map(np.array, train.initial(runs()[0]))
  params['unembedding']['w_DV'][:] = 0
  params['norm']['scale_D'][:] = 0
  params['norm']['b_D'][:] = 1
  params['unembedding']['w_DV'][:, token] = 100
  return params


def text(params, config=None):
  config = config or runs()[0]
  source = programs.own_source(config)
  return writing.instance(config, source, lambda: params)['parts'][1]['texts']


def test_it_writes_what_the_model_says_after_a_beginning_of_the_old_text():
  written = text(only(7))
  assert written.shape == (40, 6)
  assert (written[:, 1:] == 7).all()
  assert len(set(written[:, 0])) > 10
  assert (written[:, 0] < 48).all()


def test_it_draws_in_proportion_to_the_models_probabilities():
  config = runs()[0]
  params = only(7)
  params['unembedding']['w_DV'][:, (7, 9)] = np.log([3, 1]) / 16
  params['unembedding']['w_DV'][:, [i for i in range(60) if i not in (7, 9)]
                                ] = -100
  begun = np.zeros((4000, 1), np.int32)
  said = writing.writer(config.model, params, 0)(begun, 3)[:, 1:]
  assert (said == 7).mean() == pytest.approx(0.75, abs=0.02)
  assert (said == 9).mean() == pytest.approx(0.25, abs=0.02)


def test_texts_are_a_function_of_the_parent_and_the_seed():
  parent = train.initial(runs()[0])
  assert_same(text(parent), text(parent))
  assert (text(parent) != text(parent, runs(seeds=(6,))[0])).any()
  assert (text(parent) != text(train.initial(runs(seeds=(9,))[0]))).any()


def test_each_replica_reads_its_own_parents_text(tmp_path):
  fitted = train.fit(runs(), tmp_path, start=[lambda: only(7), lambda: only(9)])
  written = np.asarray(fitted.instance['parts'][1]['texts'])[:, :, 1:]
  assert (written[0] == 7).all()
  assert (written[1] == 9).all()


def test_a_resumed_run_replays_the_same_text(tmp_path):
  configs = runs(checkpoint_every=4)
  parents = [lambda: train.initial(runs((0,))[0])] * 2
  whole = train.fit(configs, tmp_path / 'whole', start=parents)

  def die(step, rate):
    if step >= 4:
      raise Killed

  with pytest.raises(Killed):
    train.fit(configs, tmp_path / 'cut', train.Hooks(progress=die),
              start=parents)
  resumed = train.fit(configs, tmp_path / 'cut', start=parents)
  assert_same(whole.params, resumed.params)
  assert_same(whole.instance, resumed.instance)


def test_random_parameters_have_nothing_to_replay(tmp_path):
  with pytest.raises(ConfigError, match='start the run from another'):
    train.fit(runs(), tmp_path)


def test_a_traced_field_of_a_source_shapes_each_replicas_constants():
  configs = [dataclasses.replace(c, data=dataclasses.replace(
    c.data, source=dataclasses.replace(NEW, similarity=s)))
    for c, s in zip(runs(), (0.0, 1.0))]
  assert programs.shape(configs[0]).data == programs.shape(configs[1]).data
  stacked, shared = programs.instances(configs)
  assert not shared
  for r, config in enumerate(configs):
    own = config.data.source.open().instance(config.data.seed)
    np.testing.assert_array_equal(stacked['transition_VV'][r],
                                  own['transition_VV'])
