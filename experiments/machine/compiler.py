"""XLA: how much it works on a program, and where its programs are kept.

The first is said in the environment: so it holds for every program of a
process, and of those that it starts.
"""

import importlib.metadata
import os
from pathlib import Path

from packaging.version import Version

# The first jaxlib without that flag. XLA aborts a process whose environment has
# one that it does not know.
WITHOUT_EMITTERS_FLAG = Version('0.11.1')


def ask(level: int) -> None:
  """Adds to XLA_FLAGS, where a person's own win; before jax finds devices."""
  # XLA takes the last of two that differ.
  own = os.environ.get('XLA_FLAGS', '')
  os.environ['XLA_FLAGS'] = f'{flags(level)} {own}'.strip()


def flags(level: int) -> str:
  """What XLA_FLAGS has to say.

  Fusion emitters take long to compile and gain nothing at our sizes.

  Args:
    level: `xla_backend_optimization_level`, 0 (nothing) to 3, XLA's own.
  """
  text = f'--xla_backend_optimization_level={level}'
  if Version(importlib.metadata.version('jaxlib')) < WITHOUT_EMITTERS_FLAG:
    text += ' --xla_cpu_use_fusion_emitters=false'
  return text


def cache() -> Path:
  """The folder of compiled programs."""
  home = Path(os.environ.get('XDG_CACHE_HOME', Path.home() / '.cache'))
  return home / 'fathom' / 'xla'


def use_cache() -> None:
  """Keeps compiled programs on disk, so a second sweep starts at once."""
  import jax
  jax.config.update('jax_compilation_cache_dir', str(cache()))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
