"""List the statements of the two primers, and how each of them stands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.parser import add_runs

if TYPE_CHECKING:
  from experiments.report.overview import Entry

FILE_WIDTH = 200
NARROW = 110  # columns: evidence and cost then take several lines
ALL = 'claims'  # as an experiment has no name


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  add_runs(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints them."""
  from experiments.report import overview
  found = entries(options.runs)
  print_entries(found)
  print(f'{overview.summary(found)} fathom report claims writes the page.')
  return 0


def write_report(runs: Path) -> int:
  """Writes the page on all of them; the exit code."""
  from experiments.report import overview
  found = entries(runs)
  print(overview.summary(found))
  print(f'Report: {overview.write(runs / ALL, found)}')
  return 0


def print_entries(found: Sequence[Entry]) -> None:
  """Prints how statements stand, one a line where the terminal is wide."""
  from rich.console import Console
  from rich.table import Table
  console = Console()
  if not console.is_terminal:
    console = Console(width=FILE_WIDTH)
  table = Table(box=None, pad_edge=False)
  for column in ('id', 'statement', 'tier', 'verdict', 'evidence', 'cost'):
    table.add_column(column, no_wrap=column not in ('statement', 'verdict'),
                     min_width=12 if column == 'verdict' else None)
  after = ',\n' if console.width < NARROW else ', '
  for entry in found:
    limits = f': {entry.limits}' if entry.limits else ''
    sanity = ' (sanity check)' if entry.sanity else ''
    table.add_row(entry.id, f'{entry.text}{sanity}', ', '.join(entry.tiers),
                  f'{entry.verdict}{limits}',
                  (entry.evidence or '–').replace(', ', after),
                  (entry.cost or '–').replace(', ', after))
  console.print(table)


def entries(runs: Path) -> list[Entry]:
  """The statements as they stand in a folder of results.

  Raises:
    UsageError: a verdict record there is of another version.
  """
  from experiments import claims
  from experiments.claims import statements
  from experiments.judge import ledger
  from experiments.report.overview import Entry
  found = ledger.findings(runs, {
    name: [preset for preset in claims.load(name).presets if preset != 'smoke']
    for name in statements.experiments()})
  return [Entry(each.id, each.text, each.card, each.tiers, each.part,
                each.sanity, *ledger.together(
                  each.judged_by, found, each.says, each.also))
          for each in statements.STATEMENTS]
