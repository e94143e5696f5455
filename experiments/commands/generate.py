"""Go on with a text, as a model would.

MODEL is a run's folder or id, a folder that `fathom import` wrote, a Hugging
Face folder, or a .gguf file. The text is printed, and what the model adds to it
as it comes. The same seed gives the same text.
"""

import argparse
import io
import sys

from experiments.commands.parser import add_runs, whole
from experiments.machine.usage import UsageError


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('model', nargs='?', default='', metavar='MODEL',
                      help='where it is')
  parser.add_argument('text', nargs='?', metavar='TEXT',
                      help="how it begins; '' begins a document")
  parser.add_argument('--tokens', type=whole(1), default=50, metavar='N',
                      help='how many new ones at most (default: 50)')
  parser.add_argument(
    '--temperature', type=float, metavar='X',
    help='of the choice (default: 1, the model itself); 0: as --greedy')
  parser.add_argument(
    '--top-p', type=float, default=1.0, metavar='X', help='choose from the '
    'likeliest tokens that have this share together (default: 1, all)')
  parser.add_argument('--seed', type=whole(), default=0, metavar='N',
                      help='of the choice (default: 0)')
  parser.add_argument('--greedy', action='store_true',
                      help='take the likeliest token, always')
  add_runs(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints the text."""
  if not options.model or options.text is None:
    raise UsageError('name a model and a text: fathom generate MODEL "text"')
  if options.greedy and options.temperature:
    raise UsageError(f'--temperature={options.temperature:g} chooses by chance '
                     'and --greedy never does; leave one out')
  if options.greedy and options.top_p != 1:
    raise UsageError(f'--top-p={options.top_p:g} chooses by chance and '
                     '--greedy never does; leave one out')
  temperature = 1.0 if options.temperature is None else options.temperature
  from experiments.machine import compiler, platforms
  platforms.check('auto')
  compiler.use_cache()
  from experiments.runs import origin
  model = origin.load(options.model, options.runs)
  print(model, file=sys.stderr)
  pieces = model.generate(
    options.text, options.tokens, 0.0 if options.greedy else temperature,
    options.top_p, options.seed, stream=True)
  if isinstance(sys.stdout, io.TextIOWrapper):
    # A model says what it likes, and not every terminal can show it.
    sys.stdout.reconfigure(errors='replace')
  print(options.text, end='', flush=True)
  for piece in pieces:
    print(piece, end='', flush=True)
  print()
  return 0
