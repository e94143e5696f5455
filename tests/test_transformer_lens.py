"""What the table from TransformerLens says of us is there."""

import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import fathom
import model
from data.text.tokenizer import ByteTokenizer
from experiments.runs.loaded import Model
from model import SITES, AttentionConfig, GatedFeedForward, ModelConfig, sites

TEXT = (Path(__file__).parents[1] / 'docs' / 'transformer_lens.md').read_text()
CONFIG = ModelConfig(
  n_layers=1, d_model=8,
  mixer=AttentionConfig(n_heads=2, qkv_bias=True, out_bias=True),
  feed_forward=GatedFeedForward(bias=True), vocab_size=257, max_length=8,
  unroll=1)


def ours(section):
  """The names in the second column of a section's table."""
  body = re.split(r'^## ', TEXT, flags=re.M)
  table = next(part for part in body if part.startswith(section))
  rows = [line.split('|') for line in table.splitlines()
          if line.startswith('| `')]
  return [name for row in rows for name in re.findall('`([^`]+)`', row[2])]


def parameters(config):
  return flatten_dict(jax.eval_shape(
    lambda: model.init(config, jax.random.key(0))), sep='/')


def test_every_site_stands_in_the_table_and_no_other():
  assert sorted(ours('Hooks')) == sorted(SITES) == sorted(
    sites.available(CONFIG))


@pytest.mark.parametrize('path', ours('Config'))
def test_every_field_is_there(path):
  functools.reduce(getattr, path.split('.')[1:], CONFIG)


def test_every_parameter_is_there():
  learned = ModelConfig(vocab_size=8, max_length=8,
                        position=model.LearnedPosition())
  have = {*parameters(CONFIG), *parameters(learned)}
  assert set(ours('Weights')) <= have
  missing = {path for path in parameters(CONFIG) if path not in TEXT}
  assert missing == {'stack/ffn/b_gate_F'}  # nothing of theirs has its place


@pytest.mark.parametrize('call', ours('Functions'))
def test_every_function_is_there_and_takes_what_is_said(call):
  params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), parameters(
    CONFIG))
  held = Model(CONFIG, unflatten_dict(params, sep='/'), ByteTokenizer())
  values = {'m': held, 'fathom': fathom, 'text': 'abc', 'ids': [97, 98],
            'x': held.run('abc', taps=['resid_post']).taps['resid_post']}
  call = call.replace('taps=[…]', "taps=['resid_post']")
  call = call.replace('edits=[…]', "edits=[fathom.ablate('ffn_out', 0)]")
  call = call.replace('tokens=…', 'tokens=2').removesuffix('(path)')
  assert eval(call, values) is not None
