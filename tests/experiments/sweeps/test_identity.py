"""A run is known by what shapes it, and by nothing else."""

import dataclasses
import functools
import json
import pathlib
import shutil
from typing import ClassVar

import pytest

from data import DataConfig
from data.sources import SOURCES
from data.sources.mixture import MixtureConfig, Part
from data.sources.pointer_chasing import PointerChasingConfig
from data.sources.text import TextConfig
from experiments.sweeps import identity, overrides
from experiments.sweeps.identity import run_id
from experiments.sweeps.task import Exact, Pretrained, Train
from model import NoPosition
from model.config import kinds
from train import programs, serialization
from train.config import Config

REFERENCES = pathlib.Path(__file__).parents[2] / 'model/pretrained/references'
GOLDEN = pathlib.Path(__file__).parent / 'defaults.json'


def changed(config=None, **texts):
  config = config or Config()
  return overrides.replace(config, overrides.parse(config, {
    path.replace('__', '.'): text for path, text in texts.items()}))


def identified(**texts):
  return run_id(Train(programs.complete(changed(**texts))))


def defaults():
  """What every field of a new config is, for each kind of each part."""
  held = {}
  for path in overrides.kind_paths(Config()):
    *parts, name = path.split('.')
    owner = functools.reduce(getattr, parts, Config())
    field = next(f for f in dataclasses.fields(owner) if f.name == name)
    held[path] = {kind: serialization.as_dict(cls())
                  for kind, cls in kinds(field).items()}
  return {'version': identity.VERSION, 'kinds': held,
          'config': serialization.as_dict(Config())}


def test_a_default_that_changes_raises_the_version():
  """Runs leave out fields at their default, so they would become others.

  Where this fails, a default or a field's name has changed: raise
  `identity.VERSION` if results of before would be taken for new ones (a new
  field with a default needs none), and write the file anew:
  `python tests/experiments/sweeps/test_identity.py`.
  """
  held, now = json.loads(GOLDEN.read_text()), json.loads(
    json.dumps(defaults()))
  if held['version'] == now['version']:
    for path, value in flat(held).items():
      assert flat(now).get(path, value) == value, path
  assert set(flat(now)) == set(flat(held)), (
    f'write the file anew: python {pathlib.Path(__file__)}')


def flat(tree, prefix=''):
  if not isinstance(tree, dict):
    return {prefix: tree}
  return {path: value for key, item in tree.items()
          for path, value in flat(item, f'{prefix}/{key}').items()}


def test_what_only_changes_the_speed_is_left_out():
  base = identified(data__source='pointer_chasing')
  for field, value in (('mesh.platform', 'cpu'), ('mesh.pack', '2'),
                       ('train.chunk_steps', '7'), ('model.unroll', '1'),
                       ('train.checkpoint_every', '5')):
    assert identified(data__source='pointer_chasing', **{field: value}) == base
  assert identified(data__source='pointer_chasing', train__seed='1') != base


@pytest.mark.parametrize('source', ['pointer_chasing', 'hop_string', 'tree',
                                    'markov', 'text'])
def test_every_field_that_a_source_reads_is_in_it(source):
  """No author has to list anything: a field that is there counts."""
  config = changed(data__source=source)
  paths = [path for path, _, _ in overrides.leaves(config)
           if path.startswith('data.source.')]
  assert paths
  different = {'int': 1, 'float': 0.25, 'str': 'x', 'tuple': (9,)}
  for path in paths:
    value = {p: v for p, _, v in overrides.leaves(config)}[path]
    other = different[type(value).__name__]
    moved = overrides.replace(config, {path: other})
    found, before = (serialization.differing(c) for c in (moved, config))
    if 'place' in roles(config.data.source, path):
      assert found == before  # what is read there is in the fingerprint
    else:
      assert found != before, path


def roles(source, path):
  name = path.rpartition('.')[2]
  return {f.metadata.get('role', '') for f in dataclasses.fields(source)
          if f.name == name}


@dataclasses.dataclass(frozen=True)
class RepeatedConfig(PointerChasingConfig):
  """A source that nobody has heard of, with a field of its own."""

  name: ClassVar[str] = 'repeated'
  wear: float = 0.5


def test_a_new_source_needs_no_more_than_its_name(monkeypatch):
  monkeypatch.setitem(SOURCES, 'repeated', RepeatedConfig)
  base = identified(data__source='repeated')
  assert base == identified(data__source='repeated', data__wear='0.5')
  assert base != identified(data__source='pointer_chasing')
  assert base != identified(data__source='repeated', data__wear='0.6')
  assert base != identified(data__source='repeated', data__hops='1')
  with pytest.raises(overrides.UnknownField, match='repeated has it'):
    identified(data__source='text', data__wear='0.6')


