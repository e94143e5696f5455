"""Eight virtual CPU devices for every test, set before jax is imported."""

import atexit
import os
import pathlib
import shutil
import tempfile

import pytest

from experiments.machine import compiler

if 'PYTEST_XDIST_WORKER' not in os.environ:  # which inherits what is set here
  # What the processes of one suite compile serves them all, and no other suite.
  os.environ['XDG_CACHE_HOME'] = tempfile.mkdtemp(prefix='fathom-tests-')
  atexit.register(shutil.rmtree, os.environ['XDG_CACHE_HOME'],
                  ignore_errors=True)
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = (os.environ.get('XLA_FLAGS', '')
                           + ' --xla_force_host_platform_device_count=8')
compiler.ask(level=0)  # Tests compile much and compute little.
# XLA's rendezvous dead-locks when it has fewer threads than virtual devices
# need; twice their number is enough.
os.environ['NPROC'] = '16'

MAPS = pathlib.Path('/proc/self/maps')
MOST_MAPS = 20_000  # Linux gives a process 65,530, and XLA's programs take many


@pytest.fixture(scope='module', autouse=True)
def _few_programs():
  """Forgets compiled programs before a process has no room for another."""
  yield
  if MAPS.exists() and MAPS.read_bytes().count(b'\n') > MOST_MAPS:
    import jax
    jax.clear_caches()
