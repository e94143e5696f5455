import dataclasses

import jax
import pytest

from data import DataConfig
from data.sources.text import TextConfig
from experiments.foresight import collectives, prediction
from experiments.sweeps import overrides
from experiments.sweeps.configs import CONFIGS
from model import AttentionConfig, ModelConfig, backend, count
from model.config import ConfigError
from train import Config, MeshConfig, TrainConfig, placement, programs

TINY = Config(
  ModelConfig(n_layers=8, d_model=32, mixer=AttentionConfig(n_heads=4),
              vocab_size=257, max_length=16, unroll=1),
  DataConfig(TextConfig(length=16), batch_size=16), TrainConfig(chunk_steps=10),
  MeshConfig(replica=1, data=-1))


def lowered(config):
  mesh = placement.make_mesh(config.mesh)
  source = prediction.abstract_source(config, 2**16)
  return prediction.lower(config, mesh, source)


def test_data_parallel_training_reduces_the_gradients_once():
  text = lowered(TINY).compile().as_text()
  steps = TINY.train.chunk_steps
  total = collectives.totals(collectives.read(text, steps), steps)
  assert set(total) == {'all-reduce'}
  gradients = 4 * count.parameters(TINY.model).total
  # Beside them only sums over the batch: the loss and its weight.
  assert gradients <= total['all-reduce'].bytes <= gradients + 64
  assert total['all-reduce'].wire_bytes == pytest.approx(
    2 * 7 / 8 * gradients, rel=1e-3)


def test_more_layers_in_the_loop_mean_more_bytes():
  def reduced(n):
    config = dataclasses.replace(
      TINY, model=dataclasses.replace(TINY.model, n_layers=n))
    text = lowered(config).compile().as_text()
    total = collectives.totals(collectives.read(text, 10), 10)
    return total['all-reduce'].bytes

  def layers(n):
    return 4 * count.parameters(
      dataclasses.replace(TINY.model, n_layers=n)).stack

  assert reduced(16) - reduced(8) == layers(16) - layers(8)


def test_unread_text_compiles_to_the_program_that_training_runs(tmp_path):
  text = tmp_path / 'text.txt'
  text.write_text('\n\n'.join(f'Paragraph {i} of a few words.'
                              for i in range(400)))
  config = programs.complete(overrides.replace(
    TINY, {'data.source.text_path': str(text)}))
  mesh = placement.make_mesh(config.mesh)
  training = programs.build(programs.shape(config), mesh, True)
  hyper = programs.hyper([config])
  instance, _ = programs.instances([config])
  real = training.chunk.lower(
    training.init(hyper), 1, hyper, instance).compile()
  tokens = len(instance['train'])
  ahead_of_time = prediction.lower(
    config, mesh, prediction.abstract_source(config, tokens)).compile()
  ours, theirs = (c.memory_analysis() for c in (ahead_of_time, real))
  assert ours.temp_size_in_bytes == theirs.temp_size_in_bytes
  assert ours.output_size_in_bytes == theirs.output_size_in_bytes
  assert (ahead_of_time.cost_analysis()['flops']
          == real.cost_analysis()['flops'])


def test_a_tokenizer_in_a_file_needs_the_size_of_its_vocabulary():
  config = overrides.replace(TINY, {
    'data.source.tokenizer': 'some.model', 'model.vocab_size': 0})
  with pytest.raises(ConfigError, match=r'model\.vocab_size'):
    prediction.abstract_source(config, 100)


@pytest.mark.parametrize(('message', 'sizes'), [
  ('RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in '
   'memory space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by '
   '4.75G.', (round(20.5 * 2**30), round(15.75 * 2**30))),
  ('RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required '
   'for HLO temporaries (60.17G) exceeds available HBM (15.75G).',
   (round(60.17 * 2**30), round(15.75 * 2**30))),
  ('RESOURCE_EXHAUSTED: Used 1.00T of 512.00M hbm', (2**40, 2**29)),
  ('RESOURCE_EXHAUSTED: out of memory', (None, None)),
  ('INVALID_ARGUMENT: no such thing', None),
])
def test_the_compilers_word_for_too_little_memory(message, sizes):
  assert prediction.out_of_memory(message) == sizes


@pytest.mark.parametrize(('name', 'parameters'), [
  ('lm-small', 231_936), ('lm-125m', 124_439_040), ('lm-1b', 1_100_048_384)])
def test_configs_that_ship(name, parameters):
  config = CONFIGS[name]
  config.validate()
  source = prediction.abstract_source(config, 100)
  model = dataclasses.replace(config.model, vocab_size=source.vocab_size,
                              max_length=source.length)
  assert count.parameters(model).total == parameters
  # One axis takes all the devices there are.
  assert [getattr(config.mesh, axis) for axis in placement.AXES].count(-1) == 1


def test_a_model_can_be_traced_for_a_platform_that_is_not_here():
  here = backend.platform()
  with backend.compiling_for('tpu'):
    assert backend.platform() == 'tpu'
  assert backend.platform() == here == jax.default_backend()
