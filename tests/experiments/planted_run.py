"""A finished run that nobody trained."""

import jax
import numpy as np

import model
from experiments.runs.store import Store
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Train
from train import programs, serialization


def params(config, seed=0):
  """Parameters far from their start."""
  shapes = jax.eval_shape(lambda: model.init(config, jax.random.key(0)))
  random = np.random.default_rng(seed)
  return jax.tree.map(
    lambda x: 0.3 * random.standard_normal(x.shape, np.float32), shapes)


def plant(runs, config, seed=0, **changes):
  """Keeps a run of a config; returns its folder."""
  config = programs.complete(config)
  store, run = Store(runs), run_id(Train(config))
  store.publish(run, {
    'status': 'done', 'config': serialization.as_dict(config),
    'parameters': store.keep_params(run, params(config.model, seed)),
    **changes})
  return store.run(run)
