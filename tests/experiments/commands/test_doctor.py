import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.commands import doctor
from experiments.machine import checks, survey
from experiments.machine.survey import Environment

ROOT = Path(__file__).parents[3]
GPU = {'devices': (('gpu', 'NVIDIA H200'),), 'nvidia_cards': 1,
       'packages': {'jax': '0.10.2', 'jaxlib': '0.10.2',
                    'jax-cuda13-plugin': '0.10.2'}}
REQUIRED = {'libtpu': '==0.0.42.*', 'jaxlib': '<=0.10.2,>=0.10.1',
            'jax-cuda13-plugin': '<=0.10.2,>=0.10.2'}

# What is wrong → who says so, how badly, in which words, with which exit code.
TRAPS = [
  (checks.devices, {'devices': (), 'seconds_waited': 60.0}, 'FAIL',
   'within 60 s', 3),
  (checks.devices, {'devices': (), 'devices_error': 'no TPU found'}, 'FAIL',
   'no TPU found', 3),
  (checks.devices, {'wanted': 'gpu'}, 'FAIL', 'gpu was asked for', 3),
  (checks.devices, {**GPU, 'wanted': 'tpu'}, 'FAIL', 'EXTRAS=tpu', 3),
  (checks.fallback, {'nvidia_cards': 2}, 'FAIL', 'EXTRAS=cuda13', 3),
  (checks.fallback, {'tpu_chips': 4}, 'FAIL', 'EXTRAS=tpu', 3),
  (checks.fallback, {'nvidia_cards': 2, 'packages': GPU['packages']}, 'FAIL',
   'driver may be too old', 3),
  (checks.fallback,
   {'nvidia_cards': 2, 'variables': {'JAX_PLATFORMS': 'cpu'}}, 'WARN',
   'lies idle', 0),
  (checks.libtpu, {'packages': {'jax': '0.10.2', 'libtpu': '0.0.52'},
                  'required': REQUIRED}, 'FAIL', "pip install --upgrade "
   "'jax[tpu]'", 1),
  (checks.jaxlib, {'packages': {'jax': '0.10.2', 'jaxlib': '0.11.0'},
                  'required': REQUIRED}, 'FAIL', "'jax'", 1),
  (checks.cuda_plugin, {'packages': {'jax-cuda13-plugin': '0.10.1'},
                       'required': REQUIRED}, 'FAIL', "'jax[cuda13]'", 1),
  (checks.cuda_plugin, {'packages': {'jax-cuda12-plugin': '0.10.2',
                                    'jax-cuda13-plugin': '0.10.2'}}, 'WARN',
   'uninstall one', 0),
  (checks.platforms, {'variables': {'JAX_PLATFORMS': 'tpu,cpu'}}, 'FAIL',
   'EXTRAS=tpu', 3),
  (checks.platforms, {'variables': {'JAX_PLATFORMS': 'cuda'}}, 'FAIL',
   'EXTRAS=cuda13', 3),
  (checks.preallocation,
   {**GPU, 'variables': {'XLA_PYTHON_CLIENT_MEM_FRACTION': '1.5'}}, 'FAIL',
   'no share', 1),
  (checks.preallocation,
   {**GPU, 'variables': {'XLA_PYTHON_CLIENT_MEM_FRACTION': '.99'}}, 'WARN',
   'too little for CUDA', 0),
  (checks.preallocation,
   {**GPU, 'variables': {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}}, 'WARN',
   'fragmented', 0),
  (checks.compilation_cache, {'cache_writable': False}, 'WARN',
   'XDG_CACHE_HOME', 0),
  (checks.slurm, {**GPU, 'variables': {
    'SLURM_JOB_ID': '7', 'CUDA_VISIBLE_DEVICES': ''}}, 'FAIL',
   '--gpus-per-task', 3),
  (checks.slurm, {**GPU, 'variables': {
    'SLURM_JOB_ID': '7', 'CUDA_VISIBLE_DEVICES': '0',
    'SLURM_GPUS_ON_NODE': '4'}}, 'WARN', '1 of the 4', 0),
  (checks.slurm, {'nvidia_cards': 4, 'variables': {'SLURM_JOB_ID': '7'}},
   'FAIL', '--gpus-per-node', 3),
  (checks.disk, {'free_bytes': 2**32}, 'WARN', '4.0 GiB', 0),
  (checks.disk, {'free_bytes': 2**20}, 'FAIL', '--runs=', 1),
  (checks.virtual_devices, {'variables': {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}}, 'FAIL',
   'NPROC=16', 1),
  (checks.virtual_devices, {'variables': {
    'JAX_NUM_CPU_DEVICES': '4', 'NPROC': '4'}}, 'FAIL', 'NPROC=8', 1),
  (checks.libraries, {**GPU, 'foreign_cuda': ('/usr/local/cuda/lib64',)},
   'WARN', '/usr/local/cuda/lib64', 0),
  (checks.processes, {'load': 9.0}, 'WARN', '9 processes for 2', 0),
  (checks.processes, {'variables': {'SLURM_NTASKS_PER_NODE': '16'}}, 'WARN',
   '16 processes', 0),
]

