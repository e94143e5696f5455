import dataclasses

import jax
import numpy as np
import pytest
from test_loop import BASE, assert_same, configs, losses

import train
from data.batch import Batch
from train import feeds, placement, programs
from train.config import MeshConfig


class Streamed:
  """Windows of a token array that the host reads."""

  streams = True
  vocab_size = 7
  length = 6
  groups = ('all',)
  bytes_V = None
  fingerprint = None

  def __init__(self):
    self.tokens = np.random.default_rng(0).integers(0, 7, 500).astype(np.int32)

  def host_batch(self, seed, split, step, batch_size, rows=slice(None)):
    start_B = np.random.default_rng([seed, step, split == 'train']).integers(
      0, 500 - self.length - 1, batch_size)[rows]
    window_BT = self.tokens[start_B[:, None] + np.arange(self.length + 1)]
    return Batch(window_BT[:, :-1], window_BT[:, 1:],
                 np.ones(window_BT[:, 1:].shape, np.float32),
                 np.zeros(len(start_B), np.int32))

  def evaluation_steps(self, split, batch_size):
    return None if split == 'train' else 3


class OnDevice(Streamed):
  """The same batches from constants on the device."""

  streams = False

  def instance(self, seed):
    whole = {split: [self.host_batch(0, split, s, 8) for s in range(12)]
             for split in ('train', 'validation')}
    return {k: Batch(*(np.stack(x) for x in zip(*v)))
            for k, v in whole.items()}

  def batch(self, instance, seed, split, step, batch_size):
    return Batch(*(x[step] for x in instance[split]))


def use(source, monkeypatch):
  monkeypatch.setattr(programs, 'source_of', lambda _: source)
  monkeypatch.setattr(programs, 'own_source', lambda *_: source)
  programs.build.cache_clear()
  model = dataclasses.replace(BASE.model, mask='causal', vocab_size=7,
                              max_length=6)
  return dataclasses.replace(BASE, model=model)


@pytest.fixture(autouse=True)
def own_programs():
  yield
  programs.build.cache_clear()


def test_streamed_batches_train_as_those_on_the_device(tmp_path, monkeypatch):
  resident = train.fit(configs(base=use(OnDevice(), monkeypatch)),
                       tmp_path / 'resident')
  members = configs(base=use(Streamed(), monkeypatch))
  streamed = train.fit(members, tmp_path / 'streamed')
  # Two programs, so equal up to rounding; the batches are the same.
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-7),
               resident.params, streamed.params)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5),
               losses(tmp_path / 'resident'), losses(tmp_path / 'streamed'))
  scores = train.evaluate(members, streamed, 'validation')
  use(OnDevice(), monkeypatch)
  np.testing.assert_allclose(
    scores['loss'], train.evaluate(members, resident, 'validation')['loss'],
    1e-6)


def test_a_resumed_stream_reads_the_same_batches(tmp_path, monkeypatch):
  members = configs(base=use(Streamed(), monkeypatch), checkpoint_every=4)
  whole = train.fit(members, tmp_path / 'whole')

  def die(step, rate):
    if step >= 8:
      raise InterruptedError

  with pytest.raises(InterruptedError):
    train.fit(members, tmp_path / 'cut', train.Hooks(progress=die))
  assert_same(whole.params, train.fit(members, tmp_path / 'cut').params)


def test_each_device_holds_only_its_rows(monkeypatch):
  members = configs(seeds=(0, 1), base=use(Streamed(), monkeypatch))
  layout = placement.make_mesh(MeshConfig(replica=2, data=2, fsdp=2),
                               replicas=2)
  stream = feeds.Stream(Streamed(), members, layout, lambda step: step + 3)
  try:
    batch = jax.tree.map(np.asarray, stream.take(0, 3))['batches']
    tokens = stream.take(3, 6)['batches'].tokens_BT
  finally:
    stream.close()
  assert tokens.addressable_shards[0].data.shape == (1, 5, 2, 6)
  for r, seed in enumerate((0, 1)):
    for step in range(3):
      expected = Streamed().host_batch(seed, 'train', step, 8)
      np.testing.assert_array_equal(batch.tokens_BT[r, step],
                                    expected.tokens_BT)

