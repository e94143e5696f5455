"""`fathom aot`: its page, its refusals and its exit codes."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from experiments.commands import forecast, main
from experiments.foresight import collectives, prediction, roofline, topology
from experiments.machine import process
from experiments.sweeps import overrides
from experiments.sweeps.configs import CONFIGS

ROOT = Path(__file__).parents[3]
HAS_LIBTPU = importlib.util.find_spec('libtpu') is not None


def test_what_does_not_fit_is_told_with_numbers_and_a_way_out():
  pod = topology.parse('v5e-16')
  large = overrides.replace(CONFIGS['lm-small'], {'data.batch_size': 64})
  words = forecast.refusal(large, pod, 20 * 2**30, 15 * 2**30)
  assert words.startswith('does not fit: needs 20.00 GiB, has 15.00 GiB')
  assert '--config.model.dtype=bfloat16' in words
  assert '--config.mesh.fsdp=-1' in words
  assert '--config.train.microbatches=2' in words
  assert '--config.model.remat=dots' in words
  frugal = overrides.replace(CONFIGS['lm-small'], {
    'data.batch_size': 16, 'mesh.data': 1, 'mesh.fsdp': -1,
    'model.dtype': 'bfloat16', 'model.remat': 'full'})
  words = forecast.refusal(frugal, pod, None, None)
  assert 'needs more than 16.00 GiB' in words
  assert 'bfloat16' not in words
  assert 'fsdp' not in words
  assert 'microbatches' not in words  # 16 examples on 16 devices
  assert 'remat' not in words


def test_the_page_tells_every_part():
  report = prediction.Report(
    topology.parse('v5e-16'), {'replica': 1, 'data': 8}, 1_000_000, 2048,
    prediction.Memory(3 * 2**30, 2**30, 2**30, 2**31, 0), 2**34, 1e12, 2**33,
    {'all-reduce': collectives.Total(3, 2**20, 2**21)},
    roofline.Roofline(1.0, 0.5, 0.25, 1e12, 1e12))
  assert report.memory.peak == 5 * 2**30
  assert report.fits
  page = forecast.page(report)
  for part in ('data=8; 8 of 16 devices', '1,000,000 parameters', '5.00 GiB',
               'all-reduce, 3 times: 1.00 MiB, of which a device sends '
               '2.00 MiB', 'bound by compute', 'at most 100.0%', '57.1%',
               '8 devices stay idle'):
    assert part in page


@pytest.mark.parametrize(('arguments', 'says'), [
  (['aot'], 'name one config'),
  (['aot', 'lm-125', '--topology=v5e-4'], 'did you mean lm-125m'),
  (['aot', 'lm-small'], '--topology is missing'),
  (['aot', 'lm-small', '--topology=v5e-5'], 'v5p-N'),
  (['aot', 'lm-small', '--topology=v5e-4', '--config.model.n_layer=2'],
   'did you mean --config.model.n_layers'),
])
def test_bad_usage_is_exit_code_2(arguments, says, capsys):
  with pytest.raises(SystemExit) as ending:
    main.main(arguments)
  assert ending.value.code == 2
  assert says in capsys.readouterr().err


@pytest.mark.skipif(HAS_LIBTPU, reason='the tpu extra is installed')
def test_without_the_extra_it_is_named(capsys):
  with pytest.raises(SystemExit) as ending:
    main.main(['aot', 'lm-small', '--topology=v5e-4'])
  assert ending.value.code == 3
  message = capsys.readouterr().err
  assert "pip install -e '.[tpu]'" in message


@pytest.mark.slow
@pytest.mark.skipif(not HAS_LIBTPU, reason='needs the tpu extra')
@pytest.mark.parametrize(('batch', 'code', 'says'), [
  (32, 0, 'A step takes'), (2**19, 1, 'does not fit: needs')])
def test_tpus_that_are_not_here(batch, code, says):
  """In a process of its own: it must come before any device is touched."""
  child = subprocess.run(
    process.command('aot', 'lm-small', '--topology=v5e-4',
                    f'--config.data.batch_size={batch}'),
    cwd=ROOT, capture_output=True, text=True, check=False,
    env={**os.environ, 'XLA_FLAGS': ''})
  assert child.returncode == code, child.stderr
  assert says in child.stdout
