"""The parser of `fathom`, and the arguments that several verbs share."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.machine.usage import UsageError, choose, nearest

if TYPE_CHECKING:
  from experiments.sweeps.plan import Plan

LONGEST_TEXT = 2**20  # letters


class Parser(argparse.ArgumentParser):
  """Takes names and flags in any order, and raises UsageError with the nearest
  match instead of ending the process.
  """

  def __init__(self, **settings: Any):
    super().__init__(
      allow_abbrev=False, **settings,
      formatter_class=argparse.RawDescriptionHelpFormatter)
    self._mixes = True

  def add_subparsers(self, **settings: Any) -> Any:
    """As argparse has it; the verb comes before all else."""
    self._mixes = False
    return super().add_subparsers(**settings)

  def error(self, message: str) -> Any:
    """Says what is wrong with what was typed."""
    raise UsageError(message)

  def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
    """Parses all of the arguments: none may be left over."""
    if not self._mixes:  # or called by what is called below
      return super().parse_known_args(args, namespace)
    self._mixes = False
    try:
      known, rest = self.parse_known_intermixed_args(args, namespace)
    finally:
      self._mixes = True
    for argument in rest:
      name = argument.partition('=')[0]
      flags = re.findall(r'--[a-z][a-z-]*', self.format_usage())
      if not argument.startswith('-'):
        raise UsageError(f'{argument!r} is one name too many for {self.prog}')
      raise UsageError(f'{name}: {self.prog} has no such flag'
                       f'{nearest(name, flags)}')
    return known, []


def names(text: str) -> tuple[str, ...]:
  """'a,b' → ('a', 'b')."""
  return tuple(name for name in text.split(',') if name)


def whole(least: int = 0) -> Callable[[str], int]:
  """A type of flag: a whole number that is not less."""

  def number(text: str) -> int:
    if not re.fullmatch(r'\d+', text) or int(text) < least:
      raise argparse.ArgumentTypeError(
        f'{text}: use a whole number from {least} on')
    return int(text)

  return number


def one_of(kind: str, choices: Sequence[str]) -> Callable[[str], str]:
  """A type of flag: one of some names."""

  def choice(text: str) -> str:
    choose(kind, text, choices)
    return text

  return choice


def add_runs(parser: argparse.ArgumentParser) -> None:
  """Adds --runs."""
  parser.add_argument(
    '--runs', type=path, default=Path('runs'), metavar='FOLDER',
    help='of all results (default: runs)')


def add_config(parser: argparse.ArgumentParser) -> None:
  """Says that --config.path=value is taken; `main` splits it off."""
  parser.set_defaults(texts={})
  parser.epilog = ('--config.path=value sets any field, such as '
                   '--config.model.norm=rms.')


def add_experiment(parser: argparse.ArgumentParser) -> None:
  """Adds what names an experiment and the part of it that is meant."""
  parser.add_argument(
    'experiment', nargs='?', default='', metavar='EXPERIMENT',
    help='a claim (fathom list), or a .py file of your own (fathom init)')
  add_size(parser)
  add_runs(parser)
  add_config(parser)
  parser.set_defaults(plan=plan)


def add_size(parser: argparse.ArgumentParser) -> None:
  """Adds --preset and --strata of an experiment."""
  parser.add_argument(
    '--preset', default='', metavar='NAME',
    help='size: smoke, cpu, cpu-long, accelerator, where it has that (default: '
    'cpu)')
  parser.add_argument(
    '--strata', type=names, default=(), metavar='A,B',
    help='parts of it (default: all that are not optional)')


def add_workers(parser: argparse.ArgumentParser) -> None:
  """Adds --workers."""
  parser.add_argument(
    '--workers', type=whole(0), metavar='N',
    help='processes, one core each; 0: this one (default: one for each core, '
    'or 0 where there is an accelerator)')


def plan(options: argparse.Namespace) -> Plan:
  """The plan of a named experiment, or of one in a file.

  Raises:
    UsageError, ConfigError, InputError: naming the field and the fix.
  """
  drafted = draft(options)
  if drafted.unanswered:
    raise UsageError('; '.join(drafted.unanswered))
  return drafted


def draft(options: argparse.Namespace) -> Plan:
  """A plan that may still ask for something; see `Plan.unanswered`."""
  from experiments import claims
  from experiments.runs import store
  from experiments.sweeps import plan as plans
  if not options.experiment:
    raise UsageError(f'name one experiment: {", ".join(claims.names())}, or a '
                     '.py file')
  experiment = claims.load(options.experiment)
  store.check_layout(options.runs, experiment.name)
  presets = experiment.presets
  preset = options.preset or ('cpu' if 'cpu' in presets else presets[0])
  return plans.make(experiment, preset, options.strata, options.texts,
                    options.runs)


def path(text: str) -> Path:
  """A type of flag: a file or folder; `~` is home, `~name` that of a user."""
  return Path(os.path.expanduser(text))


def read_text(flag: str, place: Path) -> str:
  """The beginning of a UTF-8 file, more than any command reads.

  Raises:
    UsageError: naming the flag, and why it cannot be read.
  """
  if place.exists() and not place.is_file():
    raise UsageError(f'{flag}={place} is no file; name a UTF-8 file')
  try:
    with place.open(encoding='utf-8') as file:
      return file.read(LONGEST_TEXT)
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or 'not UTF-8'
    raise UsageError(f'{flag}={place} cannot be read ({reason})') from None
