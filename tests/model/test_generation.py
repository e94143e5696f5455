"""What a model writes: as `apply` would have it, and the same every time."""

import itertools

import jax
import numpy as np
import pytest
import tiny

import model
from model import ConfigError, generation
from model.generation import ENDED, Sampling, draw, generate, stream

GREEDY = Sampling(temperature=0)
PROMPTS = [[1, 2, 3, 4, 5], [6], [3, 3, 0]]
LENGTH = 16


def config(mixer='attention', **changes):
  return tiny.config(mixer, **{'max_length': LENGTH, **changes})


def said(config, prompts=PROMPTS, tokens=8, *args, **options):
  texts = generate(config, tiny.params(config), prompts, tokens, *args,
                   **options)
  return [ids_T.tolist() for ids_T in texts]


@pytest.mark.parametrize('mixer', ['attention', 'linear_recurrence'])
def test_greedy_takes_the_most_probable_token_of_the_whole_text(mixer):
  own = config(mixer)
  text_T = list(PROMPTS[0])
  padded_BT = np.zeros((1, LENGTH), np.int32)
  run = tiny.jit(lambda params, tokens_BT: model.apply(
    own, params, tokens_BT).logits_BTV)
  for _ in range(8):
    padded_BT[0, :len(text_T)] = text_T
    logits_TV = run(tiny.params(own), padded_BT)[0]
    text_T.append(int(logits_TV[len(text_T) - 1].argmax()))
  assert said(own, sampling=GREEDY)[0] == text_T[len(PROMPTS[0]):]


def test_a_text_does_not_depend_on_what_stands_beside_it():
  own = config()
  together = said(own)
  assert together == [said(own, [prompt])[0] for prompt in PROMPTS]
  assert together == said(own, PROMPTS[::-1])[::-1]
  assert len(set(map(tuple, together))) == 3


def test_a_seed_is_a_text_and_copies_of_a_prompt_get_their_own():
  own, warm = config(), Sampling(temperature=3)
  assert said(own, sampling=warm, seed=3) == said(own, sampling=warm, seed=3)
  texts = [said(own, sampling=warm, seed=seed)[0] for seed in range(5)]
  assert len(set(map(tuple, texts))) == 5
  copies = said(own, PROMPTS[:1] * 5, sampling=warm)
  assert len(set(map(tuple, copies))) == 5
  assert copies[0] == texts[0]


def test_a_text_ends_after_a_stop_id_and_the_others_go_on():
  own = config()
  free = said(own)
  stop = free[0][3]
  stopped = said(own, stop=[stop])
  for whole, cut in zip(free, stopped):
    end = whole.index(stop) + 1 if stop in whole else len(whole)
    assert cut == whole[:end]
  said_B = list(stream(own, tiny.params(own), PROMPTS, 8, stop=[stop]))
  assert said_B[-1][0] == ENDED
  assert [row[0] for row in said_B if row[0] != ENDED] == stopped[0]


def test_a_text_ends_where_all_positions_are_read():
  """The token after the last position is predicted, and read no more."""
  own = config(position='learned', max_length=6)
  texts = said(own, tokens=50, sampling=GREEDY)
  assert [len(ids_T) for ids_T in texts] == [2, 6, 4]
  assert texts == said(config(position='learned', max_length=6), tokens=6,
                       sampling=GREEDY)
  assert [len(t) for t in said(own, [[1] * 6], 50)] == [1]


def test_no_tokens_are_no_tokens():
  assert said(config(), tokens=0) == [[], [], []]


def test_prompts_are_read_in_pieces_that_change_nothing(monkeypatch):
  own = config('gru')
  whole = said(own, sampling=GREEDY)
  monkeypatch.setattr(generation, 'PIECE', 2)
  assert said(own, sampling=GREEDY) == whole


def test_texts_come_as_they_are_written():
  said_B = list(itertools.islice(
    stream(config(), tiny.params(config()), PROMPTS, 10**6), 2))
  assert np.stack(said_B, 1).tolist() == [t[:2] for t in said(config())]


