"""Published numbers find ours."""

import polars as pl
import pytest

from experiments.judge.beside import beside
from experiments.machine.usage import UsageError

TABLE = pl.DataFrame({
  'arm': ['4 heads'] * 5, 'run': ['a', 'b', 'a', 'c', 'a'],
  'n_layers': [2, 2, 2, 3, 2], 'metric': ['accuracy'] * 5,
  'hops': [1, 1, 2, 1, 1], 'step': [None, None, None, None, 10],
  'value': [0.9, 0.8, 0.5, 1.0, 0.1]})


def published(folder, text):
  (folder / 'theirs.csv').write_text(text)
  return folder / 'theirs.csv'


def test_means_of_the_same_place_stand_beside(tmp_path):
  found = beside(TABLE, published(
    tmp_path, 'arm,n_layers,hops,metric,value\n4 heads,2,1,accuracy,1\n'
    '4 heads,3,1,accuracy,0.75\n4 heads,6,1,accuracy,0.9\n'))
  assert found['ours'].to_list() == pytest.approx([0.85, 1.0, None])
  assert found['runs'].to_list() == [2, 1, None]
  assert found['difference'].to_list() == pytest.approx([-0.15, 0.25, None])


@pytest.mark.parametrize(('text', 'says'), [
  ('arm,value\n4 heads,1\n', "no column 'metric'"),
  ('metric,hop,value\naccuracy,1,1\n', r"'hop' is no column .*mean hops"),
  ('metric,hops,value\naccuracy,one,1\n', 'one'),
  (None, 'cannot be read')])
def test_a_file_that_does_not_fit_is_one_message(text, says, tmp_path):
  file = published(tmp_path, text) if text else tmp_path / 'none.csv'
  with pytest.raises(UsageError, match=says):
    beside(TABLE, file)
