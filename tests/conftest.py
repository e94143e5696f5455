"""Eight virtual CPU devices for every test, set before jax is imported."""

import atexit
import os
import shutil
import tempfile

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
