"""Seconds on a device that is not here."""

import dataclasses

import pytest

from data.config import DataConfig
from data.sources.hop_string import HopStringConfig
from experiments.foresight import pace
from experiments.machine import accelerators
from model import ModelConfig, count
from train import programs
from train.config import Config, TrainConfig

H100 = accelerators.named('h100')


def config(**fields):
  return programs.complete(Config(
    ModelConfig(**fields), DataConfig(HopStringConfig(length=64)),
    TrainConfig(steps=100)))


def test_small_steps_take_what_their_layers_take():
  for n in (1, 4):
    tiny = config(n_layers=n, d_model=16)
    assert pace.seconds([tiny], H100) == pytest.approx(
      100 * (n + 1) * pace.LAYER_SECONDS)
    assert pace.seconds([tiny] * 3, H100) == pace.seconds([tiny], H100)


def test_large_steps_take_their_products():
  large = config(d_model=4096)
  flops = 100 * 32 * count.train_flops(large.model, 64)
  rate = pace.UTILISATION * H100.float32
  assert pace.seconds([large], H100) == pytest.approx(flops / rate)
  assert pace.seconds([large] * 3, H100) == pytest.approx(3 * flops / rate)
  half = dataclasses.replace(large, model=dataclasses.replace(
    large.model, dtype='bfloat16'))
  assert pace.seconds([half], H100) == pytest.approx(flops / rate / 2)


def test_what_is_assumed_is_said():
  assert pace.assumption(H100) == (
    '10% of the 989 TFLOP/s that it does in bfloat16 (495 in float32), and '
    '0.25 ms at least for each layer of a step')
