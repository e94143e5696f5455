"""How much XLA works on a program on a CPU.

Said in the environment: so it holds for every program of a process, and of
those that it starts.
"""

import importlib.metadata
import os

from packaging.version import Version

# The first jaxlib without that flag. XLA aborts a process whose environment has
# one that it does not know.
WITHOUT_EMITTERS_FLAG = Version('0.11.1')


def ask(level: int) -> None:
  """Adds to XLA_FLAGS, where a person's own win; before jax finds devices.

  Fusion emitters take long to compile and gain nothing at our sizes.

  Args:
    level: `xla_backend_optimization_level`, 0 (nothing) to 3, XLA's own.
  """
  asked = [f'--xla_backend_optimization_level={level}']
  if Version(importlib.metadata.version('jaxlib')) < WITHOUT_EMITTERS_FLAG:
    asked.append('--xla_cpu_use_fusion_emitters=false')
  # XLA takes the last of two that differ.
  asked.append(os.environ.get('XLA_FLAGS', ''))
  os.environ['XLA_FLAGS'] = ' '.join(asked)
