"""Configs of Llama, Mistral and Qwen, read as transformers reads them."""

import dataclasses

import pytest

from model.config import ConfigError
from model.feed_forward import GatedFeedForward, PlainFeedForward
from model.position import LearnedPosition, RotaryPosition
from model.pretrained import UnreadableModel
from model.pretrained.llama import LLAMA, table
from model.rotary_scaling import (
  LinearScaling,
  Llama3Scaling,
  NoScaling,
  YarnScaling,
)

SIZES = {'hidden_size': 4096, 'intermediate_size': 11008,
         'num_hidden_layers': 32, 'num_attention_heads': 32,
         'vocab_size': 32000}


def read(model_type='llama', **said):
  return LLAMA.config({**SIZES, 'model_type': model_type} | said)


# The defaults of the config classes of transformers 5.24.
@pytest.mark.parametrize(('kind', 'groups', 'head', 'length'), [
  ('llama', 32, 128, 2048), ('mistral', 8, 128, 4096),
  ('qwen2', 32, 128, 32768), ('qwen3', 32, 128, 32768)])
def test_what_a_config_leaves_out(kind, groups, head, length):
  config = read(kind)
  assert config.mixer.kv_heads == groups
  assert config.mixer.head_width(config) == head
  assert config.max_length == length
  assert config.norm_epsilon == 1e-6
  assert config.unembedding == 'separate'
  assert config.position == RotaryPosition(base=10_000.0)
  assert config.feed_forward == GatedFeedForward(
    multiple=11008 / 4096, activation='silu', bias=False)
  assert config.ff_width == 11008
  assert config.mixer.qkv_bias == (kind == 'qwen2')
  assert not config.mixer.out_bias
  assert config.mixer.qk_norm == ('head' if kind == 'qwen3' else 'none')
  config.validate()


def test_null_is_not_always_absence():
  assert read('mistral', num_key_value_heads=None).mixer.kv_heads == 32
  assert read('mistral', sliding_window=None).max_length == 131_072
  assert read('llama', head_dim=None).mixer.head_width(read()) == 128
  # The width of Qwen 3's heads does not follow from its width.
  assert read('qwen3', hidden_size=1024).mixer.d_head == 128
  assert read('qwen2', hidden_size=1024).mixer.d_head == 32


@pytest.mark.parametrize(('said', 'length'), [
  ({'use_sliding_window': False, 'sliding_window': 16}, 32768),
  ({'use_sliding_window': True, 'max_window_layers': 0}, 4096),
  ({'use_sliding_window': True, 'sliding_window': None,
    'max_window_layers': 0}, 32768),
  ({'use_sliding_window': True, 'sliding_window': 16,
    'max_window_layers': 32}, 32768),
  ({'use_sliding_window': True, 'sliding_window': 16,
    'max_window_layers': 31}, 16),
  ({'use_sliding_window': True, 'layer_types': ['full_attention'] * 32}, 32768),
  ({'use_sliding_window': True, 'sliding_window': 16,
    'layer_types': ['sliding_attention'] * 32, 'max_window_layers': 32}, 16),
  ({'use_sliding_window': True, 'sliding_window': 2**20}, 32768)])
def test_a_window_bounds_the_length(said, length):
  assert read('qwen2', **said).max_length == length


def test_biases_are_those_of_their_kind():
  llama = read(attention_bias=True, mlp_bias=True)
  assert llama.mixer.qkv_bias
  assert llama.mixer.out_bias
  assert llama.feed_forward.bias
  assert not read('mistral', attention_bias=True).mixer.qkv_bias
  assert not read('mistral', mlp_bias=True).feed_forward.bias
  qwen = read('qwen2', attention_bias=False)
  assert qwen.mixer.qkv_bias
  assert not qwen.mixer.out_bias
  assert read('qwen3', attention_bias=True).mixer.out_bias


@pytest.mark.parametrize(('part', 'scaling'), [
  (None, NoScaling()),
  ({'type': 'default'}, NoScaling()),
  ({'type': 'linear', 'factor': 2}, LinearScaling(2.0)),
  ({'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0,
    'high_freq_factor': 4.0, 'original_max_position_embeddings': 512},
   Llama3Scaling(8.0, 1.0, 4.0, 512)),
  ({'rope_type': 'yarn', 'factor': 4.0}, YarnScaling(4.0, 2048)),
  ({'rope_type': 'yarn', 'factor': 4.0, 'beta_fast': 16, 'beta_slow': 2,
    'original_max_position_embeddings': 512, 'attention_factor': 1.5},
   YarnScaling(4.0, 512, 16.0, 2.0, 1.5)),
  # DeepSeek's (0.1 m ln s + 1) / (0.1 n ln s + 1).
  ({'rope_type': 'yarn', 'factor': 4.0, 'mscale': 1.0, 'mscale_all_dim': 2.0},
   YarnScaling(4.0, 2048, attention_factor=1.1386294361 / 1.2772588722))])
