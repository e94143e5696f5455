import dataclasses

import pytest

from data.sources import SOURCES
from experiments.machine import usage
from experiments.machine.usage import UsageError
from experiments.sweeps import flags, overrides
from model import ConfigError, RotaryPosition
from model.rotary_scaling import LinearScaling, YarnScaling
from train.config import Config


def parsed(**texts):
  return overrides.parse(Config(), {
    path.replace('__', '.'): text for path, text in texts.items()})


def test_a_kind_inside_a_kind_comes_after_it_in_any_order():
  found = parsed(model__position__scaling__factor='4',
                 model__position__scaling='yarn', model__position='rotary',
                 model__position__base='5e5')
  assert overrides.replace(Config(), found).model.position == RotaryPosition(
    5e5, scaling=YarnScaling(4.0))
  alibi = overrides.replace(Config(), {'model.position': 'alibi'})
  found = overrides.parse(alibi, {'model.position.scaling': 'linear',
                                  'model.position': 'rotary',
                                  'model.position.scaling.factor': '2'})
  assert overrides.replace(alibi, found).model.position == RotaryPosition(
    scaling=LinearScaling(2.0))


def test_what_is_true_or_false_is_said_so():
  assert parsed(model__final_norm='false', model__mixer__qkv_bias='True') == {
    'model.final_norm': False, 'model.mixer.qkv_bias': True}
  with pytest.raises(UsageError, match='use true or false'):
    parsed(model__final_norm='no')


def test_splits_overrides_from_other_arguments():
  found, rest = flags.split(
    ['depth', '--config.model.n_layers=12', '--preset=cpu',
     '--config.data.text_path', 'a=b.txt'])
  assert found == {'model.n_layers': '12', 'data.text_path': 'a=b.txt'}
  assert rest == ['depth', '--preset=cpu']


def test_values_take_the_type_of_their_field():
  found = parsed(model__n_layers='12', train__learning_rate='3e-4',
                 train__steps='1e3', data__source='hop_string',
                 data__hops='1,2,4', data__length='12', model__norm='rms')
  assert found == {
    'model.n_layers': 12, 'train.learning_rate': 3e-4, 'train.steps': 1000,
    'data.source': 'hop_string', 'data.source.hops': (1, 2, 4),
    'data.source.length': 12, 'model.norm': 'rms'}
  assert parsed(data__text_path='12') == {'data.source.text_path': '12'}


@pytest.mark.parametrize(('path', 'text', 'says'), [
  ('model.n_layer', '3', 'did you mean --config.model.n_layers'),
  ('n_layers', '3', 'did you mean --config.model.n_layers'),
  ('model.norm', 'rmss', r'use one of layer, rms \(did you mean rms'),
  ('model.n_layers', 'three', 'not a whole number'),
  ('model.n_layers', '1.5', 'not a whole number'),
  ('train.learning_rate', 'fast', 'not a number'),
])
def test_a_mistake_gets_the_path_and_the_fix(path, text, says):
  with pytest.raises(UsageError, match=says) as caught:
    overrides.parse(Config(), {path: text})
  assert path in str(caught.value)


def test_replace_changes_only_what_is_named():
  changed = overrides.replace(Config(), {'model.n_layers': 9, 'data.seed': 3})
  assert (changed.model.n_layers, changed.data.seed) == (9, 3)
  assert overrides.replace(changed, {
    'model.n_layers': Config().model.n_layers, 'data.seed': 0}) == Config()


@pytest.mark.parametrize('source', SOURCES)
def test_config_stays_small(source):
  """What one run can set: a new field should replace an old one."""
  config = overrides.replace(Config(), {'data.source': source})
  assert len(list(overrides.leaves(config))) <= 73


@dataclasses.dataclass(frozen=True)
class Square:
  side: int = 1


@dataclasses.dataclass(frozen=True)
class Circle:
  radius: float = 1.0
  hole: float = 0.0


@dataclasses.dataclass(frozen=True)
class Drawing:
  shape: Square | Circle = dataclasses.field(
    default=Square(), metadata={'kinds': {'square': Square, 'circle': Circle}})
  colour: str = 'red'


@dataclasses.dataclass(frozen=True)
class Page:
  drawing: Drawing = Drawing()


def drawn(**texts):
  return overrides.replace(Page(), overrides.parse(Page(), {
    path.replace('__', '.'): text for path, text in texts.items()}))


def test_a_kind_is_chosen_by_name_and_brings_its_own_fields():
  assert drawn(drawing__shape='circle').drawing.shape == Circle()
  assert drawn(drawing__shape__radius='2', drawing__shape='circle'
               ).drawing.shape == Circle(2.0)
  assert [path for path, _, _ in overrides.leaves(Page())] == [
    'drawing.shape', 'drawing.shape.side', 'drawing.colour']


def test_a_field_of_another_kind_is_unknown():
  with pytest.raises(usage.UsageError,
                     match=r'drawing\.shape\.radius: no such field'):
    drawn(drawing__shape__radius='2')
  with pytest.raises(usage.UsageError, match='use one of square, circle'):
    drawn(drawing__shape='cirle')


def test_the_name_of_a_field_that_holds_a_kind_may_be_left_out():
  assert drawn(drawing__side='3').drawing.shape == Square(3)
  assert drawn(drawing__hole='0.5', drawing__shape='circle'
               ).drawing.shape == Circle(1.0, 0.5)
  with pytest.raises(usage.UsageError, match='no such field'):
    drawn(drawing__radius='2')


def test_the_kind_that_is_there_keeps_its_fields():
  page = Page(Drawing(Circle(3.0)))
  assert overrides.replace(page, {'drawing.shape': 'circle'}) == page


def test_a_field_that_is_not_there_cannot_be_replaced():
  for path in ('gadget', 'data.gadget', 'data.source.gadget'):
    with pytest.raises(overrides.UnknownField, match='gadget: no such field'):
      overrides.replace(Config(), {path: 1})


def test_what_is_of_no_kind_is_named():
  class Mine(SOURCES['tree']):
    pass

  config = overrides.replace(Config(), {'data.source': Mine()})
  with pytest.raises(ConfigError, match='source: Mine is none of its kinds'):
    list(overrides.leaves(config))