def test_a_position_is_known_by_its_name_and_what_differs():
  def differing(**texts):
    return serialization.differing(changed(**texts))

  assert differing(model__position='rotary') == {}
  assert differing(model__position='none') == {'model.position': 'none'}
  assert differing(model__position__scaling='linear',
                   model__position__scaling__factor='2') == {
    'model.position.scaling': 'linear', 'model.position.scaling.factor': 2.0}


def test_a_new_field_with_a_default_orphans_nothing():
  @dataclasses.dataclass(frozen=True)
  class Longer(type(Config().train)):
    gadget: int = 3

  longer = dataclasses.replace(Config(), train=Longer())
  assert serialization.differing(longer) == {}
  more = dataclasses.replace(Config(), train=Longer(gadget=4))
  assert serialization.differing(more) == {'train.gadget': 4}


def test_a_text_is_known_by_its_content(tmp_path):
  words = ''.join(f'Sentence {i} says {i * i}.\n\n' for i in range(2000))
  ids = []
  for name, content in (('a', words), ('b', words), ('c', words + 'More.')):
    (tmp_path / name).write_text(content)
    ids.append(identified(data__text_path=str(tmp_path / name),
                          data__length='16'))
  assert ids[0] == ids[1] != ids[2]


def test_a_pretrained_model_is_known_by_its_content(tmp_path):
  for name in 'abc':
    shutil.copytree(REFERENCES / 'llama', tmp_path / name)
  path = tmp_path / 'c' / 'config.json'
  path.write_text(path.read_text().replace('0.01', '0.02'))  # of the norms
  ids = [run_id(Pretrained(str(tmp_path / name))) for name in 'abc']
  assert ids[0] == ids[1] != ids[2]


def test_exact_cases_differ_by_their_values():
  @dataclasses.dataclass(frozen=True)
  class Softmax:
    size: int
    temperature: float = 1.0

  ids = {run_id(Exact(case)) for case in (
    Softmax(3), Softmax(4), Softmax(3, 2.0), ('softmax', 3), 'softmax')}
  assert len(ids) == 5
  with pytest.raises(TypeError, match='cannot be a case'):
    run_id(Exact(('a', object())))


def test_exact_cases_differ_by_their_types():
  cases = (1, True, 1.0, '1', {1: 'a'}, {'1': 'a'}, [1, 2], [1, 2.0])
  assert len({run_id(Exact(case)) for case in cases}) == len(cases)
  assert len({Exact(case) for case in cases}) == len(cases)
  assert run_id(Exact((1, 2))) == run_id(Exact([1, 2]))


def test_a_whole_number_is_the_number():
  def ids(rate, alpha):
    run_id.cache_clear()  # equal configs are one key of it
    config = changed(data__source='pointer_chasing')
    return run_id(Train(programs.complete(overrides.replace(config, {
      'train.learning_rate': rate, 'train.trainable': 'low_rank',
      'train.trainable.alpha': alpha}))))

  assert ids(2, 4) == ids(2.0, 4.0) != ids(2.5, 4.0)


def test_the_names_of_several_texts_count(tmp_path):
  """Scores are kept by them: another name's would be missed, or misread."""
  for name in 'ab':
    (tmp_path / name).write_text(
      ''.join(f'Sentence {i} says {i * i}.\n\n' for i in range(900)))

  def text(name):
    return TextConfig(length=16, text_path=str(tmp_path / name))

  def identified(source, *evaluate):
    return run_id(Train(programs.complete(dataclasses.replace(
      Config(), data=DataConfig(source, evaluate=evaluate)))))

  def mixed(*names):
    return MixtureConfig(tuple(Part(text(name)) for name in names))

  a, b = text('a'), text('b')
  assert identified(a) == identified(b)
  assert identified(a, a) == identified(b, a) != identified(a, b)
  assert identified(mixed('a', 'b')) != identified(mixed('b', 'a'))


def test_a_mixture_is_known_by_what_its_parts_are(tmp_path):
  def mixed(*weights, **fields):
    parts = tuple(Part(PointerChasingConfig(symbols=9, **fields), weight)
                  for weight in weights)
    return run_id(Train(programs.complete(dataclasses.replace(
      Config(), model=dataclasses.replace(
        Config().model, mask='bidirectional', position=NoPosition()),
      data=DataConfig(MixtureConfig(parts))))))

  assert mixed(1.0, 2.0) == mixed(1.0, 2.0)
  assert len({mixed(1.0, 2.0), mixed(2.0, 1.0), mixed(1.0, 2.0, queries='all'),
              mixed(1.0)}) == 4


def test_what_it_is_scored_on_is_part_of_it():
  plain = dataclasses.replace(Config(), data=DataConfig(TextConfig(length=16)))
  scored = dataclasses.replace(plain, data=dataclasses.replace(
    plain.data, evaluate=(TextConfig(length=16, held_out=0.2),)))
  ids = {run_id(Train(programs.complete(c))) for c in (plain, scored)}
  assert len(ids) == 2


if __name__ == '__main__':
  GOLDEN.write_text(json.dumps(defaults(), indent=1, sort_keys=True) + '\n')
