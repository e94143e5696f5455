import re

import jax
import pytest

from experiments.machine import accelerators
from experiments.machine.usage import UsageError


@pytest.mark.parametrize(('kind', 'name', 'bfloat16'), [
  ('TPU v5 lite', 'TPU v5e', 197e12), ('TPU v5', 'TPU v5p', 459e12),
  ('TPU v5p', 'TPU v5p', 459e12), ('TPU v6 lite', 'TPU v6e', 918e12),
  ('TPU v4', 'TPU v4', 275e12),
  ('NVIDIA H100 80GB HBM3', 'H100', 989.4e12),
  ('NVIDIA H200', 'H200', 989.4e12),
  ('NVIDIA A100-SXM4-40GB', 'A100 40 GB', 312e12),
  ('NVIDIA A100-SXM4-80GB', 'A100 80 GB', 312e12),
  ('NVIDIA B200', 'B200', 2250e12),
])
def test_kinds_are_found_by_the_name_that_jax_reports(kind, name, bfloat16):
  accelerator = accelerators.find(kind)
  assert (accelerator.name, accelerator.bfloat16) == (name, bfloat16)
  matches = [a for a in accelerators.ACCELERATORS
             if re.fullmatch(a.kinds, kind)]
  assert matches == [accelerator]


@pytest.mark.parametrize('kind', ['cpu', 'NVIDIA H100 80GB HBM3 MIG 1g.10gb',
                                  'TPU v7', 'Radeon'])
def test_what_is_not_in_the_table_has_no_peak(kind):
  assert accelerators.find(kind) is None


@pytest.mark.parametrize(('text', 'name'), [
  ('h100', 'H100'), ('H200', 'H200'), ('a100', 'A100 80 GB'),
  ('a100-40gb', 'A100 40 GB'), ('A100 80 GB', 'A100 80 GB'), ('v5e', 'TPU v5e'),
  ('tpu-v6e', 'TPU v6e'), ('rtx 4090', 'RTX 4090')])
def test_people_call_them_by_short_names(text, name):
  assert accelerators.named(text).name == name


def test_every_one_can_be_named():
  for accelerator in accelerators.ACCELERATORS:
    assert accelerators.named(accelerator.name) is accelerator


def test_an_unknown_name_gets_the_nearest():
  with pytest.raises(UsageError, match=r'did you mean h200\?'):
    accelerators.named('h20')


def test_units_are_those_of_the_table():
  for a in accelerators.ACCELERATORS:
    assert 50e12 < a.bfloat16 < 5e15, a
    assert a.float32 <= a.bfloat16, a
    assert 8e9 < a.memory_bytes < 300e9, a
    assert 2e11 < a.memory_bandwidth < 1e13, a
    assert a.link_bandwidth == 0 or 1e11 < a.link_bandwidth < 2e12, a


def test_a_cpu_has_no_peak_and_is_measured_in_flops_a_second():
  assert accelerators.peak_flops(jax.devices()[0], 'float32') is None
  # Wide enough for a slow core that others use and for many fast ones.
  assert 1e8 < accelerators.measured_flops(size=512) < 1e14
