"""Say what a training config needs on TPUs or GPUs that are not here.

Compiles one step for them, which takes a minute or more.
"""

import argparse

from experiments.commands.parser import add_config, whole
from experiments.machine.usage import DeviceError, UsageError


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the arguments and the action."""
  parser.add_argument('config', nargs='?', default='', metavar='CONFIG',
                      help='what would be trained (fathom list)')
  parser.add_argument('--topology', default='', metavar='T',
                      help='devices, such as v5e-16')
  parser.add_argument(
    '--corpus-tokens', type=whole(1), default=2**24, metavar='N',
    help='of the text that lies on every device (default: 16.8 million)')
  add_config(parser)
  parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
  """Prints what is needed; 1 when it does not fit."""
  from experiments.foresight import topology
  from experiments.sweeps import configs, overrides
  config = configs.named(options.config)
  if not options.topology:
    raise UsageError('--topology is missing; use one of\n' + topology.known())
  config = overrides.replace(config, overrides.parse(config, options.texts))
  there = topology.parse(options.topology)
  try:
    topology.check_installed(there)
    from experiments.commands import forecast
    return forecast.tell(options.config, config, there, options.corpus_tokens)
  except topology.Unavailable as error:
    raise DeviceError(error) from error
