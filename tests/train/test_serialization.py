"""Configs come back from plain values as they were."""

import json

import pytest

from model import ModelConfig, RotaryPosition
from model.config import ConfigError
from model.mixers import MIXERS
from model.rotary_scaling import YarnScaling
from train import serialization

POSITION = RotaryPosition(5e5, 0.25, YarnScaling(8.0, original_length=64))


@pytest.mark.parametrize('mixer', MIXERS)
def test_a_config_comes_back_through_json(mixer):
  config = ModelConfig(n_layers=3, mixer=MIXERS[mixer](), init_scale=2,
                       position=POSITION, final_norm=False)
  values = json.loads(json.dumps(serialization.as_dict(config)))
  assert serialization.from_dict(ModelConfig, values) == config


def test_a_field_that_came_later_has_its_default():
  values = serialization.as_dict(ModelConfig(d_model=8))
  del values['n_layers']
  assert serialization.from_dict(ModelConfig, values) == ModelConfig(d_model=8)


@pytest.mark.parametrize(('change', 'says'), [
  ({'depth': 3}, r'model\.depth: ModelConfig has no such field'),
  ({'n_layers': '3'}, r"model\.n_layers: '3' is not a int"),
  ({'norm': 'batch'}, r"model\.norm: 'batch' is none of layer"),
  ({'mixer': {'kind': 'sum'}}, r"model\.mixer: 'sum' is none of"),
  ({'mixer': {'kind': 'attention', 'n': 3}}, r'model\.mixer\.n: Attention'),
  ({'mixer': 3}, r'model\.mixer: None is none of')])
def test_what_is_wrong_is_named(change, says):
  values = {**serialization.as_dict(ModelConfig()), **change}
  with pytest.raises(ConfigError, match=says):
    serialization.from_dict(ModelConfig, values, 'model.')
