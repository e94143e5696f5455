"""The `fathom` command. Every command is also `python -m experiments …`.

A verb is a module of this room with `fill`, which adds its arguments to a
parser and names its action. What an action needs is imported when it runs, so
that help is there at once. Exit codes stand in `machine/usage.py`.
"""

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from experiments.commands.parser import Parser
from experiments.machine import process, usage
from experiments.machine.usage import UsageError
from experiments.sweeps import flags

VERBS = ('run', 'plan', 'power', 'status', 'results', 'report', 'config',
         'sweep', 'init', 'list', 'claims', 'train', 'data', 'import', 'export',
         'generate', 'probe', 'aot', 'doctor', 'bench')
# Where a verb is no name for a module: a keyword of Python.
MODULES = {'import': 'importing'}
WORKER = 'work'  # what `launch.workers` starts; no person types it
EXAMPLES = '''\
examples:
  fathom run depth
  fathom run depth --strata=text --config.data.text_path=book.txt
  fathom plan depth --preset=accelerator
  fathom init idea && fathom run idea/idea.py
  fathom sweep lm-small --config.model.n_layers=1,2,4 --seeds=3
  fathom train lm-small --config.data.text_path=book.txt
  fathom data prepare pile/*.jsonl.zst --out=pile
  fathom import SmolLM2-135M --out=models/smollm2
  fathom export runs/trained/ID --out=model
  fathom generate models/smollm2.gguf "The capital of France is"
  fathom probe models/smollm2.gguf --text=book.txt
  fathom aot lm-125m --topology=v5e-16

exit codes: 0 done, 2 bad config or usage, 3 wrong or missing device,
4 diverged (train), 75 told to stop and saved, 1 the rest
'''


def main(argv: Sequence[str] | None = None) -> NoReturn:
  """Runs one command and exits."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  options = Namespace()
  try:
    process.check_packages()
    if not arguments:
      parser().print_help()
      sys.exit(usage.USAGE)
    options = parse(arguments)
    sys.exit(options.act(options))
  except BrokenPipeError:  # `| head` has seen enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(usage.FAILED)
  except Exception as error:
    _stop(error, getattr(options, 'experiment', ''))
  except KeyboardInterrupt:
    _say('interrupted; run the same command again to go on')
    sys.exit(usage.INTERRUPTED)


def parser() -> Parser:
  """The parser of all verbs."""
  whole = Parser(
    prog='fathom', epilog=EXAMPLES,
    description='Measures how deep the understanding of a language model goes.')
  verbs = whole.add_subparsers(
    title='commands', metavar='COMMAND', dest='verb', prog='fathom')
  for name in (*VERBS, WORKER):
    verb = importlib.import_module(
      f'experiments.commands.{MODULES.get(name, name)}')
    text = verb.__doc__ or ''
    said = {} if name == WORKER else {'help': text.partition('\n')[0]}
    verb.fill(verbs.add_parser(name, description=text, **said))
  return whole


def parse(arguments: Sequence[str]) -> Namespace:
  """Reads a command line; its verb's action is `act`.

  Raises:
    UsageError: naming the argument and the nearest match.
  """
  texts, rest = flags.split(arguments)
  if rest and not rest[0].startswith('-') and rest[0] != WORKER:
    usage.choose('command', rest[0], VERBS)
  options = parser().parse_args(rest)
  if not options.verb:
    raise UsageError(f'name a command: {", ".join(VERBS)}')
  options.arguments = list(arguments)
  if texts and not hasattr(options, 'texts'):
    raise UsageError(f'fathom {options.verb} takes no {flags.PREFIX}…')
  options.texts = texts
  return options


def _stop(error: Exception, experiment: str) -> NoReturn:
  """Ends with what went wrong, in one line where a person can mend it."""
  if isinstance(error, UsageError):  # does without the import below
    _say(error)
    sys.exit(usage.USAGE)
  from experiments.runs import failure
  kind = failure.kind(error)
  if kind == 'crash':
    from experiments import claims
    if experiment.endswith('.py') and (
        said := claims.mistake(error, Path(experiment))):
      _say(said)
      sys.exit(usage.USAGE)
    raise error
  _say(error if kind in ('config', 'device') else failure.message(error))
  sys.exit(failure.exit_code(error))


def _say(reason: object) -> None:
  print(f'fathom: {reason}', file=sys.stderr)
