"""The results table: the plan joined with what is finished."""

import math
import resource

import planting
import polars as pl
import pytest

from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.judge import axes, table
from experiments.machine.usage import UsageError
from experiments.runs.store import Store
from experiments.sweeps import algebra, plan
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.task import Exact, Train
from model import AttentionConfig, ModelConfig, NoPosition
from train import programs
from train.config import Config, TrainConfig

TINY = Config(
  ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2),
              position=NoPosition(), mask='bidirectional'),
  DataConfig(PointerChasingConfig(symbols=5, hops=(1, 2)), batch_size=4),
  TrainConfig(steps=12))


def make(runs, **swept):
  swept = {path.replace('__', '.'): values for path, values in swept.items()}
  part = Part('mine', lambda preset, pins: algebra.cells(
    'mine', 'plain', algebra.product(TINY, swept, pins)))
  return plan.make(Experiment('own', 'Own', (part,)), 'cpu', (), {}, runs)


def build(of):
  return table.build(of, Store(of.runs))


def test_any_place_is_a_column_of_its_type(tmp_path):
  of = make(tmp_path, train__seed=(0, 1))
  planting.publish(of, lambda cell: [
    {'metric': 'fit', 'value': 1, 'where': {'method': 'probe', 'k': 2}},
    {'metric': 'fit', 'value': 0.5, 'where': {'share': 0.5, 'k': 3}},
    {'metric': 'fit', 'value': math.nan, 'where': {'layer': 1}}])
  rows = build(of)
  assert rows.columns[-9:] == ['metric', 'layer', 'level', 'hops', 'step', 'k',
                               'method', 'share', 'value']
  assert {name: rows.schema[name] for name in ('k', 'method', 'share')} == {
    'k': pl.Int64, 'method': pl.String, 'share': pl.Float64}
  assert rows['k'].to_list() == [2, 3, None] * 2
  assert rows['status'].unique().to_list() == ['done']


def test_what_varies_in_an_arm_is_a_column(tmp_path):
  of = make(tmp_path, model__norm=('layer', 'rms'),
            data__source__hops=((1,), (1, 2)), model__n_layers=(1, 2))
  rows = build(of)
  assert rows['model.norm'].to_list() == ['layer'] * 4 + ['rms'] * 4
  assert rows['data.source.hops'].to_list() == ['1', '1', '1, 2', '1, 2'] * 2
  assert 'model.n_layers' not in rows.columns
  assert set(rows['status']) == {'missing'}


def test_a_run_is_missing_until_it_is_measured(tmp_path):
  of = make(tmp_path, train__seed=(0, 1))
  planting.publish(of, lambda cell: [] if cell.config.train.seed else None)
  assert build(of)['status'].to_list() == ['missing', 'done']


def test_a_diverged_run_has_its_curve_and_no_more(tmp_path):
  of = make(tmp_path, train__seed=(0,))
  planting.publish(of, lambda cell: None, status='diverged',
                   curves=[{'step': 5, 'loss': 2.0}])
  rows = build(of)
  assert rows['status'].to_list() == ['diverged']
  assert (rows['metric'][0], rows['step'][0]) == ('validation_loss', 5)


def test_an_exact_case_has_no_config(tmp_path):
  part = Part('exact', lambda preset, pins: [
    Cell('exact', 'plain', Exact(('square', 3)))])
  of = plan.make(Experiment('own', 'Own', (part,)), 'cpu', (), {}, tmp_path)
  planting.publish(of, lambda cell: [
    {'metric': 'square', 'value': 9, 'where': {}}])
  row = build(of).row(0, named=True)
  assert (row['value'], row['status'], row['n_layers']) == (9, 'done', None)


@pytest.mark.parametrize('name', ['arm', 'value', 'model.norm'])
def test_a_place_is_not_called_like_a_run_column(name, tmp_path):
  of = make(tmp_path, train__seed=(0,))
  planting.publish(of, lambda cell: [
    {'metric': 'fit', 'value': 1, 'where': {name: 2}}])
  with pytest.raises(UsageError, match=f"fit: where names '{name}'"):
    build(of)


def test_files_hold_the_same_rows(tmp_path):
  rows = build(make(tmp_path, train__seed=(0, 1)))
  table.write(rows, tmp_path / 'out')
  assert pl.read_parquet(tmp_path / 'out/results.parquet').equals(rows)
  assert pl.read_csv(tmp_path / 'out/results.csv').columns == rows.columns


def test_axes_are_what_was_swept_in_its_order_without_seeds(tmp_path):
  of = make(tmp_path, train__learning_rate=(0.1, 0.2), model__n_layers=(4, 1),
            data__source__hops=((1,), (1, 2)), train__seed=(0, 1),
            train__chunk_steps=(5,))
  assert axes.axes(of.cells) == {
    'train.learning_rate': [0.1, 0.2], 'model.n_layers': [4, 1],
    'data.source.hops': [(1,), (1, 2)]}


def test_what_follows_from_another_axis_is_none(tmp_path):
  sweep = algebra.zipped(programs.complete(TINY), {
    'model.n_layers': (1, 2), 'model.d_model': (8, 16)})
  assert axes.axes(algebra.cells('a', 'plain', sweep)) == {
    'model.n_layers': [1, 2]}


def test_runs_that_start_elsewhere_differ_in_it():
  first, second = algebra.product(programs.complete(TINY), {
    'train.seed': (0, 1)})
  cells = [Cell('a', 'plain', Train(first)),
           Cell('a', 'plain', Train(first, Train(second)))]
  assert axes.varying(cells) == ['task.start']


@pytest.mark.parametrize('ending', ['csv', 'parquet'])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, ending):
  place = tmp_path / f'results.{ending}'
  table.save(pl.DataFrame({'value': [1]}), place)
  before = place.read_bytes()
  _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (8, most))
  try:
    with pytest.raises(OSError, match=place.name):
      table.save(pl.DataFrame({'value': range(100)}), place)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert place.read_bytes() == before
  assert list(tmp_path.iterdir()) == [place]
