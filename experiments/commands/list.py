"""Name the claims that can be run, and the configs that can be trained."""

import argparse


def fill(parser: argparse.ArgumentParser) -> None:
  """Adds the action."""
  parser.set_defaults(act=act)


def act(_: argparse.Namespace) -> int:
  """Prints them."""
  from experiments import claims
  from experiments.sweeps.configs import CONFIGS
  print('claims (fathom run NAME, or a file of your own: fathom init):')
  for name in claims.names():
    print(f'  {name:<12}{claims.load(name).title}')
  print('configs (fathom train NAME, or fathom sweep NAME):')
  for name, config in CONFIGS.items():
    print(f'  {name:<12}{config.model.n_layers} layers of width '
          f'{config.model.d_model}, {config.train.steps:,} steps')
  return 0
