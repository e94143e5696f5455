"""The three language models that every part of the benchmark measures."""

import dataclasses

from data import DataConfig
from data.sources.text import TextConfig
from experiments.sweeps import flags, overrides
from model import AttentionConfig, LearnedPosition, ModelConfig
from train import Config, MeshConfig, TrainConfig, programs


def _gpt(n_layers: int, d_model: int, n_heads: int,
         vocab_size: int) -> ModelConfig:
  """What plain JAX is compared with: GPT-2's shape (Radford et al., 2019)."""
  return ModelConfig(n_layers, d_model, AttentionConfig(n_heads),
                     vocab_size=vocab_size,
                     position=LearnedPosition(), parameterisation='standard')


SIZES = {
  'S': Config(_gpt(4, 64, 4, 257), DataConfig(TextConfig(64), batch_size=32)),
  'M': Config(_gpt(6, 256, 8, 512), DataConfig(TextConfig(256), batch_size=16)),
  'L': Config(_gpt(12, 768, 12, 8192),
              DataConfig(TextConfig(512), batch_size=4)),
}


def single(config: Config) -> Config:
  """One replica on one device, complete, in chunks as long as is asked for."""
  return programs.complete(dataclasses.replace(
    config, mesh=MeshConfig(replica=1), train=TrainConfig(chunk_steps=1000)))


def arguments(config: Config) -> list[str]:
  """The config as overrides of the default one."""
  default = {path: value for path, _, value in overrides.leaves(Config())}
  return [f'{flags.PREFIX}{path}={value}'
          for path, _, value in overrides.leaves(config)
          if value != default[path]]
