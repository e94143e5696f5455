import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from data import DataConfig
from data.sources.text import TextConfig
from experiments.commands import aot, main
from experiments.foresight import collectives, prediction, roofline, topology
from experiments.machine import accelerators
from experiments.sweeps import overrides
from experiments.sweeps.configs import CONFIGS
from model import AttentionConfig, ModelConfig, count
from model.config import ConfigError
from train import Config, MeshConfig, TrainConfig, placement, program

ROOT = Path(__file__).parents[3]
TINY = Config(
  ModelConfig(n_layers=8, d_model=32, mixer=AttentionConfig(n_heads=4),
              vocab_size=257,
              max_length=16, unroll=1),
  DataConfig(TextConfig(length=16), batch_size=16), TrainConfig(chunk_steps=10),
  MeshConfig(replica=1, data=-1))
HAS_LIBTPU = importlib.util.find_spec('libtpu') is not None


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
  config = program.complete(overrides.replace(
    TINY, {'data.source.text_path': str(text)}))
  mesh = placement.make_mesh(config.mesh)
  built = program.build(program.shape(config), mesh, True)
  hyper = program.hyper([config])
  instance, _ = program.instances([config])
  real = built.chunk.lower(built.init(hyper), 1, hyper, instance).compile()
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


def test_a_roofline_is_bound_by_the_slowest_part():
  v5e = accelerators.find('TPU v5 lite')
  # One second of products, half of memory, a quarter of links.
  roof = roofline.estimate(v5e, 'bfloat16', v5e.bfloat16,
                           v5e.memory_bandwidth / 2, v5e.link_bandwidth / 4)
  assert (roof.bound, roof.fastest, roof.slowest) == ('compute', 1.0, 1.75)
  assert roof.mfu(roof.fastest) == 1.0
  assert roof.mfu(roof.slowest) == pytest.approx(1 / 1.75)


def test_a_card_without_links_talks_over_pcie():
  card = accelerators.find('NVIDIA L4')
  roof = roofline.estimate(card, 'bfloat16', 1, 1, 32e9)
  assert roof.network == 1.0
  assert roof.bound == 'network'


@pytest.mark.parametrize(('message', 'found'), [
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
def test_the_compilers_word_for_too_little_memory(message, found):
  assert prediction.out_of_memory(message) == found


def test_what_does_not_fit_is_told_with_numbers_and_a_way_out():
  wanted = topology.parse('v5e-16')
  large = dataclasses.replace(
    TINY, data=dataclasses.replace(TINY.data, batch_size=64))
  said = aot.refusal(large, wanted, 20 * 2**30, 15 * 2**30)
  assert said.startswith('does not fit: needs 20.00 GiB, has 15.00 GiB')
  assert '--config.model.dtype=bfloat16' in said
  assert '--config.mesh.fsdp=-1' in said
  assert '--config.train.microbatches=2' in said
  assert '--config.model.remat=dots' in said
  sharded = dataclasses.replace(
    TINY, mesh=MeshConfig(replica=1, fsdp=-1),
    model=dataclasses.replace(TINY.model, dtype='bfloat16', remat='full'))
  said = aot.refusal(sharded, wanted, None, None)
  assert 'needs more than 16.00 GiB' in said
  assert 'bfloat16' not in said
  assert 'fsdp' not in said
  assert 'microbatches' not in said  # 16 examples on 16 devices
  assert 'remat' not in said


def test_the_page_tells_every_part():
  report = prediction.Report(
    topology.parse('v5e-16'), {'replica': 1, 'data': 8}, 1_000_000, 2048,
    prediction.Memory(3 * 2**30, 2**30, 2**30, 2**31, 0), 2**34, 1e12, 2**33,
    {'all-reduce': collectives.Total(3, 2**20, 2**21)},
    roofline.Roofline(1.0, 0.5, 0.25, 1e12, 1e12))
  assert report.memory.peak == 5 * 2**30
  assert report.fits
  page = aot.page(report)
  for words in ('data=8; 8 of 16 devices', '1,000,000 parameters', '5.00 GiB',
                'all-reduce, 3 times: 1.00 MiB, of which a device sends '
                '2.00 MiB', 'bound by compute', 'at most 100.0%', '57.1%',
                '8 devices stay idle'):
    assert words in page


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


@pytest.mark.parametrize(('arguments', 'says'), [
  (['aot'], 'name one config'),
  (['aot', 'lm-125', '--topology=v5e-4'], 'did you mean lm-125m'),
  (['aot', 'lm-small'], '--topology is missing'),
  (['aot', 'lm-small', '--topology=v5e-5'], 'v5p-N'),
  (['aot', 'lm-small', '--topology=v5e-4', '--config.model.n_layer=2'],
   'did you mean --config.model.n_layers'),
])
def test_bad_usage_is_exit_code_2(arguments, says, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(arguments)
  assert stopped.value.code == 2
  assert says in capsys.readouterr().err


@pytest.mark.skipif(HAS_LIBTPU, reason='the tpu extra is installed')
def test_without_the_extra_it_is_named(capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(['aot', 'lm-small', '--topology=v5e-4'])
  assert stopped.value.code == 3
  message = capsys.readouterr().err
  assert 'make EXTRAS=tpu' in message
  assert 'fathom[tpu]' in message


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LIBTPU, reason='needs the tpu extra')
@pytest.mark.parametrize(('batch', 'code', 'says'), [
  (32, 0, 'A step takes'), (2**19, 1, 'does not fit: needs')])
def test_tpus_that_are_not_here(batch, code, says):
  """In a process of its own: it must come before any device is touched."""
  done = subprocess.run(
    [sys.executable, '-m', 'experiments', 'aot', 'lm-small',
     '--topology=v5e-4', f'--config.data.batch_size={batch}'],
    cwd=ROOT, capture_output=True, text=True, check=False,
    env={**os.environ, 'XLA_FLAGS': ''})
  assert done.returncode == code, done.stderr
  assert says in done.stdout


def test_a_model_can_be_traced_for_a_platform_that_is_not_here():
  from model import backend
  here = backend.platform()
  with backend.compiling_for('tpu'):
    assert backend.platform() == 'tpu'
  assert backend.platform() == here == jax.default_backend()
