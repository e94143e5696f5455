"""How fast this machine trains and writes, as ratios within one run.

    train       tokens per second of three sizes beside plain JAX, and MFU
    compile     compile time against n, scanned and as a run has it
    scaling     bytes between eight virtual devices beside what a layout needs
    pmap        data-parallel training, compiled by jit and by pmap
    data        the share of training that waits for a streamed corpus
    checkpoint  what saving costs the loop
    decode      a new token from memory, and by reading the text again
    sweep       a sweep beside one process for each of its runs

Absolute times depend on who else uses the machine, so what is compared is
measured in turns. Each part says what it aims at and whether that was reached;
no exit code depends on it.
"""

from collections.abc import Sequence

from experiments.machine import platforms

PARTS = ('train', 'compile', 'scaling', 'pmap', 'data', 'checkpoint', 'decode',
         'sweep')
SIZES = ('S', 'M', 'L')


def measure(parts: Sequence[str], sizes: Sequence[str],
            seconds: float) -> None:
  """Prints each part."""
  platforms.check('auto')
  # Imported here, since they touch the devices.
  from experiments.bench import (
    compilation,
    data_wait,
    decoding,
    pmap,
    saving,
    scaling,
    sweeping,
    throughput,
  )
  print(throughput.device())
  reports = {
    'train': lambda: throughput.report(sizes, seconds),
    'compile': compilation.report,
    'scaling': lambda: scaling.report(seconds),
    'pmap': lambda: pmap.report(seconds),
    'data': lambda: data_wait.report(sizes),
    'checkpoint': lambda: saving.report(sizes),
    'decode': lambda: decoding.report(sizes, seconds),
    'sweep': sweeping.report,
  }
  for part in parts:
    reports[part]()
