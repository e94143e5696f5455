"""Each trap is seen, with its fix; what looks like one and is none passes."""

import pytest

from experiments.machine import checks, survey
from experiments.machine.survey import Environment

GPU = {'devices': (('gpu', 'NVIDIA H200'),), 'nvidia_cards': 1,
       'packages': {'jax': '0.10.2', 'jaxlib': '0.10.2',
                    'jax-cuda13-plugin': '0.10.2'}}
REQUIREMENTS = {'libtpu': '==0.0.42.*', 'jaxlib': '<=0.10.2,>=0.10.1',
                'jax-cuda13-plugin': '<=0.10.2,>=0.10.2'}

# What is wrong → who says so, how badly, in which words, and whether a device
# is missing.
TRAPS = [
  (checks.devices, {'devices': (), 'seconds_waited': 60.0}, 'FAIL',
   'within 60 s', True),
  (checks.devices, {'devices': (), 'devices_error': 'no TPU found'}, 'FAIL',
   'no TPU found', True),
  (checks.devices, {'target_platform': 'gpu'}, 'FAIL', 'gpu was asked for',
   True),
  (checks.devices, {**GPU, 'target_platform': 'tpu'}, 'FAIL', '.[tpu]', True),
  (checks.fallback, {'nvidia_cards': 2}, 'FAIL', '.[cuda13]', True),
  (checks.fallback, {'tpu_chips': 4}, 'FAIL', '.[tpu]', True),
  (checks.fallback, {'nvidia_cards': 2, 'packages': GPU['packages']}, 'FAIL',
   'driver may be too old', True),
  (checks.fallback,
   {'nvidia_cards': 2, 'variables': {'JAX_PLATFORMS': 'cpu'}}, 'WARN',
   'lies idle', False),
  (checks.libtpu, {'packages': {'jax': '0.10.2', 'libtpu': '0.0.52'},
                   'requirements': REQUIREMENTS}, 'FAIL',
   "pip install --upgrade 'jax[tpu]'", False),
  (checks.jaxlib, {'packages': {'jax': '0.10.2', 'jaxlib': '0.11.0'},
                   'requirements': REQUIREMENTS}, 'FAIL', "'jax'", False),
  (checks.cuda_plugin, {'packages': {'jax-cuda13-plugin': '0.10.1'},
                        'requirements': REQUIREMENTS}, 'FAIL',
   "'jax[cuda13]'", False),
  (checks.cuda_plugin, {'packages': {'jax-cuda12-plugin': '0.10.2',
                                    'jax-cuda13-plugin': '0.10.2'}}, 'WARN',
   'uninstall one', False),
  (checks.jax_platforms, {'variables': {'JAX_PLATFORMS': 'tpu,cpu'}}, 'FAIL',
   '.[tpu]', True),
  (checks.jax_platforms, {'variables': {'JAX_PLATFORMS': 'cuda'}}, 'FAIL',
   '.[cuda13]', True),
  (checks.preallocation,
   {**GPU, 'variables': {'XLA_PYTHON_CLIENT_MEM_FRACTION': '1.5'}}, 'FAIL',
   'no share', False),
  (checks.preallocation,
   {**GPU, 'variables': {'XLA_PYTHON_CLIENT_MEM_FRACTION': '.99'}}, 'WARN',
   'too little for CUDA', False),
  (checks.preallocation,
   {**GPU, 'variables': {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}}, 'WARN',
   'fragmented', False),
  (checks.compilation_cache, {'cache_writable': False}, 'WARN',
   'XDG_CACHE_HOME', False),
  (checks.slurm, {**GPU, 'variables': {
    'SLURM_JOB_ID': '7', 'CUDA_VISIBLE_DEVICES': ''}}, 'FAIL',
   '--gpus-per-task', True),
  (checks.slurm, {**GPU, 'variables': {
    'SLURM_JOB_ID': '7', 'CUDA_VISIBLE_DEVICES': '0',
    'SLURM_GPUS_ON_NODE': '4'}}, 'WARN', '1 of the 4', False),
  (checks.slurm, {'nvidia_cards': 4, 'variables': {'SLURM_JOB_ID': '7'}},
   'FAIL', '--gpus-per-node', True),
  (checks.disk, {'free_bytes': 2**32}, 'WARN', '4.0 GiB', False),
  (checks.disk, {'free_bytes': 2**20}, 'FAIL', '--runs=', False),
  (checks.virtual_devices, {'variables': {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}}, 'FAIL',
   'NPROC=16', False),
  (checks.virtual_devices, {'variables': {
    'JAX_NUM_CPU_DEVICES': '4', 'NPROC': '4'}}, 'FAIL', 'NPROC=8', False),
  (checks.cuda_libraries, {**GPU, 'foreign_cuda': ('/usr/local/cuda/lib64',)},
   'WARN', '/usr/local/cuda/lib64', False),
  (checks.load, {'load': 9.0}, 'WARN', '9 processes for 2', False),
  (checks.load, {'variables': {'SLURM_NTASKS_PER_NODE': '16'}}, 'WARN',
   '16 processes', False),
]

# What looks like a trap and is none.
FINE = [
  (checks.devices, {**GPU, 'target_platform': 'gpu'}),
  (checks.fallback, GPU),
  (checks.libtpu, {'packages': {'libtpu': '0.0.42.1'},
                   'requirements': REQUIREMENTS}),
  (checks.libtpu, {'packages': {'libtpu': '0.0.52'}}),  # jax says nothing
  (checks.jax_platforms, {**GPU, 'variables': {'JAX_PLATFORMS': 'cuda,cpu'}}),
  (checks.preallocation, GPU),
  (checks.slurm, {**GPU, 'variables': {
    'SLURM_JOB_ID': '7', 'CUDA_VISIBLE_DEVICES': '0,1',
    'SLURM_GPUS_ON_NODE': '2'}}),
  (checks.virtual_devices, {'variables': {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'NPROC': '16'}}),
  (checks.virtual_devices, {'cores': 64, 'variables': {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}}),
  # Without a plugin nothing looks there.
  (checks.cuda_libraries, {'foreign_cuda': ('/usr/local/cuda/lib64',)}),
]


@pytest.mark.parametrize(('check', 'facts', 'level', 'says', 'device'), TRAPS)
def test_a_trap_is_told_with_its_fix(check, facts, level, says, device):
  finding = check(Environment(**facts))
  assert finding.level == level
  assert finding.device == device
  assert finding.fix
  assert '\n' not in finding.fix
  assert says in f'{finding.message} → {finding.fix}'


@pytest.mark.parametrize(('check', 'facts'), FINE)
def test_what_is_fine_passes(check, facts):
  finding = check(Environment(**facts))
  assert finding.level == 'PASS', finding


def test_a_machine_without_trouble_passes_every_check():
  assert {check(Environment()).level for check in checks.CHECKS} == {'PASS'}


def test_every_check_has_a_trap():
  assert {trap[0] for trap in TRAPS} == set(checks.CHECKS)


def test_a_look_that_takes_too_long_is_given_up(tmp_path):
  facts = survey.gather(tmp_path, seconds=0.01)
  assert facts.devices == ()
  assert facts.seconds_waited == 0.01
  assert checks.devices(facts).device


def test_a_jax_that_cannot_start_is_told(tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'nonsense')
  finding = checks.devices(survey.gather(tmp_path, seconds=600))
  assert finding.level == 'FAIL'
  assert 'nonsense' in finding.message
