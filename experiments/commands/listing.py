"""What `fathom plan`, `status` and `config` print."""

import humanize
from rich.console import Console
from rich.table import Table

from experiments.launch import workers
from experiments.runs.store import read_json
from experiments.sweeps import cost, plan
from experiments.sweeps.identity import run_id
from experiments.sweeps.packing import missing
from experiments.sweeps.plan import Plan

# Wide enough for a run's line when the output goes to a file.
FILE_WIDTH = 120


def print_plan(made: Plan) -> None:
  """Every run, with parameters, FLOPs and whether it is done."""
  table = _table('run', 'stratum', 'arm', 'n', 'd', 'parameters', 'FLOPs',
                 'seed', 'instance', 'state')
  cells = made.distinct()
  for cell in cells:
    config = cell.config
    done = made.store.result(run_id(config))
    table.add_row(
      run_id(config), cell.stratum, cell.arm, str(config.model.n_layers),
      str(config.model.d_model), f'{cost.parameters(config):,}',
      f'{cost.train_flops(config):.2e}', str(config.train.seed),
      str(config.data.seed), done['status'] if done else 'to do')
  _print(table)
  for name in made.strata:
    stratum = plan.stratum(made.experiment, name)
    for note in stratum.notes(made.preset, made.overrides):
      print(f'{name}: {note}')
  flops = sum(cost.train_flops(c.config) for c in cells)
  seconds, basis = estimate(made)
  print(f'{len(cells)} runs in {len(made.groups())} groups, {flops:.2e} FLOPs '
        f'in all; {made.done()} done.\nWhat is missing should take '
        f'{humanize.precisedelta(round(seconds))} at {basis}.')


def estimate(made: Plan) -> tuple[float, str]:
  """Seconds that the missing runs will take, and what the guess rests on."""
  left = [c.config for c in made.distinct()
          if not made.store.done(run_id(c.config))]
  count = workers.worker_count(None, len(made.groups())) or 1
  flops = seconds = 0.0
  for cell in made.distinct():
    result = made.store.result(run_id(cell.config))
    if result:
      flops += cost.train_flops(cell.config)
      seconds += result['timing']['total'] / result['timing']['runs']
  rate, basis = cost.ASSUMED_FLOPS, 'assumed until a run has been measured here'
  if seconds:
    rate, basis = flops / seconds, 'the rate of the runs finished here'
  return (sum(map(cost.train_flops, left)) / rate / count,
          f'{rate / 1e9:.1f} GFLOP/s for each of {count} workers, {basis}')


def print_status(made: Plan) -> None:
  """How far each group of runs is."""
  table = _table('group', 'stratum', 'runs', 'state')
  for group in made.groups():
    left = missing(group, made.store)
    table.add_row(group.id, group.stratum, str(len(group.configs)),
                  _state(made, left.id) if left else 'done')
  _print(table)
  print(f'{made.done()}/{len(made.run_ids())} runs done.')


def _state(made: Plan, group_id: str) -> str:
  folder = made.store.group(group_id)
  failure = read_json(folder / 'failure.json')
  if failure:
    return f'failed: {failure["error"]}'
  if not folder.exists():
    return 'to do'
  with made.store.lease(group_id) as free:
    return 'interrupted' if free else 'running'


def print_config(made: Plan) -> None:
  """Each field of the runs, its value or values, and where they came from."""
  for stratum in made.strata:
    table = _table('field', 'value', 'from', title=stratum)
    for name, path, value, origin in plan.explain(made):
      if name == stratum:
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
