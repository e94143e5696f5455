"""Write an experiment of your own, to begin with.

fathom init idea writes idea/idea.py, a small experiment with comments, which
runs in two minutes: fathom run idea/idea.py.
"""

import argparse
from pathlib import Path

from experiments.machine.usage import UsageError

TEMPLATE = Path(__file__).parents[1] / 'claims' / 'template.py'


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('folder', nargs='?', metavar='DIR',
                      help='where to write it; its name is that of the file')
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Writes it."""
  if not options.folder:
    raise UsageError('name a folder: fathom init DIR')
  folder = Path(options.folder).expanduser()
  name = folder.resolve().name
  path = folder / f'{name}.py'
  if not name.isidentifier():
    raise UsageError(f'{name!r}: use letters, digits and _ for a name, the '
                     'first no digit')
  if path.exists():
    raise UsageError(f'{path} is there already; name another folder')
  folder.mkdir(parents=True, exist_ok=True)
  path.write_text(TEMPLATE.read_text().replace(TEMPLATE.stem, name))
  print(f'{path} is an experiment: read it, change it, and run it with\n'
        f'  fathom run {path}')
  return 0