def test_rotary_position_is_read_as_older_and_newer_configs_have_it(
    part, scaling):
  older = read(rope_theta=500.0, rope_scaling=part)
  newer = read(rope_parameters={**(part or {}), 'rope_theta': 500.0})
  assert older.position.base == newer.position.base == 500.0
  for found in (older.position.scaling, newer.position.scaling):
    assert type(found) is type(scaling)
    assert dataclasses.astuple(found) == pytest.approx(
      dataclasses.astuple(scaling))


@pytest.mark.parametrize(('said', 'words'), [
  ({'rope_scaling': {'type': 'dynamic', 'factor': 2.0}},
   "rope_scaling: type: 'dynamic' is none of default, linear, llama3, yarn"),
  ({'rope_parameters': {'rope_type': 'longrope'}}, "'longrope' is none of"),
  ({'rope_scaling': {'type': 'linear'}}, 'rope_scaling: factor: is missing'),
  ({'rope_scaling': {'type': 'linear', 'factor': float('inf')}}, 'factor: inf'),
  ({'rope_scaling': {'type': 'linear', 'factor': 0.5}}, 'factor: 0.5'),
  ({'rope_scaling': 'linear'}, "rope_scaling: 'linear' is not an object"),
  ({'rope_scaling': {'rope_type': 'yarn', 'factor': 2.0, 'truncate': False}},
   'truncate: False is not computed'),
  # Their library asks `if truncate`.
  ({'rope_scaling': {'rope_type': 'yarn', 'factor': 2.0, 'truncate': None}},
   'truncate: None is not computed'),
  ({'rope_scaling': {'rope_type': 'llama3', 'factor': 2.0,
                     'low_freq_factor': 4, 'high_freq_factor': 1}},
   'high_freq_factor: 1.0 is not above'),
  ({'rope_parameters': {'full_attention': {'rope_theta': 1e4}}},
   'full_attention: layers of different rotary position'),
  ({'partial_rotary_factor': 0.5}, 'partial_rotary_factor: 0.5'),
  ({'rope_theta': float('nan')}, 'rope_theta: nan'),
  ({'model_type': 'qwen2', 'use_sliding_window': True, 'layer_types': 3},
   'layer_types: is not a list'),
  ({'rms_norm_eps': 0}, 'rms_norm_eps: 0'),
  ({'rms_norm_eps': '1e-5'}, "rms_norm_eps: '1e-5' is not a number"),
  ({'hidden_act': 'relu2'}, "hidden_act: 'relu2' is none of")])
def test_what_is_not_computed_is_refused(said, words):
  with pytest.raises(UnreadableModel, match=words):
    read(**said)


def test_a_width_that_was_rounded_goes_out():
  config = dataclasses.replace(read(hidden_size=64, num_attention_heads=4),
                               feed_forward=GatedFeedForward(8 / 3, 'silu'))
  assert LLAMA.theirs(config)['intermediate_size'] == config.ff_width == 171


@pytest.mark.parametrize(('field', 'changes'), [
  ('model.norm', {'norm': 'layer'}),
  ('model.norm_placement', {'norm_placement': 'post'}),
  ('model.branches', {'branches': 'parallel'}),
  ('model.layers', {'layers': 'tied'}),
  ('model.final_norm', {'final_norm': False}),
  ('model.unembedding', {'unembedding': 'none'}),
  ('model.feed_forward', {'feed_forward': PlainFeedForward()}),
  ('model.position', {'position': LearnedPosition()}),
  ('model.position.fraction', {'position': RotaryPosition(fraction=0.5)})])
def test_a_model_that_is_no_llama_is_refused_by_field(field, changes):
  with pytest.raises(ConfigError, match=rf'^{field}\b'):
    LLAMA.theirs(dataclasses.replace(read(), **changes))


def test_biases_that_no_kind_has_are_refused():
  config = read()
  mixer = dataclasses.replace(config.mixer, out_bias=True)
  with pytest.raises(ConfigError, match=r'^model\.mixer\.out_bias'):
    LLAMA.theirs(dataclasses.replace(config, mixer=mixer))


def test_the_vectors_of_a_layer_are_in_the_table():
  names = {entry.ours for entry in table(read('qwen3', attention_bias=True))}
  assert {'stack/mixer/scale_q_K', 'stack/mixer/b_o_D'} <= names
