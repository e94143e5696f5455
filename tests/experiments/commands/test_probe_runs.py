"""Instruments on the runs that an experiment has left: planted ones."""

import argparse
import collections
import dataclasses
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import planted_run
import polars as pl
import pytest

from experiments.commands import finished, main, parser, probe_runs
from experiments.instruments import held_out
from experiments.instruments.instrument import Instrument
from experiments.judge import table
from experiments.machine.usage import UsageError
from experiments.runs import instrument, origin, remaining
from experiments.runs.executor import Executor
from experiments.runs.preemption import Preemption
from experiments.runs.store import Store
from experiments.runs.subject import Row
from experiments.runs.worker import work
from experiments.sweeps.identity import run_id
from model import ConfigError
from train import initial

FILE = '''
from data import DataConfig
from data.sources.markov import MarkovConfig
from experiments.sweeps import algebra
from experiments.sweeps.experiment import Experiment, Part
from model import AttentionConfig, ModelConfig
from train.config import Config, TrainConfig

TINY = Config(ModelConfig(d_model=8, mixer=AttentionConfig(n_heads=2)),
              DataConfig(MarkovConfig(), batch_size=4), TrainConfig(steps=3))


def sweep(preset, pins):
  return algebra.cells('chain', 'plain', algebra.product(TINY, {
    'model.n_layers': (1, 2), 'train.seed': range(3)}, pins))


EXPERIMENT = Experiment('mine', 'Mine', (Part('chain', sweep),),
                        presets=('smoke',))
'''
TRACED = collections.deque()  # a list's items would be in its digest


@jax.jit
def sizes(network, passages):
  TRACED.append(network.config.n_layers)
  return network.stream(passages, lambda x_BTD: jnp.mean(jnp.square(x_BTD)))


def size(given):
  """The mean square of each stream."""
  return [Row('size', value, {'layer': layer, **where})
          for network, where in ((given.network, {}),
                                 (given.baseline, {'network': 'random'}))
          for layer, value in enumerate(np.asarray(
            sizes(network, given.passages)))]


def deep(given):
  """Looks into two layers or more."""
  if given.network.config.n_layers == 1:
    raise ConfigError('model.n_layers: 1 has no layer between')
  return [Row('depth', given.network.config.n_layers)]


def no_cost(config, tokens, calibration):
  return float(tokens + calibration)


SIZE = Instrument('size', 'Size', 'How large it is.', 'we', size, no_cost,
                  {'size': 'mean square'})
DEEP = Instrument('deep', 'Depth', 'How deep it is.', 'we', deep, no_cost,
                  {'depth': 'layers'})


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """A folder with an experiment's file, and all of its runs but two."""
  folder = tmp_path_factory.mktemp('probe_runs')
  (folder / 'mine.py').write_text(FILE)
  cells = parser.plan(asked(folder, experiment=True)).cells
  for index, cell in enumerate(cells[:-1]):
    lost = {'status': 'diverged', 'parameters': None} if index == 2 else {}
    planted_run.plant(folder / 'runs', cell.config, cell.config.train.seed,
                      scores={}, others={}, curves=[], **lost)
  return folder


@pytest.fixture
def folder(planted, tmp_path):
  return shutil.copytree(planted, tmp_path / 'own')


def asked(folder, model=None, experiment=False, **more):
  model = model or str(folder / 'mine.py')
  return argparse.Namespace(**{
    'model': model, 'preset': '', 'strata': (), 'texts': {}, 'workers': 0,
    'runs': folder / 'runs', 'dry': False, 'arguments': [],
    **dict.fromkeys(probe_runs.ALONE),
    **({'experiment': model} if experiment else {}), **more})


def take(planned):
  return work(Executor(Store(planned.runs), Preemption()),
              remaining.work(planned))


def measured(folder):
  return {path: path.stat().st_mtime_ns
          for path in folder.glob('runs/trained/*/measurements/*.json')}


def test_rows_by_n_are_kept_and_not_measured_twice(folder, capsys):
  planned = probe_runs.plan(asked(folder), [SIZE, DEEP])
  TRACED.clear()
  assert take(planned) == 0
  # One program for all seeds of a shape, and for what they began as.
  assert sorted(TRACED) == [1, 2]
  before = measured(folder)
  assert len(before) == 8
  assert probe_runs.act(asked(folder), [SIZE, DEEP]) == 0
  assert measured(folder) == before
  assert not list(folder.glob('runs/mine'))
  said = capsys.readouterr().out
  assert '2 instruments on 4 trained runs of 2 shapes; 8 of 8' in said
  cells = planned.cells
  rows = pl.read_parquet(folder / 'runs/probes/mine-smoke/table.parquet')
  assert set(rows['stratum']) == {'chain'}
  assert sorted(set(rows['seed'])) == [0, 1]
  seen = rows.filter(instrument=pl.lit('size'))
  assert seen.group_by('n_layers', 'network').len().sort(
    'n_layers', 'network').rows() == [
      (1, 'model', 4), (1, 'random', 4), (2, 'model', 6), (2, 'random', 6)]
  assert rows.filter(instrument=pl.lit('deep'))['value'].to_list() == [2, 2]
  # The baseline is what the run itself began as.
  config = cells[0].config
  given = held_out.given(instrument.stored(
    Store(folder / 'runs'), cells[0].task))
  jax.tree.map(np.testing.assert_array_equal, given.baseline.params,
               initial(config))
  own = seen.filter(run=run_id(cells[0].task), layer=1)
  assert own['value'].n_unique() == 2


