import dataclasses
import json

import jax
import numpy as np
import pytest

import train
from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from model import AttentionConfig, ModelConfig, NoPosition
from train import (
  Config,
  MeshConfig,
  TrainConfig,
  ensemble,
  metrics,
  placement,
  programs,
)
from train.checkpoint import Checkpoints

BASE = Config(
  model=ModelConfig(n_layers=2, d_model=16, mixer=AttentionConfig(n_heads=2),
                    position=NoPosition(),
                    mask='bidirectional', base_width=16),
  data=DataConfig(PointerChasingConfig(symbols=5, hops=(1, 2)), batch_size=8),
  train=TrainConfig(steps=12, chunk_steps=5, learning_rate=3e-3,
                    evaluation_batches=2),
  mesh=MeshConfig(replica=1),
)


# Batched products sum in another order, and Adam turns the rounding error of a
# gradient near zero into part of a step: 12 steps of up to 1e-2 here.
ROUNDING = 5e-5


def configs(seeds=(0,), rates=(3e-3,), base=BASE, **fields):
  base = dataclasses.replace(
    base, train=dataclasses.replace(base.train, **fields))
  return [programs.complete(dataclasses.replace(
    base, train=dataclasses.replace(base.train, seed=s, learning_rate=r)))
    for s in seeds for r in rates]


def assert_same(a, b):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(x, y)


def losses(folder):
  text = (folder / 'metrics.jsonl').read_text()
  lines = [json.loads(x) for x in text.splitlines()]
  return [(line['step'], line['loss']) for line in lines
          if line['split'] == 'train']


def timeless(folder):
  """The lines of metrics.jsonl without what the clock says."""
  clock = ('seconds', 'data_wait')
  return [{k: v for k, v in line.items() if k not in clock}
          for line in metrics.read(folder / 'metrics.jsonl')]


def test_takes_exactly_the_declared_number_of_updates(tmp_path):
  members = configs(steps=7, chunk_steps=5, checkpoint_every=7)
  train.fit(members, tmp_path)
  assert [s for s, _ in losses(tmp_path)] == [5, 7]
  config = programs.shape(members[0])
  one = placement.make_mesh(config.mesh)
  shapes = jax.eval_shape(programs.build(config, one, True).init,
                          programs.hyper(members))
  like = jax.tree.map(
    lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
    shapes, placement.shardings(shapes, one))
  with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
    state = checkpoints.restore(7, like)
  counts = [x for path, x in jax.tree_util.tree_leaves_with_path(
    state['opt_state']) if getattr(path[-1], 'name', '') == 'count']
  assert counts
  assert {int(x[0]) for x in counts} == {int(state['step'])} == {7}


def test_training_lowers_the_loss(tmp_path):
  train.fit(configs(steps=120, chunk_steps=20, learning_rate=1e-2), tmp_path)
  curve = [loss[0] for _, loss in losses(tmp_path)]
  assert curve[-1] < curve[0] - 0.3


def test_ensemble_equals_separate_runs(tmp_path):
  together = train.fit(configs(seeds=(0, 1), rates=(1e-3, 1e-2)),
                       tmp_path / 'all')
  for r, config in enumerate(configs(seeds=(0, 1), rates=(1e-3, 1e-2))):
    alone = train.fit([config], tmp_path / str(r))
    for a, b in zip(jax.tree.leaves(together.params),
                    jax.tree.leaves(alone.params), strict=True):
      np.testing.assert_allclose(a[r], b[0], atol=ROUNDING)


def test_replicas_over_eight_devices_equal_one_device(tmp_path):
  many = dataclasses.replace(BASE, mesh=MeshConfig(replica=8))
  spread = train.fit(configs(seeds=range(8), base=many), tmp_path / 'many')
  single = train.fit(configs(seeds=range(8)), tmp_path / 'one')
  for a, b in zip(jax.tree.leaves(spread.params),
                  jax.tree.leaves(single.params), strict=True):
    assert len(a.sharding.device_set) == 8
    np.testing.assert_allclose(a, b, atol=ROUNDING)


class Killed(Exception):
  pass


@pytest.mark.parametrize('dies_at', [5, 8, 10])
def test_resumed_run_is_bit_identical(tmp_path, dies_at):
  members = configs(seeds=(0, 1), checkpoint_every=4, evaluate_every=6)
  whole = train.fit(members, tmp_path / 'whole')

  def die(step, rate):
    if step >= dies_at:
      raise Killed

  with pytest.raises(Killed):
    train.fit(members, tmp_path / 'cut', train.Hooks(progress=die))
  resumed = train.fit(members, tmp_path / 'cut')
  assert_same(whole.params, resumed.params)
  assert_same(whole.initial, resumed.initial)
  assert timeless(tmp_path / 'whole') == timeless(tmp_path / 'cut')


def test_damaged_newest_checkpoint_is_skipped_for_the_one_before(tmp_path):
  members = configs(checkpoint_every=4)
  whole = train.fit(members, tmp_path / 'run')
  newest = max((tmp_path / 'run' / 'checkpoints').iterdir(),
               key=lambda p: int(p.name))
  for file in newest.rglob('*'):
    if file.is_file():
      file.write_bytes(file.read_bytes()[:10])
  again = train.fit(members, tmp_path / 'run')
  assert_same(whole.params, again.params)


def test_the_start_of_a_replica_is_that_of_its_run_alone(tmp_path):
  many = dataclasses.replace(BASE, mesh=MeshConfig(replica=4, fsdp=2))
  for base in (BASE, many):
    members = configs(seeds=(3, 7), rates=(1e-3, 1e-2), base=base, steps=1)
    members[1] = dataclasses.replace(members[1], model=dataclasses.replace(
      members[1].model, init_scale=0.37))
    fitted = train.fit(members, tmp_path / str(base.mesh.fsdp))
    for r, config in enumerate(members):
      assert_same(jax.tree.map(lambda x, r=r: x[r], fitted.initial),
                  train.initial(config))


def test_initial_values_of_a_large_model_are_not_held_twice(
    tmp_path, monkeypatch):
  monkeypatch.setattr(ensemble, 'SMALL', 100)
  assert train.fit(configs(steps=1), tmp_path).initial is None


def test_a_diverging_replica_does_not_touch_the_others(tmp_path):
  members = configs(rates=(1e-3, 1e38))
  fitted = train.fit(members, tmp_path / 'both')
  assert train.survived(fitted).tolist() == [True, False]
  assert 0 < int(fitted.diverged[1]) < 12
  alone = train.fit([members[0]], tmp_path / 'alone')
  for a, b in zip(jax.tree.leaves(fitted.params),
                  jax.tree.leaves(alone.params), strict=True):
    assert np.isfinite(a).all()
    np.testing.assert_allclose(a[0], b[0], atol=ROUNDING)


def test_chunk_length_does_not_change_the_result(tmp_path):
  a = train.fit(configs(chunk_steps=5), tmp_path / 'a')
  b = train.fit(configs(chunk_steps=12), tmp_path / 'b')
  assert_same(a.params, b.params)


def test_evaluation_is_on_the_same_examples_for_every_seed(tmp_path):
  members = configs(seeds=(0, 1))
  fitted = train.fit(members, tmp_path)
  scores = train.evaluate(members, fitted, 'validation')
  assert scores['loss'].shape == (2, 2)
  first = jax.tree.map(lambda x: jax.numpy.stack([x[0], x[0]]), fitted.params)
  twice = train.evaluate(members, dataclasses.replace(fitted, params=first),
                         'validation')
  np.testing.assert_array_equal(twice['loss'][0], twice['loss'][1])
