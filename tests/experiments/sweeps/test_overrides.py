import pytest

from experiments.sweeps import overrides
from experiments.sweeps.overrides import UsageError
from train.config import Config


def parsed(**texts):
  return overrides.parse(Config(), {
    path.replace('__', '.'): text for path, text in texts.items()})


def test_splits_overrides_from_other_arguments():
  found, rest = overrides.split(
    ['depth', '--config.model.n_layers=12', '--preset=cpu',
     '--config.data.text_path', 'a=b.txt'])
  assert found == {'model.n_layers': '12', 'data.text_path': 'a=b.txt'}
  assert rest == ['depth', '--preset=cpu']


def test_values_take_the_type_of_their_field():
  found = parsed(model__n_layers='12', train__learning_rate='3e-4',
                 train__steps='1e3', data__hops='1,2,4', model__norm='rms',
                 data__text_path='12')
  assert found == {
    'model.n_layers': 12, 'train.learning_rate': 3e-4, 'train.steps': 1000,
    'data.hops': (1, 2, 4), 'model.norm': 'rms', 'data.text_path': '12'}


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


def test_config_stays_small():
  assert len(list(overrides.leaves(Config()))) <= 68
