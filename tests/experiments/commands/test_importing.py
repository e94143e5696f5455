"""`fathom import` from its command line."""

import json
import pathlib
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from experiments.commands import main
from experiments.exchange import folder
from experiments.exchange.opening import opened

LLAMA = (pathlib.Path(__file__).parents[2] / 'model' / 'pretrained'
         / 'references' / 'llama')
FILE = 'model.safetensors'


def fathom(*arguments):
  with pytest.raises(SystemExit) as stopped:
    main.main(['import', *map(str, arguments)])
  return stopped.value.code


@pytest.fixture
def source(tmp_path):
  return shutil.copytree(LLAMA, tmp_path / 'llama')


def test_a_model_is_imported_once(source, tmp_path, capsys):
  out = tmp_path / 'models' / 'ours'
  assert fathom(source, f'--out={out}', '--no-parity') == 0
  printed = capsys.readouterr().out
  ours = opened(out)
  facts = dict(line.split(maxsplit=1) for line in printed.splitlines()
               if not line.startswith(('left', 'peak', 'stored', '100%')))
  assert facts['family'] == 'llama'
  assert facts['parameters'] == '7,152'
  assert facts['fingerprint'] == ours.fingerprint
  assert 'left out     nothing' in printed
  assert 'stored as    F32' in printed
  assert 'times the parameters in float32 (28.6 kB)' in printed
  assert not (out / folder.PARITY).exists()
  before = (out / folder.RECORD).stat().st_mtime_ns
  assert fathom(source, f'--out={out}', '--no-parity') == 0
  assert capsys.readouterr().out.startswith('Done already.')
  assert (out / folder.RECORD).stat().st_mtime_ns == before
  assert fathom(source, f'--out={tmp_path / "models" / "copy"}',
                '--no-parity') == 0
  assert f'WARNING      {out} is the same model' in capsys.readouterr().out


def test_another_model_is_not_written_over(source, tmp_path, capsys):
  out = tmp_path / 'ours'
  assert fathom(source, f'--out={out}', '--no-parity') == 0
  kept = opened(out).fingerprint
  assert fathom(LLAMA.parent / 'gpt2', f'--out={out}') == 2
  assert 'holds another model, imported from llama' in capsys.readouterr().err
  assert opened(out).fingerprint == kept


def config(**changes):
  def spoil(path):
    values = json.loads((path / 'config.json').read_text()) | changes
    (path / 'config.json').write_text(json.dumps(values))
  return spoil


def tensors(change):
  def spoil(path):
    held = load_file(path / FILE)
    change(held)
    save_file(held, path / FILE)
  return spoil


def without_file(path):
  (path / FILE).unlink()


def cut(path):
  (path / FILE).write_bytes((path / FILE).read_bytes()[:-9])


def lying_header(path):
  content = (path / FILE).read_bytes()
  (path / FILE).write_bytes(b'\xff' * 7 + content[7:])


class Trap:
  """Does what a pickle should not."""

  def __reduce__(self):
    return pathlib.Path.touch, (pathlib.Path('sprung'),)


def pickled(path):
  (path / FILE).unlink()
  (path / 'pytorch_model.bin').write_bytes(pickle.dumps(Trap()))


def outside(path):
  shutil.move(path / FILE, path.parent / FILE)
  names = load_file(path.parent / FILE)
  (path / 'model.safetensors.index.json').write_text(
    json.dumps({'weight_map': dict.fromkeys(names, f'../{FILE}')}))


def vast(path):
  with path.open('wb') as file:
    file.truncate(2**40)


