"""What is exported, as transformers loads it. Needs the extra `parity`."""

import dataclasses

import exported
import numpy as np
import pytest

from data.text import sentence_piece
from data.text.tokenizer import ByteTokenizer
from experiments.exchange import export

torch = pytest.importorskip('torch')
transformers = pytest.importorskip('transformers')


@pytest.mark.parametrize(('family', 'config'), exported.CASES.values(),
                         ids=exported.CASES)
def test_transformers_gives_the_same_logits(family, config, tmp_path):
  config = dataclasses.replace(config, n_layers=4)
  params, tokens_BT = exported.params(config), exported.tokens(config)
  expression = export.expressed(config)
  export.write(expression, config, params, tmp_path / 'out')
  loaded, said = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path / 'out', output_loading_info=True)
  assert not any(said.values())
  with torch.no_grad():
    theirs_BTV = loaded(torch.tensor(tokens_BT).long()).logits.numpy()
  ours_BTV = exported.logits(config, params, tokens_BT)
  np.testing.assert_allclose(theirs_BTV, ours_BTV, atol=1e-4, rtol=1e-5)


def test_transformers_reads_shards(tmp_path, monkeypatch):
  monkeypatch.setattr(export, 'SHARD', 10_000)
  config = exported.GPT2
  params, tokens_BT = exported.params(config), exported.tokens(config)
  export.write(export.expressed(config), config, params, tmp_path / 'out')
  assert len(list((tmp_path / 'out').glob('*.safetensors'))) > 3
  loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / 'out')
  with torch.no_grad():
    theirs_BTV = loaded(torch.tensor(tokens_BT).long()).logits.numpy()
  np.testing.assert_allclose(
    theirs_BTV, exported.logits(config, params, tokens_BT), atol=1e-4)


def of_bytes():
  return ByteTokenizer()


def of_pieces():
  words = [' '.join(f'{i * i} names of {word}' for word in exported.TEXTS)
           for i in range(200)]
  return sentence_piece.SentencePieceTokenizer(
    sentence_piece.train(words, 'bpe', 400), 'own.model')


@pytest.mark.parametrize('tokenizer', [of_bytes(), of_pieces()])
def test_transformers_gives_the_same_ids(tokenizer, tmp_path):
  config = dataclasses.replace(exported.GPT2, vocab_size=tokenizer.vocab_size)
  export.write(export.expressed(config), config, exported.params(config),
               tmp_path / 'out', tokenizer)
  loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / 'out')
  for text in exported.TEXTS:
    assert loaded(text)['input_ids'] == tokenizer.ids(text).tolist(), text
    assert loaded.decode(tokenizer.ids(text)) == text
  assert loaded.eos_token_id == tokenizer.separator
