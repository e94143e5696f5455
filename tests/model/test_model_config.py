import dataclasses

import jax
import numpy as np
import pytest
import tiny
from flax import linen as nn

import model
from model import RotaryPosition, mixers
from model.config import MixerConfig
from model.rotary_scaling import LinearScaling, Llama3Scaling, YarnScaling


@pytest.mark.parametrize(('field', 'changes'), [
  ('mixer.n_heads', {'n_heads': 3}), ('mixer.n_heads', {'n_heads': 0}),
  ('n_layers', {'n_layers': 0}),
  ('mixer.n_kv_heads', {'n_kv_heads': 3, 'n_heads': 4}),
  ('mixer.d_head', {'n_heads': 8}),
  ('feed_forward.multiple', {'multiple': 0.0}),
  ('position', {'mixer': 'gru', 'position': 'rotary'}),
  ('mask', {'mixer': 'convolution', 'mask': 'bidirectional'}),
  ('mixer.window', {'mixer': 'convolution', 'window': 0}),
  ('vocab_size', {'vocab_size': 0}),
  ('norm_epsilon', {'norm_epsilon': 0.0}), ('token_types', {'token_types': -1}),
  ('branches', {'branches': 'parallel', 'norm_placement': 'post'}),
  ('mixer.d_head', {'d_head': 3}),
  ('position.base', {'base': 1.0}),
  ('position.fraction', {'fraction': 0.0}),
  ('position.fraction', {'fraction': 1.5}),
  ('position.fraction', {'fraction': 0.75}),
  ('position.fraction', {'fraction': 0.1}),
  ('position.scaling.factor', {'scaling': LinearScaling(0.5)}),
  ('position.scaling.low_freq', {'scaling': Llama3Scaling(low_frequency=9.0)}),
  ('position.scaling.original_length',
   {'scaling': Llama3Scaling(original_length=0)}),
  ('position.scaling.beta_slow', {'scaling': YarnScaling(beta_slow=0.0)}),
  ('position.scaling.attention_factor',
   {'scaling': YarnScaling(attention_factor=-1.0)}),
  ('max_length', {'position': 'learned', 'max_length': 0})])
def test_a_model_that_cannot_be_built_names_the_field(field, changes):
  with pytest.raises(model.ConfigError, match=fr'^model\.{field}'):
    model.init(tiny.config(**changes), jax.random.key(0))


def test_a_config_is_completed_where_it_is_silent():
  config = model.complete(model.ModelConfig(vocab_size=5), vocab_size=9,
                          max_length=12)
  assert (config.vocab_size, config.max_length) == (5, 12)


class Shift(nn.Module):
  """Each position reads the one some steps before it."""

  steps: int

  @nn.compact
  def __call__(self, x_BTD, layer, sites):
    scale_D = self.param('scale_D', nn.initializers.ones, (x_BTD.shape[-1],))
    shifted = sites.rows.preceded(x_BTD, self.steps)
    return scale_D * sites.at('mixer_hidden', shifted[:, :x_BTD.shape[1]])


@dataclasses.dataclass(frozen=True)
class ShiftConfig(MixerConfig):
  steps: int = 1

  def module(self, model):
    return Shift(self.steps)

  def weights(self, model):
    return 0

  def vectors(self, model):
    return model.d_model

  def memory(self, model, batch, length):
    shape = (batch, self.steps, model.d_model)
    return {'input_BWD': jax.ShapeDtypeStruct(shape, model.dtype)}


def test_a_mixer_is_one_class_and_one_entry_in_the_list(monkeypatch):
  monkeypatch.setattr(mixers, 'MIXERS', {**mixers.MIXERS, 'shift': ShiftConfig})
  base = tiny.config('gru', feed_forward='none')
  config = dataclasses.replace(base, mixer=ShiftConfig(steps=2))
  size = sum(leaf.size for leaf in jax.tree.leaves(tiny.shapes_of(config)))
  assert model.count.parameters(config).total == size
  reads_TT = tiny.influence(config, tiny.params(config), tiny.tokens())
  np.testing.assert_array_equal(
    reads_TT > 0, sum(np.eye(tiny.LENGTH, k=-2 * n) for n in range(3)) > 0)
  with pytest.raises(model.ConfigError, match=r'model\.mixer=shift has none'):
    dataclasses.replace(config, position=RotaryPosition()).validate()
