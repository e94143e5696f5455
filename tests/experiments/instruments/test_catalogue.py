"""What holds of every instrument: on any model, it gives numbers or refuses."""

import dataclasses
import math

import jax
import numpy as np
import pytest

import model
from data.text.tokenizer import ByteTokenizer
from experiments.instruments import examination, held_out, passages
from experiments.instruments.catalogue import INSTRUMENTS
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from experiments.runs import instrument
from model import AttentionConfig, ModelConfig
from model.recurrent import GRUConfig
from train import MeshConfig, placement

TEXT = (b'The cat sat on the mat; the dog, 12 years old, sat by the cat and '
        b'slept. ')
BASE = ModelConfig(n_layers=3, d_model=16, vocab_size=256, unroll=1,
                   mixer=AttentionConfig(n_heads=2), max_length=64)
# As unlike it as two models can be together.
OTHERS = {
  'encoder': {'mask': 'bidirectional', 'unembedding': 'absent',
              'norm_placement': 'post', 'final_norm': False},
  'recurrent': {'mixer': GRUConfig(), 'position': model.NoPosition(),
                'layers': 'tied', 'branches': 'parallel',
                'unembedding': 'tied'},
}
DEFAULT = [one for one in INSTRUMENTS if one.default]


def given(folder, mesh=None, **fields):
  config = dataclasses.replace(BASE, **fields)
  params = model.init(config, jax.random.key(1))
  layout = model.Layout()
  if mesh:
    params = jax.device_put(params, placement.parameter_shardings(params, mesh))
    layout = placement.layout(mesh)
  return Given(
    Network(params, config, layout), passages.cut([list(TEXT[:50])], 32),
    passages.cut([list(TEXT[::-1])], 32), ByteTokenizer(), folder,
    jacobian_tokens=16)


def names(instruments):
  return [one.name for one in instruments]


def test_names_are_given_once():
  assert len(set(names(INSTRUMENTS))) == len(INSTRUMENTS)


def test_each_is_known_by_its_source():
  known = {instrument.name(held_out.measure(one)) for one in INSTRUMENTS}
  assert len(known) == len(INSTRUMENTS)


def check(one, asked):
  """Numbers that a table can hold, or a reason."""
  if reason := one.refusal(asked):
    assert reason[0].islower() or reason[0].isupper()
    return []
  config = asked.network.config
  rows = one.measure(asked)
  assert {row.metric for row in rows} <= set(one.metrics)
  for row in rows:
    assert math.isfinite(row.value), row
    assert row.where.get('network', 'random') == 'random'
    assert 0 <= int(row.where.get('layer', 0)) <= config.n_layers
  assert one.flops(config, asked.passages.tokens, 78) >= 0
  places = [(row.metric, tuple(sorted(row.where.items()))) for row in rows]
  assert len(set(places)) == len(places)
  return rows


@pytest.mark.parametrize('one', INSTRUMENTS, ids=names(INSTRUMENTS))
def test_fifty_tokens_are_enough_or_it_says_why_not(one, tmp_path):
  check(one, given(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize('fields', OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize('one', DEFAULT, ids=names(DEFAULT))
def test_any_model_is_read_or_refused(one, fields, tmp_path):
  check(one, given(tmp_path, **fields))


@pytest.mark.slow
def test_a_model_over_four_devices_is_the_same_model(tmp_path):
  mesh = placement.make_mesh(MeshConfig(1, 1, 2, 2))
  alone, split = (examination.examine(given(tmp_path / name, on), DEFAULT)
                  for name, on in (('one', None), ('four', mesh)))
  assert alone.refused == split.refused
  for name, rows in alone.rows.items():
    expected, found = ({(row.metric, *sorted(row.where.items())): row.value
                        for row in own} for own in (rows, split.rows[name]))
    assert expected.keys() == found.keys()
    np.testing.assert_allclose(
      [found[place] for place in expected], list(expected.values()),
      rtol=1e-3, atol=1e-3, err_msg=name)
