"""Training configs that ship, by name. Any field can be overridden.

The two large ones read a corpus of your own, `--config.data.text_path=…`, which
the commands below leave out. `train.microbatches`, `model.remat` and `mesh` say
how a step is taken, not what it computes: any of them may change from one start
of a run to the next. `fathom aot CONFIG --topology=T` says what fits where.
"""

import dataclasses
from collections.abc import Mapping

from data import DataConfig
from data.sources.text import TextConfig
from experiments.machine.usage import UsageError, choose
from experiments.sweeps import overrides
from model import (
  AttentionConfig,
  GatedFeedForward,
  LearnedPosition,
  ModelConfig,
)
from train import Config, MeshConfig, TrainConfig, programs

# Where a config names no interval: the work that a crash can cost.
CHECKPOINTS = 20
LEAST_STEPS = 50  # between two of them, or a short run does nothing but save

CONFIGS: dict[str, Config] = {
  # Minutes on a laptop, with the prose that ships with Python, byte by byte.
  #   one CPU, one GPU   fathom train lm-small
  #   8 devices, a pod   the same; on a pod add --distributed
  'lm-small': Config(
    ModelConfig(n_layers=4, d_model=64, mixer=AttentionConfig(n_heads=4)),
    DataConfig(TextConfig(length=128), batch_size=32),
    TrainConfig(steps=2000, learning_rate=3e-3, evaluate_every=500),
    MeshConfig(replica=1, data=-1)),
  # GPT-2 small (Radford et al., 2019) with the rates of nanoGPT (Karpathy,
  # 2022): half a million tokens a step, ten billion in all. The vocabulary is
  # padded from 50257 to a multiple of 128, so that it can be cut. As it stands
  # it is for one GPU; more devices need fewer microbatches.
  #   one CPU     fathom train lm-125m --config.model.dtype=float32
  #               --config.data.batch_size=16 --config.train.steps=20
  #   one GPU     fathom train lm-125m
  #   8 devices   fathom train lm-125m --config.train.microbatches=2 (v5e-8: 4)
  #   v5e-16      the same with --config.train.microbatches=4 --distributed
  'lm-125m': Config(
    ModelConfig(
      n_layers=12, d_model=768, mixer=AttentionConfig(n_heads=12),
      position=LearnedPosition(),
      unembedding='tied', parameterisation='standard', vocab_size=50304,
      dtype='bfloat16'),
    DataConfig(TextConfig(length=1024, tokenizer='bpe', vocab_size=50257,
                          held_out=0.01), batch_size=512),
    TrainConfig(steps=19_073, learning_rate=6e-4, weight_decay=0.1,
                warmup_fraction=0.037, evaluate_every=1000,
                checkpoint_every=1000, microbatches=16),
    MeshConfig(replica=1, data=-1)),
  # The shape and the rates of TinyLlama (Zhang et al., 2024), 1.1 billion
  # parameters, for 20 tokens a parameter (Hoffmann et al., 2022). As it stands
  # it is for 8 or 16 devices.
  #   one CPU          fathom train lm-1b --config.model.dtype=float32
  #                    --config.data.batch_size=16 --config.train.steps=2
  #   one GPU          fathom train lm-1b --config.train.microbatches=64
  #   8 devices        fathom train lm-1b
  #   v5e-16, v5p-32   fathom train lm-1b --distributed
  'lm-1b': Config(
    ModelConfig(
      n_layers=22, d_model=2048,
      mixer=AttentionConfig(n_heads=32, n_kv_heads=4), norm='rms',
      feed_forward=GatedFeedForward(2.75, 'silu'),
      parameterisation='standard', vocab_size=32_000, dtype='bfloat16',
      remat='dots'),
    DataConfig(TextConfig(length=2048, tokenizer='bpe', vocab_size=32_000,
                          held_out=0.005), batch_size=1024),
    TrainConfig(steps=10_500, learning_rate=4e-4, weight_decay=0.1,
                warmup_fraction=0.02, evaluate_every=500,
                checkpoint_every=500, microbatches=16),
    MeshConfig(replica=1, fsdp=-1)),
}


def named(name: str) -> Config:
  """The config of that name.

  Raises:
    UsageError: there is none.
  """
  if not name:
    raise UsageError(f'name one config: {", ".join(CONFIGS)}')
  choose('config', name, list(CONFIGS))
  return CONFIGS[name]


def resolve(base: Config, texts: Mapping[str, str]) -> Config:
  """A named config with what was typed, complete and valid.

  A single run has no use for a replica axis: unless the mesh says otherwise
  its batch is split over all devices.
  """
  config = overrides.replace(base, overrides.parse(base, texts))
  mesh = config.mesh
  if mesh.replica == -1:
    plain = mesh.data == mesh.fsdp == mesh.tensor == 1
    mesh = dataclasses.replace(mesh, replica=1, data=-1 if plain else mesh.data)
  if mesh.replica != 1:
    raise UsageError(f'--config.mesh.replica={mesh.replica}: one run is one '
                     'replica; use --config.mesh.data or --config.mesh.fsdp')
  config = programs.complete(scheduled(dataclasses.replace(config, mesh=mesh)))
  config.validate()
  return config


def scheduled(config: Config) -> Config:
  """The config with checkpoints, where it does not say when to take them."""
  schedule = config.train
  if schedule.checkpoint_every:
    return config
  every = min(schedule.steps,
              max(LEAST_STEPS, schedule.steps // CHECKPOINTS))
  return dataclasses.replace(
    config, train=dataclasses.replace(schedule, checkpoint_every=every))
