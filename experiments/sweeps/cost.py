"""What a run costs before it runs: parameters, FLOPs, a guess at seconds."""

import functools

from model import count
from train import program
from train.config import Config

# Sustained FLOP/s assumed for one CPU core until a run has been measured here.
ASSUMED_FLOPS = 10e9


@functools.cache
def parameters(config: Config) -> int:
  """Trainable parameters, embeddings included."""
  return count.parameters(config.model).total


@functools.cache
def train_flops(config: Config) -> float:
  """FLOPs of the whole training run: forward and backward, 3 x forward."""
  length = program.source_of(program.shape(config).data).length
  forward = count.flops(config.model, length).total
  examples = config.train.steps * config.data.batch_size
  return 3.0 * forward * examples
