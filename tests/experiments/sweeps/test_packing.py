import dataclasses

import pytest

from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.sweeps import algebra, packing
from experiments.sweeps.algebra import Cell
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Train
from model import AttentionConfig, ModelConfig, NoPosition
from train import programs
from train.config import Config, MeshConfig

TINY = Config(
  model=ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2),
                    position=NoPosition(),
                    mask='bidirectional'),
  data=DataConfig(PointerChasingConfig(symbols=5, hops=(1, 2))))


def seeds(config=TINY, n=3):
  return algebra.product(programs.complete(config), {'train.seed': range(n)})


def test_product_and_zip_count_as_they_should():
  axes = {'model.n_layers': (1, 2), 'train.seed': (0, 1)}
  assert len(algebra.product(TINY, axes)) == 4
  pairs = [(c.model.n_layers, c.train.seed) for c in algebra.zipped(TINY, axes)]
  assert pairs == [(1, 0), (2, 1)]
  with pytest.raises(ValueError, match='shorter'):
    algebra.zipped(TINY, {'model.n_layers': (1, 2), 'train.seed': (0,)})


def test_chain_drops_repeats_and_where_selects():
  one = seeds(n=2)
  assert algebra.chain(one, seeds(n=3)) == seeds(n=3)
  assert algebra.where(seeds(), lambda c: c.train.seed > 0) == seeds()[1:]


def cells(configs):
  return algebra.cells('composition', 'plain', configs)


def groups(configs):
  return packing.groups(Train(config) for config in configs)


def test_groups_hold_runs_of_one_shape_and_the_dearest_comes_first():
  deep = dataclasses.replace(TINY, model=dataclasses.replace(
    TINY.model, n_layers=3))
  found = groups((*seeds(), *seeds(deep)))
  assert [len(g.configs) for g in found] == [3, 3]
  assert found[0].configs[0].model.n_layers == 3
  pairs = dataclasses.replace(TINY, mesh=MeshConfig(pack=2))
  assert [len(g.configs) for g in groups(seeds(pairs))] == [2, 1]


def test_what_runs_start_from_is_done_once_and_before_them():
  base, = seeds(n=1)
  parent = Train(base)
  children = [Train(dataclasses.replace(base, train=dataclasses.replace(
    base.train, seed=seed, steps=5000)), start=parent) for seed in (7, 8)]
  first, second = packing.groups(children)
  assert first.tasks == (parent,)
  assert second.tasks == tuple(children)
  assert len({run_id(task) for task in (parent, *children)}) == 3
  # With another parent it is another run.
  other = dataclasses.replace(children[0], start=Train(seeds()[1]))
  assert run_id(other) != run_id(children[0])
  assert run_id(Train(children[0].config)) != run_id(children[0])


def test_runs_of_two_experiments_are_the_same_runs():
  ours = packing.distinct(c.task for c in (
    *cells(seeds()), *algebra.cells('another', 'arm', seeds())))
  assert len(ours) == 3


def test_a_cell_keeps_its_labels():
  assert cells(seeds())[0] == Cell('composition', 'plain', Train(seeds()[0]))
