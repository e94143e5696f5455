"""A run is scored on its own source, and on each further one by name."""

import dataclasses

import numpy as np
import pytest
from test_feeds import OnDevice, Streamed
from test_loop import BASE, assert_same, configs, timeless

import train
from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from model import ConfigError, LearnedPosition

OWN = PointerChasingConfig(symbols=5, hops=(1, 2))
EASY = PointerChasingConfig(symbols=5, hops=(1,))
HARD = PointerChasingConfig(symbols=5, hops=(2,))


@dataclasses.dataclass(frozen=True)
class OpenedConfig:
  """A source that has no fields."""

  name: str
  source: type
  causal: bool = False

  def open(self):
    return self.source()


STREAMED = OpenedConfig('streamed', Streamed)


@dataclasses.dataclass(frozen=True)
class Evaluated(DataConfig):
  evaluate: tuple = ()


def members(*evaluate, source=OWN, **fields):
  base = dataclasses.replace(
    BASE, data=Evaluated(source, batch_size=8, evaluate=evaluate),
    model=dataclasses.replace(BASE.model, **fields))
  return configs(seeds=(0, 1), base=base, evaluate_every=6)


def test_each_further_source_has_lines_of_its_own(tmp_path):
  plain = train.fit(members(), tmp_path / 'plain')
  fitted = train.fit(members(EASY, HARD), tmp_path / 'more')
  assert_same(plain.params, fitted.params)
  lines = timeless(tmp_path / 'more')
  assert [(line['step'], line['source']) for line in lines
          if 'source' in line] == [(6, 'pointer_chasing'),
                                   (6, 'pointer_chasing-2')]
  assert [line for line in lines if 'source' not in line] == timeless(
    tmp_path / 'plain')
  own, more = (train.evaluate(members(), f, 'validation')
               for f in (plain, fitted))
  assert_same(own, more)


def test_a_further_source_scores_as_it_would_as_ones_own(tmp_path):
  runs = members(EASY, HARD)
  fitted = train.fit(runs, tmp_path / 'own')
  scores = train.evaluate_others(fitted, 'validation')
  assert list(scores) == ['pointer_chasing', 'pointer_chasing-2']
  for found, source in zip(scores.values(), (EASY, HARD)):
    alone = members(source=source, vocab_size=runs[0].model.vocab_size)
    theirs = train.fit(alone, tmp_path / str(source.hops))
    expected = train.evaluate(alone, dataclasses.replace(
      theirs, params=fitted.params), 'validation')
    assert found['loss'].shape == (2, len(source.hops))
    assert_same(found, expected)


def test_a_source_that_the_host_streams_scores_as_one_on_the_device(tmp_path):
  fitted = train.fit(
    members(STREAMED, OpenedConfig('held', OnDevice)), tmp_path)
  lines = [line for line in timeless(tmp_path) if 'source' in line]
  assert [line.pop('source') for line in lines] == ['streamed', 'held']
  np.testing.assert_allclose(lines[0]['loss'], lines[1]['loss'], 1e-6)
  scores = train.evaluate_others(fitted, 'validation')
  np.testing.assert_allclose(scores['streamed']['loss'],
                             scores['held']['loss'], 1e-6)


@pytest.mark.parametrize(('fields', 'message'), [
  ({'vocab_size': 6},
   r'data.evaluate: streamed has a vocab_size of 7, more than '
   r'model.vocab_size=6; set model.vocab_size=7, or leave'),
  ({'position': LearnedPosition(), 'max_length': 5},
   r'data.evaluate: streamed has a max_length of 6, more than '
   r'model.max_length=5')])
def test_a_source_that_does_not_fit_the_model_is_refused(fields, message):
  with pytest.raises(ConfigError, match=message):
    members(STREAMED, **fields)


def test_a_model_that_looks_ahead_is_not_scored_on_what_follows():
  run = members(dataclasses.replace(STREAMED, causal=True))[0]
  with pytest.raises(ConfigError, match=r'that data.evaluate \(streamed\)'):
    run.validate()
