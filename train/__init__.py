"""How parameters are found: mesh, optimizer, replica, ensemble, loop."""

from train.config import Config, MeshConfig, TrainConfig
from train.ensemble import (
  Fit,
  evaluate,
  evaluate_others,
  fit,
  saved,
  survived,
)
from train.loop import Hooks
from train.start import initial

__all__ = ['Config', 'Fit', 'Hooks', 'MeshConfig', 'TrainConfig', 'evaluate',
           'evaluate_others', 'fit', 'initial', 'saved', 'survived']
