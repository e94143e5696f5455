import importlib.metadata
import os
import subprocess
import sys

import pytest

from experiments.machine import compiler


def test_the_compiler_that_is_installed_knows_every_flag(monkeypatch):
  monkeypatch.delenv('XLA_FLAGS')
  compiler.ask(level=1)
  # XLA aborts the process otherwise.
  subprocess.run([sys.executable, '-c', 'import jax; jax.devices()'],
                 check=True)


@pytest.mark.parametrize(('version', 'says'), [
  ('0.10.2', True), ('0.11.0', True), ('0.11.1', False), ('0.12.0.1', False),
])
def test_a_flag_that_newer_compilers_die_of_is_not_named(version, says,
                                                         monkeypatch):
  monkeypatch.setattr(importlib.metadata, 'version', lambda name: version)
  assert ('fusion_emitters' in compiler.flags(level=0)) == says


def test_what_a_person_has_set_comes_last_and_so_wins(monkeypatch):
  monkeypatch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=3')
  compiler.ask(level=0)
  assert os.environ['XLA_FLAGS'].split()[-1] == (
    '--xla_backend_optimization_level=3')
