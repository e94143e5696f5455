import dataclasses

import numpy as np
import planted_run
import pytest

from data import DataConfig
from data.sources.hop_string import HopStringConfig
from data.sources.text import TextConfig
from experiments.commands import main
from experiments.exchange.opening import opened
from experiments.runs import origin
from model import MIXERS, ModelConfig
from model.position import NoPosition
from train import Config

TINY = Config(ModelConfig(n_layers=2, d_model=16))


def run(arguments, capsys):
  with pytest.raises(SystemExit) as stop:
    main.main([str(argument) for argument in arguments])
  said = capsys.readouterr()
  return stop.value.code, said.out, said.err


def test_a_run_is_exported_and_read_back(tmp_path, capsys):
  place = planted_run.plant(tmp_path / 'runs', dataclasses.replace(
    TINY, data=DataConfig(TextConfig(length=16))))
  out = tmp_path / 'models' / 'out'
  arguments = ['export', place.name, f'--runs={tmp_path / "runs"}',
               f'--out={out}']
  code, said, _ = run(arguments, capsys)
  assert code == 0
  assert said.startswith('GPTNeoXForCausalLM: ')
  assert said.endswith(
    f'transformers.AutoModelForCausalLM.from_pretrained({str(out)!r})\n')
  ours, back = origin.load(place), origin.load(out)
  assert opened(out).tokenizer.separator == ours.tokenizer.separator
  np.testing.assert_allclose(ours.run('Sentence').logits_TV,
                             back.run('Sentence').logits_TV, atol=1e-4)
  code, _, error = run(arguments, capsys)
  assert code == 2
  assert 'is there already' in error


def test_a_run_that_no_format_has_says_why(tmp_path, capsys):
  config = dataclasses.replace(
    TINY, model=dataclasses.replace(TINY.model, mixer=MIXERS['gru'](),
                                    position=NoPosition()),
    data=DataConfig(HopStringConfig()))
  place = planted_run.plant(tmp_path / 'runs', config)
  code, _, error = run(['export', place, f'--out={tmp_path / "out"}'], capsys)
  assert code == 2
  assert error.count('model.mixer=gru') == 3
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('arguments', 'says'), [
  ([], 'name a model and a folder'),
  (['there'], 'name a model and a folder'),
  (['there', '--out=out', '--format=gguf'], 'hf'),
  (['nowhere', '--out=out'], 'nowhere'),
  (['0123456789ab', '--out=out'], 'no such run')])
def test_a_mistake_gets_one_message(arguments, says, tmp_path, capsys,
                                    monkeypatch):
  monkeypatch.chdir(tmp_path)
  code, _, error = run(['export', *arguments], capsys)
  assert code == 2
  assert says in error