def test_what_is_left_out_is_named(folder, capsys):
  assert probe_runs.act(asked(folder, dry=True), [SIZE]) == 0
  said = capsys.readouterr().out
  selection = finished.select(asked(folder))
  cells = parser.plan(asked(folder, experiment=True)).cells
  assert selection.left_out == {'diverged': [run_id(cells[2].task)],
                                'not finished': [run_id(cells[5].task)]}
  assert f'not finished: 1 of the runs ({run_id(cells[5].task)})' in said
  assert '0 of 4 measurements' in said
  assert not measured(folder)  # it was only asked what it costs


def test_a_run_that_could_not_be_measured_is_named_on_the_page(folder, capsys):
  run = run_id(finished.select(asked(folder)).cells[0].task)
  (folder / f'runs/trained/{run}/params.safetensors').write_bytes(b'{')
  assert probe_runs.act(asked(folder), [SIZE]) == 1
  page = capsys.readouterr().out.splitlines()[-1].removeprefix('Report: ')
  assert f'measuring run {run} failed' in Path(page).read_text()


def test_a_changed_instrument_measures_again(folder):
  assert take(probe_runs.plan(asked(folder), [DEEP])) == 0
  words = dataclasses.replace(DEEP, says='In other words.')
  assert not probe_runs.missing(probe_runs.plan(asked(folder), [words]))
  other = dataclasses.replace(DEEP, measure=lambda given: [Row('depth', 1)])
  assert probe_runs.missing(probe_runs.plan(asked(folder), [other])) == 4


def test_no_finished_run_is_one_message_with_the_command(folder):
  with pytest.raises(UsageError, match=(
      r'none of its 6 runs .*not finished.*fathom run .*mine.py '
      r'--runs=.*other')):
    finished.select(asked(folder, runs=folder / 'other'))


def test_what_a_single_model_reads_is_refused(folder):
  with pytest.raises(UsageError, match='--jacobian-tokens belongs to a single'):
    probe_runs.act(asked(folder, jacobian_tokens=128), [SIZE])
  with pytest.raises(UsageError, match='--tokens belongs to a single'):
    probe_runs.act(asked(folder, tokens=128), [SIZE])
  options = main.parse(['probe', 'nothing', '--strata=one'])
  with pytest.raises(UsageError, match='--strata belongs to an experiment'):
    options.act(options)


def test_the_folder_of_a_sweep_names_its_runs(folder):
  planned = parser.plan(asked(folder, experiment=True))
  rows = table.build(planned, Store(planned.runs))
  table.write(rows, planned.output)
  assert finished.has_runs(str(planned.output))
  named = finished.select(asked(folder))
  found = finished.select(asked(folder, model=str(planned.output),
                               runs=folder / 'elsewhere'))
  assert found.cells == named.cells
  assert found.left_out == named.left_out
  assert probe_runs.output(found).resolve() == probe_runs.output(named)


def test_examples_to_fit_on_are_not_among_those_that_are_read(folder):
  cell, *_ = finished.select(asked(folder)).cells
  given = held_out.given(instrument.stored(
    Store(folder / 'runs'), cell.task))
  read = {row.tobytes() for row in given.passages.tokens_BT}
  rest = given.calibration
  kept = rest.valid_BT.any(axis=1)
  assert kept.sum() > 0
  assert not any(row.tobytes() in read for row in rest.tokens_BT[kept])
  assert not rest.weights_BT[~kept].any()
  assert given.passages.tokens == held_out.tokens(cell.config)


def test_a_run_by_itself_reads_its_own_examples(folder):
  cell, *_ = finished.select(asked(folder)).cells
  run = run_id(cell.task)
  alone = held_out.given(origin.subject(run, folder / 'runs'))
  known = held_out.given(instrument.stored(
    Store(folder / 'runs'), cell.task))
  for part in ('network', 'passages', 'calibration', 'baseline'):
    jax.tree.map(np.testing.assert_array_equal, getattr(alone, part),
                 getattr(known, part))
  assert origin.subject(folder, folder) is None


def test_a_worker_reads_what_its_launcher_types(folder):
  options = main.parse([
    'work', 'probe', str(folder / 'mine.py'), f'--runs={folder / "runs"}',
    '--progress=0.json', f'--parent={os.getpid()}', '--core=0'])
  assert options.plan(options).folder == folder / 'runs/probes/mine-smoke'
