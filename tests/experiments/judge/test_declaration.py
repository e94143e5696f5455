"""What is declared wrongly is refused, by name."""

import dataclasses
import functools

import pytest

from experiments.judge import samples
from experiments.judge.declaration import (
  Claim,
  Control,
  Effect,
  Property,
  Rule,
  Stratum,
)


def plain(table):
  return samples.average(table, 'loss')


def claim(measure=plain, smallest=0.1, **stratum):
  gain = functools.partial(samples.paired_difference, metric='loss',
                           a={'n_layers': 1}, b={'n_layers': 2})
  declared = Stratum(**{
    'name': 'text', 'title': 'Text', 'prediction': 'It falls.',
    'refutation': 'It does not.',
    'effects': (Effect('gain', 'Loss falls.', 'nats', gain, smallest=smallest,
                       positive=Control('able', 'It learns.', plain,
                                        at_least=1)),),
    'controls': (Control('chance', 'Above chance.', measure, at_least=0),),
    'rule': Rule(supported=(('gain', 'supported'),)), **stratum})
  return Claim('depth', 'Depth', 'Layers give depth.', 'literal', (declared,))


@pytest.mark.parametrize(('field', 'value', 'message'), [
  ('smallest', 0, 'must be above 0'),
  ('smallest', None, 'smallest or band'),
  ('band', (0.7, 1.3), 'not both'),
  ('analysis', 'sign', 'must be one of'),
  ('positive', None, 'must be a Control'),
  ('sigma', 0, 'must be above 0'),
  ('sided', 'less', "'greater' or 'two-sided'"),
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
  with pytest.raises(ValueError, match='must name an effect or a property'):
    claim(rule=Rule(supported=()))
  with pytest.raises(ValueError, match="asks for 'holds' of 'gain'"):
    claim(rule=Rule(supported=(('gain', 'holds'),)))
  with pytest.raises(ValueError, match="asks for 'supported' of 'order'"):
    claim(properties=(Property('order', 'It is in order.', in_order),),
          rule=Rule(supported=(('order', 'supported'),)))


def in_order(table):
  return '' if table.height else 'nothing'


def test_thresholds_that_cannot_be_reached_are_refused():
  gain = claim().strata[0].effects[0]
  for analysis, smallest in (('trend', 1.0), ('rank correlation', 1.2),
                             ('time to solve', 1.0)):
    with pytest.raises(ValueError, match=f"'gain': smallest={smallest}"):
      dataclasses.replace(gain, analysis=analysis, smallest=smallest)
  with pytest.raises(ValueError, match='must rise'):
    dataclasses.replace(gain, smallest=None, band=(1.3, 0.7))


def test_six_effects_are_the_most():
  gain = claim().strata[0].effects[0]
  effects = tuple(dataclasses.replace(gain, name=f'gain {i}') for i in range(7))
  rule = Rule(supported=(('gain 0', 'supported'),))
  assert claim(effects=effects[:6], rule=rule)
  with pytest.raises(ValueError, match='7 effects; at most 6'):
    claim(effects=effects, rule=rule)


def test_a_control_that_effects_share_is_one():
  def able():  # a partial of its own each time
    return Control('able', 'It learns.', functools.partial(plain), at_least=1)

  first = dataclasses.replace(claim().strata[0].effects[0], positive=able())
  second = dataclasses.replace(first, name='more', positive=able())
  shared = claim(effects=(first, second))
  assert [c.name for c in shared.strata[0].every_control()] == [
    'able', 'chance']
  other = dataclasses.replace(second, positive=dataclasses.replace(
    able(), at_least=2))
  with pytest.raises(ValueError, match='controls: names must differ'):
    claim(effects=(first, other))
