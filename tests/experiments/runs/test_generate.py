"""A loaded model goes on with texts; so does the command."""


import io
import itertools
import sys

import jax
import numpy as np
import planted_run
import pytest

import fathom
import model
from data.config import DataConfig
from data.sources.text import TextConfig
from data.text.tokenizer import ByteTokenizer
from experiments.commands import main
from experiments.machine.usage import UsageError
from experiments.runs.loaded import Model
from model import AttentionConfig, ConfigError, ModelConfig
from train import Config

LETTERS = '深é🙂'.encode()
LENGTH = 16


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return planted_run.plant(tmp_path_factory.mktemp('runs'), Config(
    ModelConfig(n_layers=1, d_model=8, mixer=AttentionConfig(n_heads=2)),
    DataConfig(TextConfig(length=LENGTH))))


@pytest.fixture(scope='module')
def loaded(folder):
  return fathom.load(folder)


def copying(end=None):
  """A model without layers to speak of that says LETTERS, byte by byte.

  After `end` of them it says the separator. Its stream is the token's own
  place, and its unembedding moves on by one.
  """
  size = 257
  config = ModelConfig(
    n_layers=1, d_model=size, mixer=AttentionConfig(n_heads=1, d_head=2),
    feed_forward=model.NoFeedForward(), vocab_size=size, max_length=64,
    final_norm=False, parameterisation='standard', unroll=1)
  params = jax.tree.map(np.zeros_like, planted_run.params(config))
  params['token_embedding']['embedding_VD'] = np.eye(size, dtype=np.float32)
  said = [ord('>'), *LETTERS[:end], 256]
  assert len({*said}) == len(said)
  for this, following in itertools.pairwise(said):
    params['unembedding']['w_DV'][this, following] = 9.0
  return Model(config, params, ByteTokenizer())


def test_characters_of_several_bytes_come_whole_and_an_end_mark_ends_it():
  held = copying()
  assert held.generate('>', temperature=0) == '深é🙂'
  assert list(held.generate('>', temperature=0, stream=True)) == [
    '深', 'é', '🙂']
  assert held.generate(['>', '深'], temperature=0) == ['深é🙂', 'é🙂']
  ids = held.generate([ord('>')], temperature=0)
  assert bytes(ids.tolist()) == LETTERS
  assert list(held.generate([ord('>')], temperature=0, stream=True)) == (
    list(LETTERS))
  assert copying(end=2).generate('>', temperature=0) == '\ufffd'
  assert held.generate('>', tokens=4, temperature=0) == '深\ufffd'


def test_the_same_seed_gives_the_same_text_alone_and_beside_others(loaded):
  one = loaded.generate('abc', tokens=6, seed=5)
  assert loaded.generate('abc', tokens=6, seed=5) == one
  assert loaded.generate(['abc', 'a'], tokens=6, seed=5)[0] == one
  assert ''.join(loaded.generate('abc', tokens=6, seed=5, stream=True)) == one
  assert loaded.generate('abc', tokens=6, seed=6) != one


def test_greedy_takes_what_a_reading_says(loaded):
  ids = [1, 2, 3]
  for _ in range(4):
    ids.append(int(np.argmax(loaded.run(ids).logits_TV[-1])))
  found = loaded.generate([1, 2, 3], tokens=4, temperature=0)
  assert found.tolist() == ids[3:]


def test_an_empty_text_begins_a_document(loaded):
  assert loaded.generate('', tokens=4) == loaded.tokenizer.decode(
    loaded.generate([loaded.tokenizer.separator], tokens=4))


def test_it_ends_where_the_model_does(loaded):
  assert len(loaded.generate([1, 2, 3], tokens=99)) == LENGTH + 1 - 3


@pytest.mark.parametrize(('given', 'says'), [
  ({'text': ['a', 'b'], 'stream': True}, 'stream: takes one text at a time'),
  ({'text': 'a', 'temperature': -1}, 'temperature: -1 must be 0'),
  ({'text': 'a', 'top_p': 0}, 'top_p: 0 must be above 0'),
  ({'text': 'far more than sixteen'}, 'model.max_length')])
def test_what_cannot_be_gone_on_with_is_one_message(loaded, given, says):
  with pytest.raises((UsageError, ConfigError), match=says):
    loaded.generate(**given)


def test_a_text_is_gone_on_with_as_a_text_and_ids_as_ids(loaded):
  text, ids = loaded.generate(['ab', [97, 98]], 3, 0)
  assert isinstance(text, str)
  assert ids.dtype == np.int32


def test_the_command_prints_the_text_as_it_comes(folder, loaded, capsys):
  arguments = ['generate', folder.name, 'abc', '--tokens=5', '--seed=2',
               '--top-p=0.9', f'--runs={folder.parents[1]}']
  with pytest.raises(SystemExit) as done:
    main.main(arguments)
  assert done.value.code == 0
  out, error = capsys.readouterr()
  assert out == f'abc{loaded.generate("abc", 5, 1.0, 0.9, 2)}\n'
  assert '1 layers of attention' in error


@pytest.mark.parametrize(('arguments', 'says'), [
  ([], 'name a model and a text'), (['x'], 'name a model and a text'),
  (['x', 'y'], 'x: nothing is there; give a run'),
  (['x', 'y', '--greedy', '--temperature=2'], 'leave one out'),
  (['x', 'y', '--greedy', '--top-p=0.5'], '--top-p=0.5 chooses by chance'),
  (['~nobody-here/x', 'y'], '~nobody-here/x: nothing is there'),
  (['x', 'y', '--temprature=2'], 'did you mean --temperature'),
  (['x', 'y', '--tokens=0'], 'use a whole number from 1 on')])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, capsys):
  with pytest.raises(SystemExit) as done:
    main.main(['generate', *arguments])
  assert done.value.code == 2
  error = capsys.readouterr().err
  assert says in error
  assert error.count('\n') == 1


def test_a_terminal_that_cannot_show_a_character_does_not_end_it(
    folder, monkeypatch):
  shown = io.BytesIO()
  monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(shown, 'ascii'))
  with pytest.raises(SystemExit) as done:
    main.main(['generate', str(folder), 'é', '--tokens=2'])
  assert done.value.code == 0
  sys.stdout.flush()
  assert shown.getvalue().startswith(b'?')
