"""What is kept is whole, is the run's own, and is not taken on trust."""

import json
import shutil

import numpy as np
import pytest

from experiments.machine.usage import UsageError
from experiments.runs import remaining
from experiments.runs.store import Store, check_layout
from experiments.sweeps.packing import Group
from experiments.sweeps.task import Train
from train.config import Config

RESULT = {'status': 'done', 'scores': {'loss': [1.25]}}


def edited(path, change):
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))


@pytest.mark.parametrize(('change', 'says'), [
  (lambda c: c['scores'].update(loss=[1.26]), 'is not what was written'),
  (lambda c: c.update(run='another'), 'belongs to run another'),
  (lambda c: c.update(schema=1), 'of another version'),
  (lambda c: c.pop('checksum'), 'is not what was written')])
def test_a_result_that_was_changed_is_refused(tmp_path, change, says):
  store = Store(tmp_path)
  store.publish('mine', RESULT)
  path = store.run('mine') / 'result.json'
  assert store.result('mine') == RESULT
  edited(path, change)
  with pytest.raises(UsageError, match=f'{path} .*{says}.* remove {path}'):
    store.result('mine')
  with pytest.raises(UsageError):
    Store(tmp_path).done('mine')


def test_so_is_one_that_was_moved_to_another_run(tmp_path):
  store = Store(tmp_path)
  store.publish('mine', RESULT)
  store.run('mine').rename(store.run('yours'))
  with pytest.raises(UsageError, match='belongs to run mine'):
    store.result('yours')


@pytest.mark.parametrize('text', ['', '{', '[]', '3', 'null'])
def test_so_is_one_that_is_no_result(tmp_path, text):
  store = Store(tmp_path)
  store.publish('mine', RESULT)
  (store.run('mine') / 'result.json').write_text(text)
  with pytest.raises(UsageError, match='is damaged'):
    store.result('mine')


def test_a_measurement_is_guarded_as_well(tmp_path):
  store = Store(tmp_path)
  rows = [{'metric': 'loss', 'value': 0.1 + 0.2, 'where': {'layer': 1}}]
  assert store.measurement('mine', 'd') is None
  store.keep_measurement('mine', 'd', rows)
  assert store.measurement('mine', 'd') == rows
  path, = store.run('mine').glob('measurements/*')
  edited(path, lambda c: c['rows'][0].update(value=0.4))
  with pytest.raises(UsageError, match='is not what was written'):
    store.measurement('mine', 'd')


def test_so_is_what_another_instrument_has_measured(tmp_path):
  store = Store(tmp_path)
  store.keep_measurement('mine', 'aa', [])
  path, = store.run('mine').glob('measurements/*')
  shutil.copy(path, path.with_name('bb.json'))
  with pytest.raises(UsageError, match='is of another instrument'):
    store.measurement('mine', 'bb')


def test_what_was_measured_of_an_earlier_training_is_forgotten(tmp_path):
  """Its result was removed: what is trained now may be another model."""
  store = Store(tmp_path)
  store.publish('mine', RESULT)
  store.keep_measurement('mine', 'aa', [])
  (tmp_path / 'trained/mine/result.json').unlink()
  Store(tmp_path).publish('mine', RESULT)
  assert store.measurement('mine', 'aa') is None


def test_parameters_come_back_bit_for_bit_or_not_at_all(tmp_path):
  store = Store(tmp_path)
  params = {'stack': {'w_up_DF': np.random.default_rng(0).normal(
    size=(2, 3)).astype(np.float32)}, 'w_DV': np.float32([[1], [2]])}
  with pytest.raises(UsageError, match='cannot be read'):
    store.params('mine')
  store.publish('mine', {**RESULT,
                         'parameters': store.keep_params('mine', params)})
  found = store.params('mine')
  assert found.keys() == params.keys()
  np.testing.assert_array_equal(found['stack']['w_up_DF'],
                                params['stack']['w_up_DF'])
  path = store.run('mine') / 'params.safetensors'
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)
  with pytest.raises(UsageError, match='is not what was written'):
    store.params('mine')


def test_a_lease_is_held_once_for_each_run(tmp_path):
  store = Store(tmp_path)
  with store.lease(['a', 'b']) as mine:
    assert mine
    with Store(tmp_path).lease(['b', 'c']) as theirs:
      assert not theirs
    with Store(tmp_path).lease(['c']) as other:
      assert other  # what could not be had as a whole is not held in part
  with store.lease(['b']) as again:
    assert again


def group(*seeds):
  import dataclasses
  return Group(tuple(Train(dataclasses.replace(
    Config(), train=dataclasses.replace(Config().train, seed=seed)))
    for seed in seeds))


def begin(store, members):
  folder = store.group(members)
  folder.mkdir(parents=True)
  (folder / 'members.json').write_text(json.dumps({'runs': members.ids}))


def test_an_extended_sweep_trains_only_what_is_new(tmp_path):
  store = Store(tmp_path)
  old = group(0, 1)
  assert remaining.untrained(old, store) == old
  for run in old.ids:
    store.publish(run, RESULT)
  assert remaining.untrained(old, store) is None
  assert remaining.untrained(group(0, 1, 2, 3), store) == group(2, 3)


def test_a_group_cut_short_while_publishing_is_finished_as_it_was(tmp_path):
  store, members = Store(tmp_path), group(0, 1, 2)
  begin(store, members)
  store.publish(members.ids[0], RESULT)
  assert remaining.untrained(members, store) == members


def test_an_extension_cut_short_is_finished_as_it_was_begun(tmp_path):
  store, longer = Store(tmp_path), group(0, 1, 2, 3, 4)
  for run in longer.ids[:2]:
    store.publish(run, RESULT)
  begun = remaining.untrained(longer, store)
  begin(store, begun)
  store.publish(begun.ids[0], RESULT)
  assert remaining.untrained(longer, store) == begun


@pytest.mark.parametrize('old', ['depth/runs', 'depth/groups', 'train'])
def test_an_earlier_layout_is_named_with_what_to_do(tmp_path, old):
  check_layout(tmp_path, 'depth')
  (tmp_path / old).mkdir(parents=True)
  with pytest.raises(UsageError, match=r'earlier layout.*--runs'):
    check_layout(tmp_path, 'depth')