@pytest.mark.parametrize(('spoil', 'says'), [
  (config(model_type='mamba'), "model_type: 'mamba' is not read"),
  (config(num_attention_heads=5), 'config.json'),
  (config(hidden_act='mish'), 'hidden_act'),
  (lambda path: (path / 'config.json').write_text('{'), 'not JSON'),
  (lambda path: (path / 'config.json').unlink(), 'config.json: no such file'),
  (without_file, 'no *.safetensors'),
  (cut, 'damaged'),
  (lying_header, 'damaged'),
  (pickled, 'a pickle can run any code and is not opened'),
  (outside, "'../model.safetensors' is not the plain name"),
  (tensors(lambda held: held.pop('model.norm.weight')),
   "'model.norm.weight' is missing"),
  (tensors(lambda held: held.update(more=np.ones(3, np.float32))),
   "'more' has no place"),
  (tensors(lambda held: held.update(
    {'model.norm.weight': np.ones(3, np.float32)})), 'has shape (3,)'),
  (lambda path: (path / 'tokenizer.json').symlink_to('/etc/hostname'),
   'is a link out of the folder'),
  (lambda path: (path / 'tokenizer.json').symlink_to('lost'),
   'tokenizer.json: no such file'),
  (lambda path: (path / 'tokenizer.json').write_text('{'), 'is damaged'),
  (lambda path: (path / 'tokenizer.model').write_bytes(b'\xf8'), 'is damaged'),
  (lambda path: vast(path / 'tokenizer.json'), 'more than 67,108,864 bytes'),
  (lambda path: vast(path / 'modules.json'), 'more than 67,108,864 bytes'),
  (lambda path: (path / 'modules.json').write_text('[' * 10**5), 'not JSON'),
  (lambda path: (path / 'modules.json').symlink_to('lost'), 'no such file'),
  (lambda path: (path / 'modules.json').write_text('[{}]'),
   'not a list of modules')])
def test_what_is_malformed_is_one_message_and_exit_code_2(
    spoil, says, source, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  spoil(source)
  assert fathom(source, '--out=ours') == 2
  message, = capsys.readouterr().err.splitlines()
  assert message.startswith('fathom: ')
  assert str(source) in message
  assert says in message
  assert not (tmp_path / 'ours').exists()
  assert not (tmp_path / 'sprung').exists()


@pytest.mark.parametrize(('arguments', 'says'), [
  ([], 'name a model'),
  (['SOURCE'], '--out is missing'),
  (['nothing', '--out=OUT'], 'nothing: no such file or folder'),
  (['SOURCE', '--out=OUT', '--text=nothing.txt'], '--text=nothing.txt cannot'),
  (['~nobody-here/x', '--out=OUT'], '~nobody-here/x: no such file'),
  (['SOURCE', '--out=CONFIG/x'], 'cannot be made'),
  (['SOURCE', '--out=SOURCE'], 'is there already, and is not overwritten'),
  (['CONFIG', '--out=OUT'], 'config.json'),
  (['SOURCE', '--out=OUT', '--config.seed=3'], 'takes no --config.')])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, source,
                                                  tmp_path, capsys):
  filled = [a.replace('SOURCE', str(source)).replace(
    'OUT', str(tmp_path / 'out')).replace('CONFIG', str(
      source / 'config.json')) for a in arguments]
  assert fathom(*filled) == 2
  message, = capsys.readouterr().err.splitlines()
  assert message.startswith('fathom: ')
  assert says in message


def test_a_file_that_is_no_gguf_is_refused(tmp_path, capsys):
  pytest.importorskip('gguf')
  (tmp_path / 'm.gguf').write_bytes(b'GGUF' + bytes(200))
  assert fathom(tmp_path / 'm.gguf', f'--out={tmp_path / "out"}') == 2
  message, = capsys.readouterr().err.splitlines()
  assert str(tmp_path / 'm.gguf') in message


def test_what_is_imported_already_is_used_as_it_is(source, tmp_path, capsys):
  assert fathom(source, f'--out={tmp_path / "ours"}', '--no-parity') == 0
  assert fathom(tmp_path / 'ours', f'--out={tmp_path / "again"}') == 2
  assert 'is imported already' in capsys.readouterr().err
