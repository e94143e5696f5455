import dataclasses
import logging

import pytest

from data import DataConfig
from model import AttentionConfig, ConfigError, ModelConfig, PlainFeedForward
from train import Config, MeshConfig, fitting, programs

FITS = Config(
  model=ModelConfig(d_model=64, vocab_size=64,
                    mixer=AttentionConfig(n_heads=8, n_kv_heads=4)),
  data=DataConfig(batch_size=16), mesh=MeshConfig(replica=1))


def changed(**rooms):
  return dataclasses.replace(FITS, **{
    room: dataclasses.replace(getattr(FITS, room), **fields)
    for room, fields in rooms.items()})


@pytest.mark.parametrize('axes', [
  {'data': 8}, {'fsdp': 8}, {'tensor': 4}, {'data': 2, 'tensor': 4},
  {'data': -1}])
def test_what_fits_passes(axes):
  fitting.validate(changed(mesh=axes), devices=8)


@pytest.mark.parametrize(('rooms', 'message'), [
  ({'mesh': {'tensor': 8}},
   r'model.mixer.n_kv_heads: 4 .*mesh.tensor=8; use 8, or mesh.tensor of 1, 2, '
   '4$'),
  ({'model': {'mixer': AttentionConfig(n_heads=6, d_head=8)},
    'mesh': {'tensor': 4}},
   r'model.mixer.n_heads: 6 .*use 4 or 8, or mesh.tensor of 1, 2, 3$'),
  ({'model': {'feed_forward': PlainFeedForward(1.5)}, 'mesh': {'tensor': 64}},
   r'model.feed_forward.multiple: .*width of 96 .*use one of 64 or 128'),
  ({'model': {'d_model': 72}, 'mesh': {'fsdp': 16}},
   r'model.d_model: 72 .*mesh.fsdp=16; use 64 or 80, or mesh.fsdp of 1, 2, 3'),
  ({'data': {'batch_size': 12}, 'mesh': {'data': 4, 'fsdp': 2}},
   r'data.batch_size: 12 .*mesh.data=4 x mesh.fsdp=2 x train.microbatches=1 '
   r'= 8; use 8 or 16'),
  ({'train': {'microbatches': 4}, 'mesh': {'data': 8}},
   r'data.batch_size: 16 .*= 32; use 32'),
  ({'mesh': {'compile': 'pmap', 'fsdp': 2, 'data': 4}},
   r'mesh.fsdp: 2, but mesh.compile=pmap .*mesh.data=8, or mesh.compile=jit'),
  ({'mesh': {'data': 16, 'fsdp': 8}},
   r'needs 128 devices and there are 64; use mesh.data=8 or less'),
  ({'mesh': {'fsdp': 0}}, r'mesh.fsdp: 0 must be at least 1'),
])
def test_what_does_not_fit_is_named_with_the_values_that_work(rooms, message):
  with pytest.raises(ConfigError, match=message):
    fitting.validate(changed(**rooms), devices=64)


def test_everything_that_does_not_fit_is_said_at_once():
  wrong = changed(model={'mixer': AttentionConfig(6, n_kv_heads=3, d_head=8)},
                  data={'batch_size': 9}, mesh={'data': 2, 'tensor': 4})
  with pytest.raises(ConfigError) as error:
    fitting.validate(wrong, devices=8)
  assert [line.split(':')[0] for line in str(error.value).splitlines()] == [
    'model.mixer.n_heads', 'model.mixer.n_kv_heads', 'data.batch_size']


def test_a_vocabulary_that_stays_whole_is_logged(caplog):
  fitting._log_whole.cache_clear()
  with caplog.at_level(logging.WARNING):
    fitting.validate(changed(model={'vocab_size': 50257}, mesh={'tensor': 4}),
                     devices=4)
  assert 'model.vocab_size=50260 would split' in caplog.text


def test_programs_are_checked_before_they_are_traced():
  from train import placement
  wrong = changed(train={'microbatches': 3})
  with pytest.raises(ConfigError, match='microbatches=3'):
    programs.build(programs.shape(wrong), placement.make_mesh(wrong.mesh), True)
