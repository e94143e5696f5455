"""Train once, measure many: on real runs of a tiny model."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fathom
from data import DataConfig
from data.sources.mixture import MixtureConfig
from data.sources.mixture import Part as Share
from data.sources.pointer_chasing import PointerChasingConfig
from data.sources.text import TextConfig
from experiments.machine import usage
from experiments.runs import failure, instrument, outcome, remaining
from experiments.runs.executor import Executor
from experiments.runs.preemption import Preemption
from experiments.runs.store import Store
from experiments.runs.subject import Row
from experiments.runs.worker import work
from experiments.sweeps import algebra, overrides, plan
from experiments.sweeps.algebra import Cell
from experiments.sweeps.experiment import Experiment, Part
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Exact, Train
from model import AttentionConfig, ModelConfig, NoPosition
from model.config import ConfigError
from train import programs
from train.config import Config, TrainConfig
from train.stop import CheckpointError

TINY = Config(
  ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2),
              position=NoPosition(), mask='bidirectional'),
  DataConfig(PointerChasingConfig(symbols=5, hops=(1, 2)), batch_size=4),
  TrainConfig(steps=12, chunk_steps=3, evaluate_every=6,
              evaluation_batches=1))


def norm(subject):
  """The size of what was learned: needs both sets of parameters."""
  after, before = (sum(float(np.sum(np.square(x))) for x in leaves(tree))
                   for tree in (subject.params, subject.initial))
  return [Row('norm', after), Row('moved', after - before, {'from': 'start'})]


def leaves(tree):
  for _, value in sorted(tree.items()):
    yield from leaves(value) if isinstance(value, dict) else [value]


def count(subject):
  return [Row('layers', subject.config.model.n_layers)]


def broken(subject):
  raise RuntimeError('this instrument is out of order')


def square(subject):
  return [Row('square', subject.case[1]**2)]


def part(name, measure, sweep=None):
  return Part(name, sweep or (lambda preset, pins: algebra.cells(
    name, 'plain', algebra.product(TINY, {'train.seed': range(2)}, pins))),
    measure)


def make(tmp_path, *parts):
  return plan.make(Experiment('tiny', 'Tiny', parts), 'smoke', (), {},
                   tmp_path)


def do(planned, told=lambda: False):
  preemption = Preemption()
  preemption.told = told
  return work(Executor(Store(planned.runs), preemption),
              remaining.work(planned))


def files(planned, pattern):
  return {p: p.stat().st_mtime_ns for p in planned.runs.glob(pattern)}


def rows(planned, task, name):
  return instrument.rows(Store(planned.runs), task,
                         planned.experiment.part(name))


def test_strata_that_share_a_run_both_get_their_rows(tmp_path):
  planned = make(tmp_path, part('one', norm), part('two', count),
                 part('three', None))
  assert len(planned.cells) == 6
  assert len(planned.run_ids()) == 2
  assert do(planned) == 0
  task = planned.cells[0].task
  assert [r['metric'] for r in rows(planned, task, 'one')] == [
    'validation_loss', 'norm', 'moved']
  assert rows(planned, task, 'two')[-1] == {
    'metric': 'layers', 'value': 1, 'where': {}}
  assert {(r['metric'], r['where'].get('group'))
          for r in rows(planned, task, 'three')} == {
    ('validation_loss', None), *((m, k) for m in ('loss', 'accuracy')
                                 for k in ('1', '2'))}
  assert remaining.done(planned, Store(tmp_path)) == 2


def test_another_instrument_measures_again_and_trains_nothing(tmp_path):
  assert do(make(tmp_path, part('one', norm))) == 0
  first = make(tmp_path, part('one', norm))
  trained = files(first, 'trained/*/*.safetensors') | files(
    first, 'trained/*/result.json') | files(first, '**/metrics.jsonl')
  values = rows(first, first.cells[0].task, 'one')

  second = make(tmp_path, part('one', count))
  assert remaining.done(second, Store(tmp_path)) == 0
  assert do(second) == 0
  # An instrument that is taken back finds what it had measured.
  assert rows(first, first.cells[0].task, 'one') == values

  for path in files(first, f'trained/*/measurements/{instrument.name(norm)}*'):
    path.unlink()
  assert do(first) == 0  # from what was kept, not from memory
  assert rows(first, first.cells[0].task, 'one') == values
  for path, when in trained.items():
    assert path.stat().st_mtime_ns == when, path


def test_a_failing_instrument_costs_no_training(tmp_path):
  planned = make(tmp_path, part('one', broken), part('two', count))
  assert do(planned) == usage.FAILED
  store = Store(tmp_path)
  assert all(map(store.done, planned.run_ids()))
  assert rows(planned, planned.cells[0].task, 'two')[-1]['value'] == 1
  item, = remaining.work(planned)
  said = remaining.failure(store, item.group)
  assert 'out of order' in said['error']
  assert said['while'].startswith('measuring run')
  mended = make(tmp_path, part('one', norm), part('two', count))
  before = files(mended, 'trained/*/result.json')
  assert do(mended) == 0
  assert files(mended, 'trained/*/result.json') == before
  assert remaining.failure(store, item.group) is None


def test_an_exact_case_needs_no_training(tmp_path):
  cells = tuple(Cell('exact', 'numbers', Exact(('n', n))) for n in (2, 3))
  planned = make(tmp_path, part('exact', square, lambda *_: cells))
  assert do(planned) == 0
  assert [rows(planned, c.task, 'exact')[0]['value'] for c in cells] == [4, 9]
  assert not files(planned, 'trained/*/result.json')
  assert remaining.done(planned, Store(tmp_path)) == 2


def test_rows_may_hold_the_numbers_of_arrays(tmp_path):
  def arrays(subject):
    return [Row('sum', jnp.sum(jnp.arange(3)), {'layer': np.int64(2)}),
            Row('mean', np.float32(0.5))]

  cells = (Cell('exact', 'numbers', Exact(('n', 2))),)
  planned = make(tmp_path, part('exact', arrays, lambda *_: cells))
  assert do(planned) == 0
  assert rows(planned, cells[0].task, 'exact') == [
    {'metric': 'sum', 'value': 3.0, 'where': {'layer': 2}},
    {'metric': 'mean', 'value': 0.5, 'where': {}}]


def test_a_run_that_diverges_is_an_outcome(tmp_path):
  def sweep(preset, pins):
    return algebra.cells('one', 'plain', algebra.product(
      TINY, {'train.learning_rate': (1e-3, 1e37)}))

  planned = make(tmp_path, part('one', norm, sweep))
  assert do(planned) == 0
  good, bad = (Store(tmp_path).result(run) for run in planned.run_ids())
  assert (good['status'], bad['status']) == ('done', 'diverged')
  assert bad['diverged_at'] >= 0
  assert [r['metric'] for r in rows(planned, planned.cells[1].task, 'one')
          ] == []

  def all_of_them(preset, pins):
    return algebra.cells('one', 'plain', algebra.product(
      TINY, {'train.learning_rate': (2e37, 1e37), 'train.steps': (60,)}))

  planned = make(tmp_path, part('one', norm, all_of_them))
  assert do(planned) == 0
  assert {Store(tmp_path).result(run)['status']
          for run in planned.run_ids()} == {'diverged'}


def test_what_starts_from_a_run_that_diverged_has_diverged(tmp_path):
  def sweep(preset, pins):
    parents = (Train(overrides.replace(TINY, {'train.learning_rate': rate}))
               for rate in (1e37, 1e-3))
    return tuple(Cell('two', 'child', Train(
      overrides.replace(TINY, {'train.seed': 7}), start=parent))
      for parent in parents)

  planned = make(tmp_path, part('two', norm, sweep))
  assert do(planned) == 0
  assert [Store(tmp_path).result(run_id(cell.task))['status']
          for cell in planned.cells] == ['diverged', 'done']


def test_a_finished_run_is_never_published_again(tmp_path):
  """Though it trains once more, beside another that is missing."""
  planned = make(tmp_path, part('one', norm))
  assert do(planned) == 0
  kept, lost = planned.run_ids()
  store = Store(tmp_path)
  before = files(planned, f'trained/{kept}/*')
  values = rows(planned, planned.cells[1].task, 'one')
  shutil.rmtree(store.run(lost))
  assert do(planned) == 0
  after = files(planned, f'trained/{kept}/*')
  for name in ('result.json', 'params.safetensors'):
    assert after[store.run(kept) / name] == before[store.run(kept) / name]
  assert rows(planned, planned.cells[1].task, 'one') == values


def scored(subject):
  """Its learning curve, point by point and group by group."""
  return [Row('scored', value, {'step': int(step), 'group': group})
          for step, values in zip(subject.curve['step'],
                                  subject.curve['accuracy'], strict=True)
          for group, value in enumerate(values)]


def killed():
  raise KeyboardInterrupt


@pytest.mark.parametrize('stop', [lambda: True, killed])
def test_stopped_it_goes_on_to_the_same_bits(tmp_path, stop):
  def sweep(preset, pins):
    base = overrides.replace(TINY, {
      'train.evaluate_every': 2, 'train.checkpoint_every': 3})
    return algebra.cells('one', 'plain', algebra.product(
      base, {'train.seed': range(2)}, pins))

  whole = make(tmp_path / 'whole', part('one', scored, sweep))
  assert do(whole) == 0
  cut = make(tmp_path / 'cut', part('one', scored, sweep))
  asked = iter([*[lambda: False] * 5, stop])  # at the start, and in each chunk
  if stop is killed:
    with pytest.raises(KeyboardInterrupt):
      do(cut, lambda: next(asked)())
  else:
    assert do(cut, lambda: next(asked)()) == usage.PREEMPTED
  assert not any(map(Store(tmp_path / 'cut').done, cut.run_ids()))
  assert do(cut) == 0
  for task in whole.tasks():
    ours, theirs = (Store(p.runs).params(run_id(task)) for p in (whole, cut))
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
      np.testing.assert_array_equal(a, b)
    taken = rows(whole, task, 'one')
    assert taken == rows(cut, task, 'one')
    points = [r for r in taken if r['metric'] == 'scored']
    assert [r['where']['step'] for r in points[::2]] == [2, 4, 6, 8, 10, 12]
    again = scored(instrument.stored(Store(cut.runs), task))
    assert [r['value'] for r in points] == [r.value for r in again]


def test_runs_start_from_a_run_that_is_trained_once(tmp_path):
  """Two stages for real: a parent, and children that train parts of it."""
  def sweep(preset, pins):
    parent = Train(programs.complete(TINY))
    larger = parent.config.model.vocab_size + 3
    kinds = {
      'all': {}, 'tables': {'train.trainable': 'embeddings'},
      'rows': {'model.vocab_size': larger, 'train.trainable': 'new_rows',
               'train.trainable.first': larger - 3},
      'rank': {'train.trainable': 'low_rank', 'train.trainable.rank': 2}}
    return tuple(
      Cell('two', arm, Train(overrides.replace(TINY, {
        **values, 'train.seed': 7}), start=parent))
      for arm, values in kinds.items())

  planned = make(tmp_path, part('two', norm, sweep))
  assert len(planned.run_ids()) == 5
  groups = planned.groups()
  assert groups[0].tasks == (planned.cells[0].task.start,)
  assert do(planned) == 0
  store = Store(tmp_path)
  parent = store.params(groups[0].ids[0])
  after = {cell.arm: store.params(run_id(cell.task))
           for cell in planned.cells}

  def same(a, b):
    return all(map(np.array_equal, leaves(a), leaves(b)))

  assert not same(after['all']['stack'], parent['stack'])
  assert same(after['tables']['stack'], parent['stack'])
  assert not same(after['tables']['token_embedding'],
                  parent['token_embedding'])
  assert same(after['rows']['stack'], parent['stack'])
  old, = leaves(parent['token_embedding'])
  new, = leaves(after['rows']['token_embedding'])
  np.testing.assert_array_equal(new[:len(old)], old)
  assert len(new) == len(old) + 3
  assert same(after['rank']['token_embedding'], parent['token_embedding'])
  assert not same(after['rank']['stack'], parent['stack'])
  # What was measured "before" is the parent, in memory and when read again.
  task = planned.cells[0].task
  size = sum(float(np.sum(np.square(x))) for x in leaves(parent))
  first = {r['metric']: r['value'] for r in rows(planned, task, 'two')}
  assert first['norm'] - first['moved'] == pytest.approx(size, rel=1e-6)
  again = instrument.stored(store, task)
  assert same(again.initial, parent)


def test_a_child_with_replay_is_scored_on_both_texts(tmp_path):
  """Fine-tuning for real: what is new, some of what was, and both scores."""
  def text(name, line):
    path = tmp_path / name
    path.write_text(''.join(line.format(i, i * i) for i in range(900)))
    return TextConfig(length=16, text_path=str(path))

  old = text('old', 'The square of {} is {}.\n\n')
  new = text('new', '{} times itself makes {}!\n\n')
  base = dataclasses.replace(
    TINY, model=dataclasses.replace(TINY.model, mask='causal'),
    data=DataConfig(old, batch_size=4))
  replay = DataConfig(MixtureConfig((Share(new, 3.0), Share(old, 1.0))),
                      batch_size=4, evaluate=(old, new))

  def sweep(preset, pins):
    return (Cell('replay', 'mixed', Train(
      dataclasses.replace(base, data=replay), start=Train(base))),)

  planned = make(tmp_path / 'runs', part('replay', None, sweep))
  assert do(planned) == 0
  scored = {(r['where'].get('source'), r['where'].get('group')): r['value']
            for r in rows(planned, planned.cells[0].task, 'replay')
            if r['metric'] == 'loss'}
  assert set(scored) == {  # each part of the mixture, and each text
    (None, 'old'), (None, 'new'), ('old', None), ('new', None)}
  assert all(map(np.isfinite, scored.values()))
  curve = [r['where'] for r in rows(planned, planned.cells[0].task, 'replay')
           if r['metric'] == 'validation_loss']
  assert {w.get('source') for w in curve} == {
    None, 'old', 'new'}


def test_a_large_run_leaves_its_parameters_in_its_checkpoint(
    tmp_path, monkeypatch):
  def sweep(preset, pins):
    parent = Train(overrides.replace(TINY, {'train.checkpoint_every': 6}))
    return (Cell('two', 'parent', parent), Cell('two', 'child', Train(
      overrides.replace(TINY, {'train.seed': 7}), start=parent)))

  whole = make(tmp_path / 'whole', part('two', norm, sweep))
  assert do(whole) == 0
  monkeypatch.setattr(outcome, 'LARGE_BYTES', 0)
  large = make(tmp_path / 'large', part('two', norm, sweep))
  assert do(large) == 0
  store = Store(tmp_path / 'large')
  assert not (store.run(large.run_ids()[0]) / 'params.safetensors').exists()
  for cell in whole.cells:
    assert rows(large, cell.task, 'two') == rows(whole, cell.task, 'two')
  parents = [fathom.load(tmp_path / name / 'trained' / large.run_ids()[0])
             for name in ('large', 'whole')]
  assert parents[0].config == parents[1].config
  jax.tree.map(np.testing.assert_array_equal, *(p.params for p in parents))


def test_children_of_a_parent_that_fails_are_not_waited_for(
    tmp_path, monkeypatch):
  def sweep(preset, pins):
    return (Cell('two', 'child', Train(TINY, start=Train(
      overrides.replace(TINY, {'train.seed': 3})))),)

  def fails(self, group):
    raise ZeroDivisionError('always')

  monkeypatch.setattr(Executor, 'execute', fails)
  assert do(make(tmp_path, part('two', count, sweep))) == usage.FAILED


def test_a_parent_that_does_not_fit_is_refused(tmp_path):
  def sweep(preset, pins):
    wide = overrides.replace(TINY, {'model.d_model': 16})
    return (Cell('two', 'child', Train(wide, start=Train(TINY))),)

  with pytest.raises(ConfigError, match=r'start: .*d_model'):
    do(make(tmp_path, part('two', count, sweep)))


@pytest.mark.parametrize(('error', 'kind', 'attempts'), [
  (ConfigError('x'), 'config', 1), (usage.UsageError('x'), 'config', 1),
  (usage.DeviceError('x'), 'device', 1), (MemoryError(), 'memory', 1),
  (CheckpointError('x'), 'storage', 1), (OSError(28, 'full'), 'storage', 1),
  (ConnectionResetError('x'), 'infrastructure', 4),
  (ZeroDivisionError('x'), 'crash', 2)])
def test_failures_have_their_class(error, kind, attempts):
  assert failure.kind(error) == kind
  assert failure.ATTEMPTS[kind] == attempts
  assert '\n' not in failure.message(error)


def test_a_crash_is_tried_once_more(tmp_path, monkeypatch):
  tries = []
  execute = Executor.execute

  def fails_first(self, group):
    tries.append(group)
    if len(tries) == 1:
      raise ZeroDivisionError('once')
    return execute(self, group)

  monkeypatch.setattr(Executor, 'execute', fails_first)
  planned = make(tmp_path, part('one', count))
  assert do(planned) == 0
  assert len(tries) == 2
  item, = remaining.work(planned)
  assert not (Store(tmp_path).group(item.group) / 'failure.json').exists()


def test_the_manifest_says_what_was_run(tmp_path):
  planned = make(tmp_path, part('one', count))
  assert do(planned) == 0
  path, = planned.runs.glob('together/*/manifest.json')
  manifest = json.loads(path.read_text())
  assert {'commit', 'packages', 'machine', 'device', 'mesh'} <= set(manifest)
  config = json.loads(next(iter(
    planned.runs.glob('trained/*/config.json'))).read_text())['config']
  assert config['data']['source']['kind'] == 'pointer_chasing'
  assert config['train']['steps'] == dataclasses.asdict(TINY.train)['steps']
  assert isinstance(planned.cells[0].task, Train)
