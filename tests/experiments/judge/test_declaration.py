"""The hash moves with the declaration, and with nothing else."""

import dataclasses
import functools

import pytest

from experiments.judge import declaration, samples
from experiments.judge.declaration import Claim, Control, Effect, Rule, Stratum

LIMIT = 0.9


def plain(table):
  """One docstring."""
  return samples.average(table, 'loss')  # one comment


def same_as_plain(table):
  return samples.average(
    table,
    'loss')


def limited(table):
  return helper(table) - LIMIT


def helper(table):
  return samples.average(table, 'loss')


def claim(measure=plain, smallest=0.1, **stratum):
  gain = functools.partial(samples.paired_difference, metric='loss',
                           a={'n_layers': 1}, b={'n_layers': 2})
  declared = Stratum(**{
    'name': 'text', 'title': 'Text', 'prediction': 'It falls.',
    'refutation': 'It does not.',
    'effects': (Effect('gain', 'Loss falls.', 'nats', gain, smallest),),
    'controls': (Control('chance', 'Above chance.', measure, at_least=0),),
    'rule': Rule(supported=(('gain', 'supported'),)), **stratum})
  return Claim('depth', 'Depth', 'Layers give depth.', 'literal', (declared,))


def test_hash_is_stable():
  assert (declaration.declaration_hash(claim())
          == declaration.declaration_hash(claim()))


@pytest.mark.parametrize('changed', [
  claim(smallest=0.2),
  claim(prediction='It rises.'),
  claim(rule=Rule(supported=(('gain', 'supported'),),
                  refuted=(('gain', 'refuted'),))),
  claim(controls=()),
  claim(measure=limited),
  dataclasses.replace(claim(), alpha=0.01),
  dataclasses.replace(claim(), reading='charitable'),
])
def test_hash_changes_with_every_part(changed):
  assert (declaration.declaration_hash(changed)
          != declaration.declaration_hash(claim()))


def test_hash_sees_bound_arguments():
  def bound(n, layers=range(3)):
    return claim(measure=functools.partial(
      samples.average, metric='loss', where={'n_layers': n}, layers=layers))
  assert (declaration.declaration_hash(bound(1))
          != declaration.declaration_hash(bound(2)))
  assert (declaration.declaration_hash(bound(1))
          == declaration.declaration_hash(bound(1, layers=(0, 1, 2))))


def test_hash_ignores_comments_docstrings_and_layout(monkeypatch):
  monkeypatch.setattr(same_as_plain, '__name__', 'plain')
  first = declaration._source(plain)
  second = declaration._source(same_as_plain)
  assert first['plain'] == second['plain'].replace('same_as_plain', 'plain')


def test_hash_follows_the_constants_a_measure_uses(monkeypatch):
  before = declaration.declaration_hash(claim(measure=limited))
  monkeypatch.setitem(globals(), 'LIMIT', 0.8)
  assert declaration.declaration_hash(claim(measure=limited)) != before


def test_hash_follows_the_functions_a_measure_uses(monkeypatch):
  before = declaration.declaration_hash(claim(measure=limited))
  monkeypatch.setitem(globals(), 'helper', plain)
  assert declaration.declaration_hash(claim(measure=limited)) != before


def test_the_seal_keeps_the_first_hash(tmp_path):
  path = tmp_path / 'runs' / 'declaration'
  first = declaration.seal(path, claim())
  assert first == declaration.declaration_hash(claim())
  assert declaration.seal(path, claim(smallest=0.2)) == first
  assert [p.name for p in path.parent.iterdir()] == ['declaration']


@pytest.mark.parametrize(('field', 'value', 'message'), [
  ('smallest', 0, 'must be above 0'),
  ('clears', -1, 'must not be negative'),
  ('test', 'sign', 'must be one of'),
  ('sided', 'less', "'two-sided' or 'greater'"),
  ('measure', lambda table: None, 'a named function'),
])
def test_an_effect_names_what_is_wrong(field, value, message):
  effect = claim().strata[0].effects[0]
  with pytest.raises(ValueError, match=f"effect 'gain'.*{message}"):
    dataclasses.replace(effect, **{field: value})


def test_a_rule_names_effects_that_exist_and_states_that_exist():
  with pytest.raises(ValueError, match="names 'gian'"):
    claim(rule=Rule(supported=(('gian', 'supported'),)))
  with pytest.raises(ValueError, match="asks for 'true'"):
    claim(rule=Rule(supported=(('gain', 'true'),)))
  with pytest.raises(ValueError, match='must name an effect'):
    claim(rule=Rule(supported=()))
