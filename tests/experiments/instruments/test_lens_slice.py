"""The slice: what the page shows is what the lenses say."""

import functools
import json

import jax
import numpy as np
import pytest

import model
from data.text.tokenizer import ByteTokenizer
from experiments.instruments import lens_slice
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from experiments.instruments.passages import cut

CONFIG = model.ModelConfig(n_layers=2, d_model=16, vocab_size=256, unroll=1,
                           mixer=model.AttentionConfig(n_heads=2))
TEXT = b'a cat and a dog, and a cat'


@functools.cache
def given():
  params = jax.jit(functools.partial(model.init, CONFIG))(
    jax.random.key(0), scale=3.0)
  return Given(Network(params, CONFIG), cut([list(TEXT)], 64),
               cut([list(TEXT[:13]), list(TEXT[::-1]), list(TEXT)], 32),
               ByteTokenizer())


@functools.cache
def sliced(tokens=64):
  return lens_slice.read(given(), tuple(lens_slice.TRANSPORTS), tokens)


def logits_NTV():
  network, passages = given().network, given().passages
  return [network.unembed(x_BTD)[0] for x_BTD in network.stream(passages)]


def test_it_is_json_of_the_shapes_that_it_says():
  found = json.loads(json.dumps(sliced()))
  lenses, layers, length = (len(lens_slice.TRANSPORTS), CONFIG.n_layers + 1,
                            len(TEXT))
  assert np.shape(found['top']) == (lenses, layers, length)
  assert np.shape(found['probability']) == (lenses, layers, length)
  for position, own in enumerate(found['candidates']):
    for of_lens in found['ranks']:
      assert np.shape(of_lens[position]) == (len(own), layers)
  assert ''.join(found['tokens']) == TEXT.decode()
  assert ''.join(found['targets']) == TEXT[1:].decode()
  assert found['targets'][-1] == ''


def test_the_likeliest_words_are_first_in_rank_and_candidates():
  found = sliced()
  for of_lens, ranks in zip(found['top'], found['ranks']):
    for layer, words in enumerate(of_lens):
      for position, word in enumerate(words):
        place = found['candidates'][position].index(word)
        assert ranks[position][place][layer] == 1


def test_the_logit_lens_and_every_last_layer_are_the_models():
  found = sliced()
  tokenizer = given().tokenizer
  for layer, logits_TV in enumerate(logits_NTV()):
    share_TV = np.asarray(jax.nn.softmax(logits_TV))
    of_layer = [found['words'][word] for word in found['top'][0][layer]]
    assert of_layer == [tokenizer.token(int(i)) for i in share_TV.argmax(-1)]
    assert found['probability'][0][layer] == pytest.approx(
      share_TV.max(-1).tolist(), abs=1e-4)
  for name in ('top', 'probability'):
    assert found[name][0][-1] == found[name][1][-1]


def test_ranks_count_what_scores_higher():
  found = sliced()
  spelled = [given().tokenizer.token(i) for i in range(CONFIG.vocab_size)]
  compared = 0
  for layer, logits_TV in enumerate(map(np.asarray, logits_NTV())):
    for position, own in enumerate(found['candidates']):
      for place, word in enumerate(own):
        ids = [i for i, text in enumerate(spelled)
               if text == found['words'][word]]
        if len(ids) == 1:  # half a character looks like any other
          above_V = logits_TV[position] - logits_TV[position, ids[0]]
          # Itself is above what is a little lower.
          assert (above_V > 1e-4).sum() + 1 <= found['ranks'][0][position][
            place][layer] <= (above_V > -1e-4).sum()
          compared += 1
  assert compared > 50


def test_fewer_tokens_are_the_first():
  few, all_of_them = sliced(5), sliced()
  assert few['tokens'] == all_of_them['tokens'][:5]
  assert few['targets'] == all_of_them['targets'][:5]
  assert few['ranks'][0][4] == all_of_them['ranks'][0][4]
