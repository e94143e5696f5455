"""What a run costs before it runs: parameters, FLOPs, a guess at seconds."""

import functools

from experiments.sweeps.task import Task, Train
from model import ModelConfig, count
from train import programs
from train.config import Config

# Sustained FLOP/s assumed for one CPU core until a run has been measured here.
ASSUMED_FLOPS = 28e9


@functools.cache
def parameters(model: ModelConfig) -> int:
  """Parameters, embeddings included."""
  return count.parameters(model).total


@functools.cache
def train_flops(config: Config) -> float:
  """FLOPs of the whole training run: forward and backward."""
  length = programs.source_of(config).length
  examples = config.train.steps * config.data.batch_size
  return float(count.train_flops(config.model, length) * examples)


def flops(task: Task) -> float:
  """FLOPs of a task; 0 where nothing is trained."""
  return train_flops(task.config) if isinstance(task, Train) else 0.0
