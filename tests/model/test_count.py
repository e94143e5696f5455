import itertools

import jax
import jax.numpy as jnp
import pytest
import tiny

import model
from model import count

SWITCHES = [
  {}, {'layers': 'tied'}, {'feed_forward': 'gated', 'norm': 'rms'},
  {'feed_forward': 'gated', 'bias': True, 'multiple': 2.6}, {'bias': False},
  {'feed_forward': 'none', 'unembedding': 'tied'},
  {'position': 'learned', 'multiple': 2.6},
  {'unembedding': 'none', 'd_model': 24, 'vocab_size': 24},
  {'unembedding': 'absent'}, {'qkv_bias': True}, {'out_bias': True},
  {'qk_norm': 'head'}, {**tiny.EVERYTHING, 'd_head': 8}]


@pytest.mark.parametrize(('mixer', 'changes'),
                         list(itertools.product(tiny.MIXERS, SWITCHES)))
def test_parameters_are_those_of_the_tree(mixer, changes):
  config = tiny.config(mixer, **{
    'n_heads': 4, 'n_kv_heads': 2, 'd_head': 6, 'n_layers': 3, **changes})
  shapes = tiny.shapes_of(config)
  size = {name: sum(leaf.size for leaf in jax.tree.leaves(part))
          for name, part in shapes.items()}
  counted = count.parameters(config)
  assert counted.total == sum(size.values())
  assert counted.stack == size['stack']
  assert counted.embedding == (size['token_embedding']
                               + size.get('position_embedding', 0)
                               + size.get('token_types', 0))
  assert counted.unembedding == size.get('unembedding', 0)
  assert counted.embedding_norm == size.get('embedding_norm', 0)
  assert counted.final_norm == size.get('norm', 0)


@pytest.mark.parametrize(('mixer', 'changes'), [
  ('attention', {'n_kv_heads': 1}), ('attention', {'feed_forward': 'gated'}),
  ('gru', {}), ('linear_recurrence', {'layers': 'tied'}),
  ('convolution', {'feed_forward': 'none'})])
def test_flops_are_those_that_xla_counts(mixer, changes):
  # XLA adds the work on single elements, which at this width is 1 to 4 %. Of
  # a GRU's loop over positions it counts one turn: so one position.
  length = 1 if mixer == 'gru' else 32
  config = tiny.config(mixer, d_model=128, vocab_size=300, max_length=length,
                       position='none', unroll=2, **changes)
  lowered = tiny.jit(
    lambda params, tokens_BT: model.apply(config, params, tokens_BT).logits_BTV
  ).lower(tiny.shapes_of(config),
          jax.ShapeDtypeStruct((1, length), jnp.int32))
  xla = lowered.compile().cost_analysis()['flops']
  assert 1 < xla / count.flops(config, length).total < 1.04


def test_flops_grow_as_they_should():
  config = tiny.config(n_layers=4)
  one, two = count.flops(config, 8), count.flops(config, 16)
  assert two.feed_forward == 2 * one.feed_forward
  assert 2 * one.mixer < two.mixer < 4 * one.mixer
  tied = count.flops(tiny.config(n_layers=4, layers='tied'), 8)
  assert tied == one
  assert count.train_flops(config, 8) == 3 * one.total
