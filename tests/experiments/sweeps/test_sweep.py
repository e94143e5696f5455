import dataclasses

import pytest

from data import DataConfig
from experiments.runs.store import Store, write_json
from experiments.sweeps import algebra, identity, packing
from experiments.sweeps.algebra import Cell
from model import ModelConfig
from train import program
from train.config import Config, MeshConfig, TrainConfig

TINY = Config(
  model=ModelConfig(n_layers=1, d_model=8, n_heads=2, position='none',
                    mask='bidirectional'),
  data=DataConfig(source='pointer_chasing', symbols=5, hops=(1, 2)))


def seeds(config=TINY, n=3):
  return algebra.product(program.complete(config), {'train.seed': range(n)})


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


def test_identity_ignores_execution_and_unread_fields():
  base = program.complete(TINY)
  same = dataclasses.replace(
    base, mesh=MeshConfig(replica=1, platform='cpu'),
    train=dataclasses.replace(base.train, chunk_steps=7),
    data=dataclasses.replace(base.data, text_path='somewhere', levels=9))
  assert identity.run_id(same) == identity.run_id(base)
  other = dataclasses.replace(base, train=TrainConfig(seed=1))
  assert identity.run_id(other) != identity.run_id(base)


def test_a_text_is_known_by_its_content(tmp_path):
  text = 'All of it is one sentence of prose, and then another one.\n\n' * 200
  ids = []
  for name, content in (('a', text), ('b', text), ('c', text + 'More.')):
    (tmp_path / name).write_text(content)
    config = program.complete(Config(data=DataConfig(
      text_path=str(tmp_path / name), length=16)))
    ids.append(identity.run_id(config))
  assert ids[0] == ids[1] != ids[2]


def cells(configs):
  return algebra.cells('composition', 'plain', configs)


def test_groups_hold_runs_of_one_shape_and_the_dearest_comes_first():
  deep = dataclasses.replace(TINY, model=dataclasses.replace(
    TINY.model, n_layers=3))
  found = packing.groups((*cells(seeds()), *cells(seeds(deep))))
  assert [len(g.configs) for g in found] == [3, 3]
  assert found[0].configs[0].model.n_layers == 3
  pairs = dataclasses.replace(TINY, mesh=MeshConfig(pack=2))
  assert [len(g.configs) for g in packing.groups(cells(seeds(pairs)))] == [2, 1]


def test_an_extended_sweep_trains_only_what_is_new(tmp_path):
  store = Store(tmp_path)
  old, = packing.groups(cells(seeds(n=2)))
  assert packing.missing(old, store) == old
  for run_id in old.ids:
    store.publish(run_id, {'rows': [], 'status': 'done'})
  assert packing.missing(old, store) is None
  longer, = packing.groups(cells(seeds(n=4)))
  assert packing.missing(longer, store).configs == longer.configs[2:]


def test_a_group_cut_short_while_publishing_is_finished_as_it_was(tmp_path):
  store = Store(tmp_path)
  group, = packing.groups(cells(seeds()))
  store.group(group.id).mkdir(parents=True)
  store.publish(group.ids[0], {'rows': [], 'status': 'done'})
  assert packing.missing(group, store) == group


def test_an_extension_cut_short_is_finished_as_it_was_begun(tmp_path):
  store = Store(tmp_path)
  longer, = packing.groups(cells(seeds(n=5)))
  for run_id in longer.ids[:2]:
    store.publish(run_id, {'rows': [], 'status': 'done'})
  begun = packing.missing(longer, store)
  write_json(store.group(begun.id) / 'members.json', {'runs': begun.ids})
  store.publish(begun.ids[0], {'rows': [], 'status': 'done'})
  assert packing.missing(longer, store) == begun


def test_a_lease_is_held_once(tmp_path):
  store = Store(tmp_path)
  with store.lease('g') as mine:
    assert mine
    with Store(tmp_path).lease('g') as theirs:
      assert not theirs
  with store.lease('g') as again:
    assert again


def test_a_damaged_result_counts_as_missing(tmp_path):
  store = Store(tmp_path)
  store.publish('r', {'rows': [], 'status': 'done'})
  path = store.run('r') / 'result.json'
  path.write_text(path.read_text()[:20])
  assert store.result('r') is None


def test_a_cell_keeps_its_labels():
  assert cells(seeds())[0] == Cell('composition', 'plain', seeds()[0])
