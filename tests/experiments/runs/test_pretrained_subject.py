"""Pretrained models are measured and gone on from, as runs are."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

import model
from data import DataConfig
from data.sources.hop_string import HopStringConfig
from data.sources.text import TextConfig
from experiments.judge import table
from experiments.machine.usage import UsageError
from experiments.runs import instrument, origin, remaining
from experiments.runs.executor import Executor
from experiments.runs.preemption import Preemption
from experiments.runs.store import Store
from experiments.runs.subject import Row
from experiments.runs.worker import work
from experiments.sweeps import parent, plan
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.task import Pretrained, Train
from model.config import ConfigError
from train import MeshConfig, TrainConfig, programs, replica
from train.config import Config

REFERENCES = pathlib.Path(__file__).parents[2] / 'model/pretrained/references'
LLAMA = str(REFERENCES / 'llama')
BASE = Config(
  data=DataConfig(HopStringConfig(length=16, symbols=5, hops=(1, 2)),
                  batch_size=8),
  train=TrainConfig(steps=3, chunk_steps=1, learning_rate=1e-2,
                    evaluation_batches=1))


def scores(subject):
  tokens_BT = np.arange(8)[None]
  logits_BTV = model.apply(subject.model, subject.params, tokens_BT).logits_BTV
  return [Row('mean_logit', float(logits_BTV.mean())),
          Row('layers', subject.model.n_layers)]


def make(runs, *cells, measure=scores):
  part = Part('real', lambda preset, pins: cells, measure)
  return plan.make(Experiment('tiny', 'Tiny', (part,)), 'smoke', (), {}, runs)


def do(planned):
  return work(Executor(Store(planned.runs), Preemption()),
              remaining.work(planned))


def test_a_pretrained_model_is_measured_and_not_trained(tmp_path):
  cell = Cell('real', 'plain', Pretrained(LLAMA))
  planned = make(tmp_path, cell)
  assert remaining.done(planned, Store(tmp_path)) == 0
  assert do(planned) == 0
  assert remaining.done(planned, Store(tmp_path)) == 1
  found = table.build(planned, Store(tmp_path))
  assert found['metric'].to_list() == ['mean_logit', 'layers']
  assert found['n_layers'].to_list() == [3, 3]
  params = instrument.stored(Store(tmp_path), cell.task).params
  assert found['parameters'][0] == sum(
    x.size for x in jax.tree.leaves(params))
  assert not list(tmp_path.glob('trained/*/result.json'))


@pytest.mark.parametrize('mesh', [
  MeshConfig(replica=1), MeshConfig(replica=1, data=2, fsdp=2, tensor=2)])
def test_the_first_loss_of_a_child_is_the_parents(mesh, tmp_path):
  config = dataclasses.replace(parent.adopted(BASE, LLAMA), mesh=mesh)
  cell = Cell('real', 'tuned', Train(config, Pretrained(LLAMA)))
  planned = make(tmp_path, cell)
  assert do(planned) == 0
  task = planned.cells[0].task
  subject = instrument.stored(Store(tmp_path), task)
  lines = [json.loads(line) for path in tmp_path.glob('*/*/metrics.jsonl')
           for line in path.read_text().splitlines()]
  first = min((line for line in lines if line['split'] == 'train'),
              key=lambda line: line['step'])
  theirs = instrument.stored(Store(tmp_path), Pretrained(LLAMA)).params
  for path, own in jax.tree_util.tree_leaves_with_path(subject.initial):
    whole = theirs
    for key in path:
      whole = whole[key.key]
    np.testing.assert_array_equal(own, whole)
  source = programs.source_of(task.config)
  batch = source.batch(subject.instance, task.config.train.seed, 'train', 0, 8)
  found = replica.scores(task.config, model.Layout(), theirs, batch)
  loss = (found.nats_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
  np.testing.assert_allclose(first['loss'][0], loss, rtol=1e-5)


@pytest.mark.parametrize(('field', 'value', 'said'), [
  ('norm_epsilon', 1e-6, 'model.norm_epsilon: 1e-06 here, and 0.01 in'),
  ('n_layers', 2, 'model.n_layers: 2 here, and 3 in'),
  ('parameterisation', 'completep', 'model.parameterisation: completep here'),
  ('vocab_size', 4, 'model.vocab_size: 4 tokens, and data.source has'),
])
def test_a_child_computes_what_its_parent_does(field, value, said, tmp_path):
  config = parent.adopted(BASE, LLAMA)
  other = dataclasses.replace(config, model=dataclasses.replace(
    config.model, **{field: value}))
  with pytest.raises(ConfigError, match=said):
    make(tmp_path, Cell('real', 'tuned', Train(other, Pretrained(LLAMA))))


def test_a_child_reads_no_longer_texts_than_its_parent(tmp_path):
  config = parent.adopted(BASE, LLAMA)
  longer = dataclasses.replace(config, data=dataclasses.replace(
    config.data, source=dataclasses.replace(config.data.source, length=65)))
  with pytest.raises(ConfigError, match='65 positions, and'):
    make(tmp_path, Cell('real', 'tuned', Train(longer, Pretrained(LLAMA))))


def test_a_run_keeps_the_tokenizer_that_it_read_its_text_with(tmp_path):
  text = tmp_path / 'book.txt'
  text.write_text(''.join(f'Line {i} of {i * i}.\n\n' for i in range(900)))
  config = dataclasses.replace(BASE, data=DataConfig(TextConfig(
    length=16, text_path=str(text), tokenizer='bpe', vocab_size=300),
    batch_size=2))
  cell = Cell('real', 'plain', Train(config))
  planned = make(tmp_path / 'runs', cell, measure=scores)
  assert do(planned) == 0
  text.unlink()  # it was trained on this text
  run, = planned.run_ids()
  m = origin.load(run, tmp_path / 'runs')
  assert m.tokenizer.decode(m.tokenize('Line 7')) == 'Line 7'


def test_a_text_is_read_in_the_parents_tokens(tmp_path):
  folder = tmp_path / 'llama'
  shutil.copytree(LLAMA, folder)
  config = parent.adopted(Config(), str(folder))
  with pytest.raises(UsageError, match='has no tokenizer of its own; name one'):
    parent.tokens(config, {}, str(folder))
  typed = {'data.tokenizer': 'bytes'}
  assert parent.tokens(config, typed, str(folder)) == typed
  other = {'data.source': 'hop_string'}
  assert parent.tokens(config, other, str(folder)) == other
  (folder / 'tokenizer.json').write_text('{}')
  assert parent.tokens(config, {'data.length': '8'}, str(folder)) == {
    'data.length': '8',
    'data.source.tokenizer': str(folder / 'tokenizer.json')}
