"""What `fathom plan`, `status` and `config` print."""

from collections.abc import Sequence

import polars as pl
from rich.console import Console
from rich.table import Table

from data.text import leak
from experiments.foresight import pace
from experiments.judge import axes
from experiments.launch import workers
from experiments.machine.accelerators import Accelerator
from experiments.runs import display, instrument, remaining
from experiments.runs.instrument import Measure
from experiments.runs.store import Store
from experiments.sweeps import cost
from experiments.sweeps import plan as plans
from experiments.sweeps.identity import run_id
from experiments.sweeps.packing import Group
from experiments.sweeps.plan import Plan
from experiments.sweeps.task import Task, Train, model_of
from train import programs

# Wide enough for a run's line when the output goes to a file.
FILE_WIDTH = 200
# Axes that a plan's table has a column for, whatever is swept.
SHOWN = ('arm', 'model.n_layers', 'model.d_model', 'task.start')


def print_plan(plan: Plan, device: Accelerator | None = None) -> None:
  """Every run, with parameters, FLOPs and whether it is done.

  Args:
    plan: which.
    device: whose time is estimated; None: that of this machine.
  """
  swept = [path for path in axes.axes(plan.cells)
           if path not in SHOWN
           ] if len(plan.parts) == 1 else []
  table = _table('run', 'stratum', 'arm', 'n', 'd',
                 *(path.rpartition('.')[2] for path in swept), 'parameters',
                 'FLOPs', 'seed', 'instance', 'starts from', 'state')
  store, tasks = Store(plan.runs), plan.tasks()
  measures = {run: own for item in remaining.work(plan)
              for run, own in item.measures.items()}
  labels: dict[str, tuple[str, str]] = {}
  for cell in plan.cells:
    labels.setdefault(run_id(cell.task), (cell.stratum, cell.arm))
  for task in tasks:
    run = run_id(task)
    table.add_row(run, *labels.get(run, ('', 'start of others')),
                  *_sizes(task, swept), _stage(store, run, measures[run]))
  _print(table)
  for part in plan.parts:
    for note in (part.notes(plan.preset, plan.pins[part.name]) if part.notes
                 else ()):
      print(f'{part.name}: {note}')
  for sentence in texts(plan):
    print(sentence)
  for question in plan.unanswered:
    print(f'{question}. Planned without it.')
  for absence in absences(plan):
    print(absence)
  if not plan.parts:
    return
  seconds, basis = elsewhere(plan, device) if device else estimate(plan)
  print(f'{remaining.tally(plan, store)} done; those of one shape train side '
        f'by side, in {len(plan.groups())} groups; '
        f'{sum(map(cost.flops, tasks)):.2e} FLOPs in all.\nWhat is missing '
        f'should take {display.duration(seconds)} {basis}.')


def absences(plan: Plan) -> list[str]:
  """Which strata cannot be run here and why, a sentence each."""
  return [f'{name} is not run: {why}.' for name, why in plan.absent.items()]


def texts(plan: Plan) -> list[str]:
  """What has to be told of the texts that a plan's runs are scored on."""
  configs = [c for group in plan.groups() for c in group.configs]
  sources = dict.fromkeys(
    source for config in configs
    for source in (programs.source_of(config),
                   *programs.others_of(config).values()))
  return list(dict.fromkeys(
    sentence for source in sources
    for sentence in leak.sentences(source.fingerprint)))


def _stage(store: Store, run: str, measures: Sequence[Measure]) -> str:
  result = store.result(run)
  if result is None and not store.done(run):
    return 'to do'
  if instrument.missing(store, run, measures):
    return 'to be measured'
  return str(result['status']) if result else 'done'


def _sizes(task: Task, swept: Sequence[str]) -> tuple[str, ...]:
  """n, d, swept fields, parameters, FLOPs, seed, instance and start."""
  model, fields = model_of(task), axes.fields(task)
  if model is None:
    return ('',) * (7 + len(swept))
  sizes = (str(model.n_layers), str(model.d_model),
           *(str(fields.get(path, '')) for path in swept),
           f'{cost.parameters(model):,}')
  if not isinstance(task, Train):
    return (*sizes, '', '', '', '')
  return (*sizes, f'{cost.flops(task):.2e}', str(task.config.train.seed),
          str(task.config.data.seed), run_id(task.start) if task.start else '')


def estimate(plan: Plan) -> tuple[float, str]:
  """Seconds that the missing runs will take, and what the guess rests on."""
  store = Store(plan.runs)
  count = workers.worker_count(None, len(plan.groups())) or 1
  left = flops = seconds = 0.0
  for task in plan.tasks():
    if result := store.result(run_id(task)):
      flops += cost.flops(task)
      seconds += result['timing']['total'] / result['timing']['runs']
    else:
      left += cost.flops(task)
  rate, basis = cost.ASSUMED_FLOPS, 'assumed until a run has been measured here'
  if seconds:
    rate, basis = flops / seconds, 'the rate of the runs finished here'
  return (left / rate / count,
          f'at {rate / 1e9:.3g} GFLOP/s for each of {count} workers, {basis}')


def elsewhere(plan: Plan, device: Accelerator) -> tuple[float, str]:
  """Seconds that the missing runs take on one device; what that rests on."""
  store = Store(plan.runs)
  left = [group for item in remaining.work(plan)
          if (group := remaining.untrained(item.group, store))]
  seconds = sum(pace.seconds(group.configs, device)
                for group in left if group.configs)
  return seconds, (
    f'on one {device.name}, measurements apart. Assumed, not measured: '
    f'{pace.assumption(device)}; memory is not looked at (fathom aot does)')


def print_status(plan: Plan) -> None:
  """How far each group of runs is."""
  table = _table('group', 'stratum', 'runs', 'state')
  store = Store(plan.runs)
  for item in remaining.work(plan):
    strata = dict.fromkeys(cell.stratum for cell in plan.cells
                           if run_id(cell.task) in item.group.ids)
    table.add_row(
      item.group.id, ', '.join(strata), str(len(item.group.ids)),
      'done' if item.done(store) else _state(store, item.group))
  _print(table)
  print(*absences(plan), f'{remaining.tally(plan, store)} done.', sep='\n')


def _state(store: Store, group: Group) -> str:
  if failure := remaining.failure(store, group):
    return f'failed: {failure["error"]}'
  left = remaining.untrained(group, store)
  if left is None:
    return 'to be measured'
  if not store.group(left).exists():
    return 'to do'
  with store.lease(group.ids) as free:
    return 'interrupted' if free else 'running'


def print_beside(numbers: pl.DataFrame) -> None:
  """Published numbers and ours, a line each; see `judge.beside`."""
  table = _table(*numbers.columns)
  for row in numbers.iter_rows():
    table.add_row(*('' if x is None else f'{x:.3g}' if isinstance(x, float)
                    else str(x) for x in row))
  _print(table)


def print_config(plan: Plan) -> None:
  """Each field of the runs, its value or values, and where they came from."""
  for part in plan.parts:
    table = _table('field', 'value', 'from', title=part.name)
    for name, path, value, origin in plans.explain(plan):
      if name == part.name:
        style = 'dim' if origin == 'default' else None
        table.add_row(path, value, origin, style=style)
    _print(table)


def _table(*columns: str, title: str | None = None) -> Table:
  table = Table(title=title, title_justify='left', box=None, pad_edge=False)
  for column in columns:
    table.add_column(column, no_wrap=column != 'state')
  return table


def _print(table: Table) -> None:
  console = Console()
  if not console.is_terminal:
    console = Console(width=FILE_WIDTH)
  console.print(table)
