"""How parameters are found: mesh, optimizer, step, ensemble, loop."""

from train.config import Config, MeshConfig, TrainConfig
from train.ensemble import Fit, evaluate, fit, survived

__all__ = ['Config', 'Fit', 'MeshConfig', 'TrainConfig', 'evaluate', 'fit',
           'survived']
