"""How parameters are found, and the whole configuration of a run."""

import dataclasses
from typing import Literal

from data.config import DataConfig
from model.config import EXECUTION, TRACED, ConfigError, ModelConfig
from train import trainable
from train.trainable import Trainable

Decay = Literal['cosine', 'linear', 'constant']
Compile = Literal['jit', 'pmap']
Platform = Literal['auto', 'cpu', 'gpu', 'tpu']


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Exactly `steps` updates of AdamW on batches drawn from `seed`."""

  steps: int = 1000
  seed: int = dataclasses.field(default=0, metadata=TRACED)
  learning_rate: float = dataclasses.field(default=1e-3, metadata=TRACED)
  weight_decay: float = dataclasses.field(default=0.01, metadata=TRACED)
  warmup_fraction: float = 0.05
  decay: Decay = 'cosine'
  final_fraction: float = 0.1  # of the learning rate, at the last step
  beta1: float = 0.9
  beta2: float = 0.95
  epsilon: float = 1e-8
  clip_norm: float = 1.0
  trainable: Trainable = dataclasses.field(
    default=trainable.All(), metadata={'kinds': trainable.KINDS})
  evaluation_batches: int = 8  # fewer where the held-out data end sooner
  evaluate_every: int = 0  # steps; 0: at the end only
  # A batch is taken in this many parts, one after the other, whose gradients
  # are summed: the same up to rounding, as with a mesh that splits the batch.
  microbatches: int = dataclasses.field(default=1, metadata=EXECUTION)
  chunk_steps: int = dataclasses.field(default=50, metadata=EXECUTION)
  checkpoint_every: int = dataclasses.field(default=0, metadata=EXECUTION)
  keep_checkpoints: int = dataclasses.field(default=2, metadata=EXECUTION)
  # checkpoints at multiples of these steps are never removed; 0: none
  keep_every: int = dataclasses.field(default=0, metadata=EXECUTION)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """Devices along each axis of the mesh; -1 takes what the others leave."""

  replica: int = dataclasses.field(default=-1, metadata=EXECUTION)
  data: int = dataclasses.field(default=1, metadata=EXECUTION)
  fsdp: int = dataclasses.field(default=1, metadata=EXECUTION)
  tensor: int = dataclasses.field(default=1, metadata=EXECUTION)
  # pmap: data parallelism alone, the batch split over `data`
  compile: Compile = dataclasses.field(default='jit', metadata=EXECUTION)
  platform: Platform = dataclasses.field(default='auto', metadata=EXECUTION)
  # replicas trained side by side, at most; 0: all runs of one shape
  pack: int = dataclasses.field(default=0, metadata=EXECUTION)


@dataclasses.dataclass(frozen=True)
class Config:
  """One run, whole."""

  model: ModelConfig = ModelConfig()
  data: DataConfig = DataConfig()
  train: TrainConfig = TrainConfig()
  mesh: MeshConfig = MeshConfig()

  def validate(self) -> None:
    """Raises ConfigError, naming the field and the fix."""
    self.model.validate()
    if self.model.unembedding == 'absent':
      raise ConfigError(
        "model.unembedding: 'absent' scores no tokens, so there is nothing to "
        "train on; use 'separate' or 'tied'")
    self._validate_mask()
    train = self.train
    if self.data.batch_size < 1:
      raise ConfigError(
        f'data.batch_size: {self.data.batch_size} must be at least 1')
    for name in ('evaluate_every', 'checkpoint_every', 'keep_every'):
      if getattr(train, name) < 0:
        raise ConfigError(
          f'train.{name}: {getattr(train, name)} must be 0 (never) or more')
    if self.mesh.pack < 0:
      raise ConfigError(f'mesh.pack: {self.mesh.pack} must be 0 or more')
    for name in ('steps', 'evaluation_batches', 'microbatches', 'chunk_steps',
                 'keep_checkpoints'):
      if getattr(train, name) < 1:
        raise ConfigError(
          f'train.{name}: {getattr(train, name)} must be at least 1')
    for name in ('warmup_fraction', 'final_fraction'):
      if not 0 <= getattr(train, name) <= 1:
        raise ConfigError(
          f'train.{name}: {getattr(train, name)} must lie in [0, 1]')
    for name in ('learning_rate', 'clip_norm'):
      if not 0 < getattr(train, name) < float('inf'):
        raise ConfigError(
          f'train.{name}: {getattr(train, name)} must be above 0 and finite')
    train.trainable.validate(self.model)

  def _validate_mask(self) -> None:
    """Refuses a model that could read what it is asked to predict."""
    named = [('source', self.data.source),
             *(('evaluate', s) for s in getattr(self.data, 'evaluate', ()))]
    for field, source in named:
      if source.causal and self.model.mask != 'causal':
        raise ConfigError(
          f'model.mask: {self.model.mask!r} lets the model read the tokens '
          f"that data.{field} ({source.name}) asks it to predict; use 'causal'")
