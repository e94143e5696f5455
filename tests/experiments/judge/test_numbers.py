"""Numbers are written for a person."""

import pytest

from experiments.judge import numbers


@pytest.mark.parametrize(('value', 'text'), [
  (0.12345, '0.123'), (1234567, '1.23e+06'), (0, '0'), (None, '–'),
  (float('nan'), '–'), (float('-inf'), '−∞'), (-2.5, '−2.50'), (12.0, '12.0')])
def test_numbers_read_well(value, text):
  assert numbers.number(value) == text


def test_an_interval_bears_the_digits_of_its_estimate():
  assert numbers.span(0.12345, 0.1, 0.2) == ('0.12', '[0.10, 0.20]')
  assert numbers.span(0.5, 0.5, 0.5) == ('0.5', '[0.5, 0.5]')
