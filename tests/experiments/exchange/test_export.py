"""What is written for transformers computes the same when it is read back."""

import dataclasses
import json

import exported
import numpy as np
import pytest

from data.errors import InputError
from data.text import sentence_piece
from data.text.tokenizer import ByteTokenizer
from experiments.exchange import export, opening
from model import MIXERS, ConfigError, NoFeedForward
from model.position import AlibiPosition, NoPosition, SinusoidalPosition


def written(config, params, out, tokenizer=None):
  expression = export.expressed(config)
  export.write(expression, config, params, out, tokenizer)
  return opening.opened(out)


@pytest.mark.parametrize(('family', 'config'), exported.CASES.values(),
                         ids=exported.CASES)
def test_what_is_written_computes_the_same(family, config, tmp_path):
  params, tokens_BT = exported.params(config), exported.tokens(config)
  found = written(config, params, tmp_path / 'out')
  assert found.family == family
  np.testing.assert_allclose(
    exported.logits(found.config, found.params(), tokens_BT),
    exported.logits(config, params, tokens_BT), atol=2e-4, rtol=2e-4)


def test_all_files_of_a_large_model_are_told_of(tmp_path, monkeypatch):
  monkeypatch.setattr(export, 'SHARD', 10_000)
  config, params = exported.LLAMA, exported.params(exported.LLAMA)
  found = written(config, params, tmp_path / 'out')
  names = sorted(path.name for path in (tmp_path / 'out').iterdir())
  shards = [name for name in names if name.endswith('.safetensors')]
  assert len(shards) > 3
  assert shards[0] == f'model-00001-of-{len(shards):05d}.safetensors'
  assert set(names) - set(shards) == {
    'config.json', 'generation_config.json', 'model.safetensors.index.json'}
  np.testing.assert_array_equal(
    found.params()['stack']['ffn']['w_up_DF'],
    params['stack']['ffn']['w_up_DF'])


@pytest.mark.parametrize(('changes', 'fields'), [
  ({'mixer': MIXERS['gru'](), 'position': NoPosition()}, ['model.mixer'] * 3),
  ({'norm_placement': 'post'}, [
    'model.feed_forward', 'model.position', 'model.norm_placement']),
  ({'position': AlibiPosition()}, [
    'model.feed_forward', 'model.position', 'model.position']),
  ({'position': SinusoidalPosition(), 'norm': 'rms'}, [
    'model.feed_forward', 'model.norm', 'model.position']),
  ({'feed_forward': NoFeedForward()}, ['model.feed_forward'] * 3),
  ({'unembedding': 'none', 'vocab_size': 16}, [
    'model.feed_forward', 'model.position', 'model.unembedding'])])
def test_what_no_family_can_say_is_named_for_each(changes, fields):
  with pytest.raises(ConfigError) as caught:
    export.expressed(dataclasses.replace(exported.NEOX, **changes))
  _, *lines = str(caught.value).splitlines()
  for family, field, line in zip(export.FAMILIES, fields, lines, strict=True):
    assert line.startswith(f'  {family}: {field}='), line


def test_a_folder_with_anything_in_it_stays_as_it_is(tmp_path):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(InputError, match=r'--out=.* is there already'):
    written(exported.NEOX, exported.params(exported.NEOX), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_nothing_is_left_of_what_failed(tmp_path, monkeypatch):
  monkeypatch.setattr(export, '_weights', lambda *_: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    written(exported.NEOX, exported.params(exported.NEOX), tmp_path / 'out')
  assert not list(tmp_path.iterdir())


def test_bytes_become_a_vocabulary_with_the_same_ids(tmp_path):
  own = ByteTokenizer()
  found = written(exported.NEOX, exported.params(exported.NEOX),
                  tmp_path / 'out', own)
  assert found.tokenizer.pieces_V == own.pieces_V
  assert found.tokenizer.separator == own.separator
  for text in exported.TEXTS:
    assert found.tokenizer.encode(text).tolist() == own.encode(text).tolist()
    assert found.tokenizer.decode(own.encode(text)) == text
  said = {name: json.loads((tmp_path / 'out' / name).read_text())
          for name in ('config.json', 'generation_config.json',
                       'tokenizer_config.json')}
  for name in ('config.json', 'generation_config.json'):
    assert said[name]['eos_token_id'] == said[name]['bos_token_id'] == 256
  assert said['tokenizer_config.json']['eos_token'] == '<|endoftext|>'


def test_a_vocabulary_that_came_in_a_file_leaves_in_it(tmp_path):
  model = sentence_piece.train(['ab cd ' * 50], 'bpe', 268)
  own = sentence_piece.SentencePieceTokenizer(model, 'own.model')
  config = dataclasses.replace(exported.GPT2, vocab_size=own.vocab_size)
  found = written(config, exported.params(config), tmp_path / 'out', own)
  assert found.tokenizer_file == ('tokenizer.model', model)
  said = json.loads((tmp_path / 'out' / 'tokenizer_config.json').read_text())
  assert (said['eos_token'], said['add_bos_token']) == ('</s>', False)
