import pytest

from experiments.foresight import topology
from experiments.machine import accelerators
from experiments.machine.usage import UsageError


@pytest.mark.parametrize(('name', 'shape', 'count'), [
  ('v5e-1', (1, 1), 1), ('v5e-16', (4, 4), 16), ('v5litepod-8', (2, 4), 8),
  ('v5p-8', (2, 2, 1), 4), ('v5p-256', (4, 4, 8), 128),  # cores, two a chip
  ('v6e-256', (16, 16), 256), ('v5e:4x4', (4, 4), 16),
  ('V5P:4x4x8', (4, 4, 8), 128), ('h200-8', (1, 8), 8), ('h100-32', (4, 8), 32),
])
def test_names(name, shape, count):
  pod = topology.parse(name)
  assert pod.shape == shape
  assert pod.devices == count
  assert accelerators.find(pod.kind)


@pytest.mark.parametrize('name', [
  'v5e-17', 'v5p-4x4', 'v5e:3x3', 'v5e:4x4x4', 'v5p:4x4', 'v5e', 'v9-8', '',
  'h200-12', 'h300-8', 'v5e:0x0', 'v5e-'])
def test_unknown_names_are_told_what_is_known(name):
  with pytest.raises(UsageError, match=r'v5e-N, N one of 1, 4, 8, 16'):
    topology.parse(name)


@pytest.mark.parametrize('name', ['tpu7x-8', 'v7x-8', '7x:2x2x1'])
def test_tpu7x_is_refused(name):
  with pytest.raises(UsageError, match='crashes'):
    topology.parse(name)
