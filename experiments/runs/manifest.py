"""What a result needs to be made again: code, versions, device, data."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from data.sources.text import TextSource
from experiments.sweeps.algebra import Cell
from train import program

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy',
            'scipy', 'polars', 'sentencepiece')


def collect(cells: Sequence[Cell], command: Sequence[str]) -> dict[str, Any]:
  """The manifest of a sweep, as plain values.

  The config of each run lies beside its result.
  """
  return {
    'command': ' '.join(command),
    **code(),
    'python': platform.python_version(),
    'packages': {p: importlib.metadata.version(p) for p in PACKAGES},
    'machine': {
      'system': f'{platform.system()} {platform.machine()}',
      'cores': psutil.cpu_count(),
      'memory_bytes': psutil.virtual_memory().total,
    },
    'environment': {k: v for k, v in sorted(os.environ.items())
                    if k.startswith(('JAX_', 'XLA_', 'NPROC'))},
    'data': fingerprints(cells),
    'runs': len(cells),
  }


def code() -> dict[str, Any]:
  """The commit, and a hash of what differs from it ('' when nothing does)."""
  commit = _git('rev-parse', 'HEAD') or 'unknown'
  diff = _git('diff', 'HEAD')
  dirty = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else ''
  return {'commit': commit, 'uncommitted_changes': dirty}


def fingerprints(cells: Sequence[Cell]) -> dict[str, Any]:
  """What identifies each text corpus of the plan."""
  configs = dict.fromkeys(program.shape(c.config).data for c in cells)
  sources = {c.text_path or 'embedded prose': program.source_of(c)
             for c in configs}
  return {name: source.fingerprint for name, source in sources.items()
          if isinstance(source, TextSource)}


def _git(*args: str) -> str:
  here = Path(__file__).parent
  try:
    done = subprocess.run(['git', *args], cwd=here, capture_output=True,
                          text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return ''
  return done.stdout.strip()
