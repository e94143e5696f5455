"""The `fathom` command. Every command is also `python -m experiments …`.

Exit codes: 0 done, 2 bad config or usage, 3 wrong or missing device, 4
diverged, 75 told to stop and saved, 1 the rest. (A run of a sweep that diverges
is an outcome, told in the report.)
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags, logging

from data.errors import InputError
from experiments.launch import workers
from experiments.machine import compiler, platforms, process, usage
from experiments.machine.usage import DeviceError, UsageError
from experiments.sweeps import overrides, plan
from experiments.sweeps.identity import run_id
from experiments.sweeps.packing import Group
from experiments.sweeps.plan import Plan
from model.config import ConfigError

USAGE = '''\
usage: fathom COMMAND [EXPERIMENT] [--flag=value ...] [--config.path=value ...]

  run      run what is missing of an experiment, then write its report
  plan     list every run with its parameters, FLOPs and an estimate of time
  status   say which runs are done, running, failed or missing
  results  write the results table and print where it is
  report   write the report from what is finished
  config   print the resolved config and where each value came from
  bench    measure speed on this machine
  train    train one run of a named config, with checkpoints (see its --help)
  data     prepare a corpus of any size, or verify one (fathom data --help)
  aot      what a training config needs on TPUs or GPUs that are not here
  doctor   look for what keeps JAX from working well on this machine
  list     name the experiments

flags: --preset=smoke|cpu|accelerator  --strata=a,b  --runs=FOLDER  --workers=N
       (workers: processes, one core each; 0 to work in this process)

  fathom run depth
  fathom run depth --strata=text --config.data.text_path=book.txt
  fathom plan depth --preset=accelerator
  fathom train lm-small --config.data.text_path=book.txt
  fathom data prepare pile/*.jsonl.zst --out=pile
  fathom aot lm-125m --topology=v5e-16
'''

# How much XLA works on a program of a preset, if not as much as it can. A smoke
# test compiles much and computes little; the programs of `cpu` run as fast with
# one level less than the most.
COMPILER_LEVELS = {'smoke': 0, 'cpu': 1}


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one command and exits."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  logging.set_verbosity(logging.WARNING)
  if not arguments or arguments[0] in ('-h', '--help', 'help'):
    print(USAGE, end='')
    sys.exit(0 if arguments else 2)
  name, *rest = arguments
  try:
    usage.choose('command', name, list(COMMANDS))
    if {'-h', '--help'} & set(rest) and name not in EXPLAINED:
      print(USAGE, end='')
      sys.exit(0)
    sys.exit(COMMANDS[name](rest))
  except (UsageError, ConfigError, InputError, flags.Error) as error:
    _stop(2, error)
  except DeviceError as error:
    _stop(usage.DEVICE, error)
  except OSError as error:  # disk full, no permission
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    _stop(1, f'{error}; free space, then run the same command again: it goes '
          'on where it was' if full else error)
  except KeyboardInterrupt:
    _stop(130, 'interrupted; run the same command again to go on')


def _stop(code: int, reason: object) -> None:
  print(f'fathom: {reason}', file=sys.stderr)
  sys.exit(code)


def _parse(arguments: Sequence[str]) -> tuple[Plan, flags.FlagValues]:
  """Reads the arguments that every command about an experiment takes."""
  values = flags.FlagValues()
  flags.DEFINE_string('preset', 'cpu', 'Size of the experiment.',
                      flag_values=values)
  flags.DEFINE_list('strata', [], 'Parts to run; all by default.',
                    flag_values=values)
  flags.DEFINE_string('runs', 'runs', 'Folder of all results.',
                      flag_values=values)
  flags.DEFINE_integer('workers', None, 'Processes; 0: none but this one.',
                       lower_bound=0, flag_values=values)
  # Given by the launcher to the workers it starts.
  flags.DEFINE_string('progress', '', 'File to report to.', flag_values=values)
  flags.DEFINE_integer('core', None, 'Processor core to stay on.',
                       flag_values=values)
  flags.DEFINE_integer('parent', None, 'Process to end with.',
                       flag_values=values)
  flags.DEFINE_string('only', '', 'The one run to do.', flag_values=values)
  texts, rest = overrides.split(arguments)
  names = values(['fathom', *rest])[1:]
  if len(names) != 1:
    raise UsageError('name one experiment: '
                     f'{", ".join(plan.experiments())}')
  made = plan.make(names[0], values.preset, values.strata, texts,
                   Path(values.runs))
  return made, values


def _run(arguments: Sequence[str]) -> int:
  made, values = _parse(arguments)
  _claim_platform(made)
  left = len(made.run_ids()) - made.done()
  print(f'{made.experiment} ({made.preset}): {len(made.run_ids())} runs, '
        f'{made.done()} done already.', flush=True)
  code = 0
  if left:
    _write_manifest(made)
    count = workers.worker_count(values.workers, len(made.groups()))
    if count == 0:
      platforms.check(made.cells[0].config.mesh.platform)
    code = workers.launch(made, count, arguments)
  for failure in workers.failures(made):
    print(f'fathom: {failure}', file=sys.stderr)
  if code in (2, usage.DEVICE):  # nothing ran: nothing to report
    return code
  report_code = _write_report(made)
  return code or report_code


def _work(arguments: Sequence[str]) -> int:
  """A worker process, started by the launcher."""
  made, values = _parse(arguments)
  if values.core is not None and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, {values.core})
  _claim_platform(made)
  if values.parent is not None:
    process.end_with(values.parent)
  from experiments.runs import worker
  worker.use_compilation_cache()
  platforms.check(made.cells[0].config.mesh.platform)
  report = (worker.file_progress(Path(values.progress)) if values.progress
            else lambda _: None)
  groups = made.groups()
  if values.only:
    groups = [Group(g.stratum, (c,)) for g in groups for c in g.configs
              if run_id(c) == values.only]
  return 1 if worker.work(made.experiment, groups, made.store, report) else 0


def _plan(arguments: Sequence[str]) -> int:
  from experiments.commands import listing
  made, _ = _parse(arguments)
  listing.print_plan(made)
  return 0


def _status(arguments: Sequence[str]) -> int:
  from experiments.commands import listing
  made, _ = _parse(arguments)
  listing.print_status(made)
  return 0


def _config(arguments: Sequence[str]) -> int:
  from experiments.commands import listing
  made, _ = _parse(arguments)
  listing.print_config(made)
  return 0


def _results(arguments: Sequence[str]) -> int:
  from experiments.judge import table
  made, _ = _parse(arguments)
  built = table.build(made.cells, made.store)
  table.write(built, made.folder)
  print(f'{built.height} rows from {made.done()}/{len(made.run_ids())} runs in '
        f'{made.folder / "results.parquet"} and .csv')
  return 0


def _report(arguments: Sequence[str]) -> int:
  made, _ = _parse(arguments)
  return _write_report(made)


def _bench(arguments: Sequence[str]) -> int:
  from experiments import bench
  return bench.main(arguments)


def _data(arguments: Sequence[str]) -> int:
  from experiments.commands import data
  return data.main(arguments)


def _aot(arguments: Sequence[str]) -> int:
  from experiments.commands import aot
  from experiments.foresight import topology
  try:
    return aot.main(arguments)
  except topology.Unavailable as error:
    raise DeviceError(error) from error


def _doctor(arguments: Sequence[str]) -> int:
  from experiments.commands import doctor
  return doctor.main(arguments)


def _train(arguments: Sequence[str]) -> int:
  from experiments.runs import training
  return training.main(arguments)


def _list(arguments: Sequence[str]) -> int:
  for name in plan.experiments():
    print(f'{name}: {plan.load(name).TITLE}')
  return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
  'run': _run, 'plan': _plan, 'status': _status, 'results': _results,
  'report': _report, 'config': _config, 'bench': _bench, 'data': _data,
  'train': _train, 'aot': _aot, 'doctor': _doctor, 'list': _list,
  'work': _work,
}


# Commands with a help text of their own.
EXPLAINED = ('bench', 'data', 'train')


def _write_manifest(made: Plan) -> None:
  from experiments.commands import conclusion
  from experiments.runs import manifest
  from experiments.runs.store import write_json
  conclusion.seal(made)
  write_json(made.folder / 'manifest.json',
             manifest.collect(made.cells, ['fathom', *sys.argv[1:]]))


def _write_report(made: Plan) -> int:
  from experiments.commands import conclusion
  result, page = conclusion.conclude(made)
  print(f'{result.title}: {result.verdict.upper()}. {result.reason}')
  print(f'Report: {page}')
  return 0 if result.verdict != 'incomplete' else 1


def _claim_platform(made: Plan) -> None:
  """Tells JAX what it must know before it looks for devices."""
  if made.preset in COMPILER_LEVELS:
    compiler.ask(COMPILER_LEVELS[made.preset])
  platforms.claim(made.cells[0].config.mesh.platform)
