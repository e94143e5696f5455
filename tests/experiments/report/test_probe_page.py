"""The page of a probe: words that follow from numbers, and nothing loaded."""

import polars as pl
import pytest

from experiments.report import probe

FACTS = probe.Facts(
  'a model', 'quantised, instruct, 135 M', 'topics', 2000,
  'fathom probe a-model', 'cpu', ())


@pytest.fixture
def table():
  return pl.DataFrame({
    'instrument': ['skipping'], 'metric': ['skip_bits'], 'network': ['model'],
    'layer': [1], 'value': [0.5]})


def test_labels_command_and_table_are_told(table, tmp_path):
  text = probe.write(tmp_path, table, None, FACTS).read_text()
  for words in (FACTS.model, FACTS.labels, FACTS.command, probe.TABLE):
    assert words in text
