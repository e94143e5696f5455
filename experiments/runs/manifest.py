"""What a result needs to be made again: code, versions, device, data."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from train import programs
from train.config import Config

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy',
            'scipy', 'polars', 'sentencepiece')


def collect(configs: Sequence[Config],
            command: Sequence[str]) -> dict[str, Any]:
  """What some runs were made with, as plain values.

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
    'data': fingerprints(configs),
    'runs': len(configs),
  }


@functools.cache
def code() -> dict[str, Any]:
  """The commit, and a hash of what differs from it ('' when nothing does)."""
  commit = _git('rev-parse', 'HEAD') or 'unknown'
  diff = _git('diff', 'HEAD')
  dirty = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else ''
  return {'commit': commit, 'uncommitted_changes': dirty}


def fingerprints(configs: Sequence[Config]) -> list[Any]:
  """What identifies each text corpus that the runs read."""
  found = [source.fingerprint for source in
           dict.fromkeys(map(programs.source_of, configs))]
  return [fingerprint for fingerprint in found if fingerprint]


def _git(*args: str) -> str:
  here = Path(__file__).parent
  try:
    done = subprocess.run(['git', *args], cwd=here, capture_output=True,
                          text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return ''
  return done.stdout.strip()