# What looks like a trap and is none.
FINE = [
  (checks.devices, {**GPU, 'wanted': 'gpu'}),
  (checks.fallback, GPU),
  (checks.libtpu, {'packages': {'libtpu': '0.0.42.1'}, 'required': REQUIRED}),
  (checks.libtpu, {'packages': {'libtpu': '0.0.52'}}),  # jax says nothing
  (checks.platforms, {**GPU, 'variables': {'JAX_PLATFORMS': 'cuda,cpu'}}),
  (checks.preallocation, GPU),
  (checks.slurm, {**GPU, 'variables': {
    'SLURM_JOB_ID': '7', 'CUDA_VISIBLE_DEVICES': '0,1',
    'SLURM_GPUS_ON_NODE': '2'}}),
  (checks.virtual_devices, {'variables': {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'NPROC': '16'}}),
  (checks.virtual_devices, {'cores': 64, 'variables': {
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8'}}),
  (checks.libraries, {'foreign_cuda': ('/usr/local/cuda/lib64',)}),  # no plugin
]


@pytest.mark.parametrize(('check', 'facts', 'level', 'says', 'code'), TRAPS)
def test_a_trap_is_found_with_its_fix(check, facts, level, says, code):
  found = check(Environment(**facts))
  assert found.level == level
  assert found.fix
  assert '\n' not in found.fix
  assert says in f'{found.message} → {found.fix}'
  assert doctor.exit_code([found]) == code


@pytest.mark.parametrize(('check', 'facts'), FINE)
def test_what_is_fine_passes(check, facts):
  found = check(Environment(**facts))
  assert found.level == 'PASS', found


def test_a_machine_without_trouble_passes_every_check():
  findings = doctor.examine(Environment())
  assert {f.level for f in findings} == {'PASS'}
  assert doctor.exit_code(findings) == 0


def test_every_check_has_a_trap():
  assert {trap[0] for trap in TRAPS} == set(checks.CHECKS)


def test_this_machine(tmp_path, capsys):
  runs = tmp_path / 'new' / 'runs'
  code = doctor.main(['--json', '--seconds=600', f'--runs={runs}'])
  said = json.loads(capsys.readouterr().out)
  assert code == said['exit_code']
  assert said['devices'] == [{'platform': 'cpu', 'kind': 'cpu'}] * 8
  assert {'jax', 'jaxlib', 'flax', 'optax'} <= set(said['packages'])
  found = {f['check']: f for f in said['findings']}
  assert found['devices']['level'] == 'PASS'
  assert found['virtual devices']['level'] == 'PASS'  # see conftest.py
  assert not runs.parent.exists()


def test_a_look_that_takes_too_long_is_given_up(tmp_path):
  facts = survey.gather(tmp_path, seconds=0.01)
  assert facts.devices == ()
  assert doctor.exit_code(doctor.examine(facts)) == 3


def test_a_jax_that_cannot_start_is_told(tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'nonsense')
  facts = survey.gather(tmp_path, seconds=600)
  found = checks.devices(facts)
  assert found.level == 'FAIL'
  assert 'nonsense' in found.message


def test_the_doctor_does_without_jax():
  done = subprocess.run(
    [sys.executable, '-c', 'import sys; import experiments.commands.doctor; '
     'sys.exit("jax" in sys.modules)'], cwd=ROOT, check=False)
  assert done.returncode == 0