def test_calls_of_similar_lengths_share_their_programs():
  own = config(max_length=64, n_layers=1)
  said(own, [[1] * 9], 20)
  sizes = generation._step._cache_size(), generation._read_piece._cache_size()
  said(own, [[2] * 16], 16, Sampling(0.7), seed=5)
  assert sizes == (generation._step._cache_size(),
                   generation._read_piece._cache_size())
  said(own, [[2] * 17], 20)
  assert sizes != (generation._step._cache_size(),
                   generation._read_piece._cache_size())


def test_a_model_without_a_longest_text_goes_on():
  own = config('gru', max_length=0)
  assert [len(t) for t in said(own, tokens=40)] == [40] * 3


CHANCE_V = np.array([0.05, 0.4, 0.15, 0.3, 0.1], np.float32)


@pytest.mark.parametrize(('top_p', 'kept'), [
  (None, [0, 1, 2, 3, 4]), (1.0, [0, 1, 2, 3, 4]), (0.95, [1, 2, 3, 4]),
  (0.84, [1, 2, 3]), (0.71, [1, 2, 3]), (0.69, [1, 3]), (0.39, [1]),
  (1e-6, [1])])
def test_the_nucleus_is_the_fewest_tokens_that_reach_its_share(top_p, kept):
  """Every number in [0, 1) falls on a token in proportion to its chance."""
  uniform_B = (np.arange(1000, dtype=np.float32) + 0.5) / 1000
  logits_BV = np.broadcast_to(np.log(CHANCE_V), (1000, 5))
  count_V = np.bincount(draw(logits_BV, uniform_B, top_p), minlength=5)
  expected_V = np.zeros(5)
  expected_V[kept] = CHANCE_V[kept] / CHANCE_V[kept].sum()
  np.testing.assert_allclose(count_V / 1000, expected_V, atol=0.0021)
  ends_B = np.array([0, 1 - 2.0**-24], np.float32)
  assert set(np.asarray(draw(logits_BV[:2], ends_B, top_p))) <= set(kept)


def test_a_tiny_temperature_takes_the_most_probable_token():
  # All of them, so that one program reads them; the last is zero in float32.
  for temperature in (1e-10, 1e-30, 1e-44):
    assert said(config(), sampling=Sampling(temperature)) == said(
      config(), sampling=GREEDY), temperature


def test_temperature_and_nucleus_reach_the_draw():
  own = config()
  params = tiny.params(own)
  chance_V = np.asarray(jax.nn.softmax(
    tiny.logits(own, params, np.array([PROMPTS[0]]))[0, -1] / 2))
  many = np.array(generate(own, params, PROMPTS[:1] * 4000, 1,
                           Sampling(temperature=2)))[:, 0]
  np.testing.assert_allclose(np.bincount(many, minlength=7) / 4000, chance_V,
                             atol=0.03)
  best_V = np.argsort(-chance_V)[:2]
  share = float(chance_V[best_V].sum())
  few = np.array(generate(own, params, PROMPTS[:1] * 200, 1,
                          Sampling(2, share - 1e-3)))[:, 0]
  assert set(few) == set(best_V)


@pytest.mark.parametrize(('arguments', 'message'), [
  ({'prompts': []}, 'prompts: there is none'),
  ({'prompts': [[1], []]}, 'number 1 must be a list of token ids'),
  ({'prompts': [[7]]}, 'ids go from 0 to 6, and number 0 has 7'),
  ({'prompts': [[1] * 17]}, 'number 0 has 17 tokens, more than .*16'),
  ({'tokens': -1}, 'tokens: -1 must be a whole number from 0'),
  ({'tokens': 1.5}, 'tokens: 1.5 must be a whole number'),
  ({'seed': 2**70}, 'seed: 1180591620717411303424 must be a whole number'),
  ({'sampling': Sampling(-1)}, 'temperature: -1 must be 0'),
  ({'sampling': Sampling(1, 0)}, 'top_p: 0 must be above 0'),
  ({'config': config(mask='bidirectional')}, 'model.mask'),
])
def test_what_cannot_be_written_is_said_before_anything_runs(arguments,
                                                             message):
  given = {'config': config(), 'params': {}, 'prompts': PROMPTS, 'tokens': 3,
           **arguments}
  with pytest.raises(ConfigError, match=message):
    stream(**given)
