"""What can be loaded is loaded; all else is one message."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import planted_run
import pytest

import fathom
import model
from data.config import DataConfig
from data.sources.mixture import MixtureConfig, Part
from data.sources.text import TextConfig
from data.sources.tree import TreeConfig
from data.text import corpus
from experiments.exchange.opening import opened
from experiments.machine.usage import UsageError
from experiments.runs.store import Store
from model import AttentionConfig, ConfigError, ModelConfig
from train import Config

REFERENCES = Path(__file__).parents[2] / 'model' / 'pretrained' / 'references'


def config(source, **changes):
  return Config(ModelConfig(n_layers=1, d_model=8,
                            mixer=AttentionConfig(n_heads=2), **changes),
                DataConfig(source))


def test_a_run_is_found_by_folder_and_by_id_and_where_it_was_moved(tmp_path):
  folder = planted_run.plant(tmp_path / 'runs', config(TextConfig(length=8)))
  first = fathom.load(folder).run('abc').logits_TV
  by_id = fathom.load(folder.name, runs=tmp_path / 'runs')
  np.testing.assert_array_equal(by_id.run('abc').logits_TV, first)
  moved = shutil.copytree(folder, tmp_path / 'mine')
  np.testing.assert_array_equal(fathom.load(moved).run('abc').logits_TV, first)


def test_a_run_that_read_no_text_takes_ids(tmp_path):
  held = fathom.load(planted_run.plant(
    tmp_path, config(TreeConfig(levels=2), mask='bidirectional')))
  assert held.run([0, 1, 2]).tokens == ['0', '1', '2']
  with pytest.raises(UsageError, match='reads ids alone: it was trained on '
                     'tree, which is no text; give a list of ids'):
    held.tokenize('abc')


def test_the_tokenizer_of_a_text_that_was_mixed_in_is_found(tmp_path):
  text = TextConfig(length=8)
  held = fathom.load(planted_run.plant(tmp_path, config(
    MixtureConfig((Part(text), Part(text))))))
  assert held.run('abc').tokens == ['a', 'b', 'c']


@pytest.mark.parametrize(('change', 'says'), [
  ('gone', r'its tokenizer cannot be made again \(.*book\.txt cannot be read'),
  ('changed', 'cannot be made again, since book.txt is not what it was')])
def test_a_tokenizer_whose_text_is_not_there_any_more_is_missed(
    tmp_path, change, says):
  book = tmp_path / 'book.txt'
  book.write_text('\n\n'.join(corpus.read('')[:2]))
  text = TextConfig(length=8, text_path=str(book), tokenizer='bpe',
                    vocab_size=400)
  folder = planted_run.plant(tmp_path, config(text))
  assert fathom.load(folder).run('he').tokens == ['he']
  folder = planted_run.plant(tmp_path, config(text), tokenizer='another'
                             if change == 'changed' else 'same')
  if change == 'gone':
    book.unlink()
  held = fathom.load(folder)
  assert held.run([4, 5]).tokens == ['4', '5']
  with pytest.raises(UsageError, match=says):
    held.run('he')


def test_what_others_have_trained_is_opened(tmp_path):
  folder = REFERENCES / 'llama'
  held = fathom.load(folder)
  assert repr(held).startswith('<llama: 3 layers of attention')
  assert 'stored as F32' in repr(held)
  out = held.run([1, 2, 3])
  expected = model.apply(held.config, opened(folder).params(), np.array(
    [[1, 2, 3]])).logits_BTV[0]
  np.testing.assert_allclose(out.logits_TV, expected, rtol=1e-5, atol=1e-5)
  with pytest.raises(UsageError, match='it has no file of a tokenizer'):
    held.run('text')
  shutil.copytree(folder, tmp_path / 'mine')
  (tmp_path / 'mine' / 'tokenizer.json').write_text('{}')
  held = fathom.load(tmp_path / 'mine')
  assert held.run([1]).tokens == ['1']
  with pytest.raises(UsageError, match='its tokenizer cannot be opened'):
    held.run('text')


@pytest.mark.parametrize('spoil', [
  lambda path: path.write_text('[' * 10**5),
  lambda path: os.mkfifo(path), lambda path: path.symlink_to('/dev/zero')])
def test_a_config_that_no_run_wrote_is_not_read_for_a_run(spoil, tmp_path):
  folder = shutil.copytree(REFERENCES / 'llama', tmp_path / 'mine')
  (folder / 'config.json').unlink()
  spoil(folder / 'config.json')
  with pytest.raises(ConfigError, match=r'json: (not JSON|no such file)'):
    fathom.load(folder)


def test_what_is_no_model_is_one_message(tmp_path):
  def refuses(path, says):
    with pytest.raises(UsageError, match=says):
      fathom.load(path, runs=tmp_path)

  refuses(tmp_path / 'nothing', 'nothing is there; give a run')
  refuses('0123456789ab', r'0123456789ab: no such run in .*trained')
  refuses(tmp_path, r'is no model; give a run.* Hugging Face folder, or a \.')
  folder = planted_run.plant(tmp_path, config(TextConfig(length=8)))
  (folder / 'params.safetensors').write_bytes(b'')
  refuses(folder, 'is not what was written')
  (folder / 'result.json').unlink()
  (folder / 'config.json').write_text(json.dumps({'run': folder.name}))
  refuses(folder, 'is not finished')
  Store(tmp_path).publish(folder.name, {'status': 'diverged'})
  refuses(folder, 'diverged, so it has no parameters')
