"""`fathom bench`: how fast this machine trains, as ratios within one run.

    train       tokens per second of three sizes beside plain JAX, and MFU
    compile     compile time against n, scanned and as a run has it
    scaling     bytes between eight virtual devices beside what a layout needs
    pmap        data-parallel training, compiled by jit and by pmap
    data        the share of training that waits for a streamed corpus
    checkpoint  what saving costs the loop
    sweep       a sweep beside one process for each of its runs

Absolute times depend on who else uses the machine, so what is compared is
measured in turns. Each part says what it aims at and whether that was reached;
no exit code depends on it.

    fathom bench [--parts=PART ...] [--sizes=S|M|L ...] [--seconds=5]
"""

from collections.abc import Sequence

from absl import flags

from experiments.machine import platforms, process

PARTS = ('train', 'compile', 'scaling', 'pmap', 'data', 'checkpoint', 'sweep')
SIZES = ('S', 'M', 'L')


def main(arguments: Sequence[str]) -> int:
  """Prints the benchmark, or the parts and sizes that are named."""
  if {'-h', '--help'} & set(arguments):
    print(__doc__)
    return 0
  values = flags.FlagValues()
  flags.DEFINE_multi_enum('sizes', SIZES, SIZES, 'Model sizes.',
                          flag_values=values)
  flags.DEFINE_multi_enum('parts', PARTS, PARTS, 'What to measure.',
                          flag_values=values)
  flags.DEFINE_float('seconds', 5.0, 'Least time for each contestant.',
                     lower_bound=0.0, flag_values=values)
  if values(['fathom', *arguments])[1:]:
    raise flags.Error('fathom bench takes flags only')
  # The allocator reads its settings when a process starts; on an accelerator
  # there has to be room for a contestant beside this process.
  wanted = ({'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
            if process.accelerator_installed() else process.ALLOCATOR)
  process.restart(['bench', *arguments], wanted)
  measure(values.parts, values.sizes, values.seconds)
  return 0


def measure(parts: Sequence[str], sizes: Sequence[str],
            seconds: float) -> None:
  """Prints each part."""
  platforms.check('auto')
  # Imported here, since they touch the devices.
  from experiments.bench import (
    compilation,
    data_wait,
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
    'sweep': sweeping.report,
  }
  for part in parts:
    reports[part]()
