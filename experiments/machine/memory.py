"""What a process has held in memory, of its host and its devices."""

import re
import resource
import sys
from pathlib import Path

STATUS = Path('/proc/self/status')


def peak_bytes() -> int:
  """The most that this process has held at once, mapped files too."""
  # On Linux `getrusage` goes on counting over an exec, which starts us anew.
  if STATUS.exists() and (
      found := re.search(r'VmHWM:\s*(\d+) kB', STATUS.read_text())):
    return int(found[1]) * 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == 'darwin' else peak * 1024


def device_peak_bytes() -> int:
  """The most that one accelerator has held at once; 0 where none says so."""
  import jax
  return max((stats.get('peak_bytes_in_use', 0) if stats else 0 for stats in (
    device.memory_stats() for device in jax.local_devices())), default=0)
