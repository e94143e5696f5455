"""What is declared wrongly is refused, by name."""

import dataclasses
import functools

import pytest

from experiments.judge import samples
from experiments.judge.declaration import Claim, Control, Effect, Rule, Stratum


def plain(table):
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
