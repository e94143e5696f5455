"""The face: three lines, from anywhere, and nothing starts before it must."""

import subprocess
import sys

import polars as pl
import pytest

import fathom
from experiments.judge import table
from experiments.machine import process
from experiments.machine.usage import UsageError


def python(code, folder):
  return subprocess.run(
    [sys.executable, '-c', f'import sys; sys.path.append({str(process.ROOT)!r})'
     f'\n{code}'], cwd=folder, capture_output=True, text=True)


def test_it_is_imported_from_anywhere_and_starts_nothing(tmp_path):
  done = python('import fathom\nfathom.load\nprint(fathom.__doc__)\n'
                "assert not {'jax', 'polars', 'experiments'} & {*sys.modules}",
                tmp_path)
  assert done.returncode == 0, done.stderr
  assert "fathom.load('runs/trained/ID')" in done.stdout


@pytest.mark.parametrize(('room', 'says'), [
  ('experiments', "something called 'experiments' stands in the way"),
  ('data', "stands where Python looks for the package 'data'")])
def test_a_folder_that_hides_ours_is_named(tmp_path, room, says):
  (tmp_path / room).mkdir()
  (tmp_path / room / '__init__.py').touch()
  done = python("import fathom\nfathom.load('x')", tmp_path)
  assert says in done.stderr


def test_the_table_of_an_experiment_is_read(tmp_path):
  rows = pl.DataFrame({'metric': ['loss'], 'value': [1.5]})
  table.write(rows, tmp_path)
  assert fathom.results(tmp_path).equals(rows)
  assert fathom.results(tmp_path / 'results.parquet').equals(rows)
  with pytest.raises(UsageError, match='no table is there; fathom results'):
    fathom.results(tmp_path / 'nothing')
  (tmp_path / 'results.parquet').write_bytes(b'')
  with pytest.raises(UsageError, match='cannot be read'):
    fathom.results(tmp_path)
