"""How parameters are found: mesh, optimizer, step, ensemble, loop."""

from train.config import Config, MeshConfig, TrainConfig
from train.ensemble import Fit, evaluate, fit, saved, survived
from train.loop import Hooks
from train.start import initial

__all__ = ['Config', 'Fit', 'Hooks', 'MeshConfig', 'TrainConfig', 'evaluate',
           'fit', 'initial', 'saved', 'survived']
