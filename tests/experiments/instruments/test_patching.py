"""What is put in the place of a part, and what it brings back or takes away."""

import jax
import numpy as np
import pytest

import model
from experiments.instruments import ablation, passages, patching, substitution
from experiments.instruments.constructed import induction
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from experiments.instruments.substitution import Part, Substitution

CONFIGS = {
  'grouped heads': {'mixer': model.AttentionConfig(n_heads=4, n_kv_heads=2)},
  'no heads': {'mixer': model.MIXERS['gru'](), 'position': model.NoPosition()},
  'tied, after': {'layers': 'tied', 'norm_placement': 'post',
                  'mixer': model.AttentionConfig(n_heads=2)},
}


def trained_like(**fields):
  config = model.ModelConfig(n_layers=3, d_model=8, vocab_size=11, unroll=1,
                             **fields)
  return Network(model.init(config, jax.random.key(1), 3.0), config)


TEXT = passages.cut([[1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 2, 1]], 8)


@pytest.mark.parametrize('fields', CONFIGS.values(), ids=CONFIGS)
def test_a_part_in_its_own_place_changes_nothing(fields):
  network = trained_like(**fields)
  runs = Substitution(network, TEXT, TEXT.valid_BT,
                      substitution.places(TEXT.weights_BT))
  parts = substitution.parts(network.config, *substitution.SITES)
  heads = getattr(network.config.mixer, 'n_heads', 0)
  assert len(parts) == 3 * (3 + heads)
  whole = np.asarray(runs.logits())
  np.testing.assert_allclose(
    whole, jax.jit(network.apply)(TEXT).logits_BTV[TEXT.weights_BT > 0],
    rtol=1e-4, atol=1e-4)  # norms make much of rounding
  for part in parts:
    np.testing.assert_array_equal(
      runs.logits(part, runs.inside[part.layer - 1]), whole)


def test_only_the_planted_heads_bring_the_answer_back():
  network = induction.induction(12, 16)
  # What followed 3 is another word in the corrupted copy.
  clean, corrupted = (passages.cut([[1, 3, word, 2, 8, 3, 9]], 16)
                      for word in (5, 7))
  found = patching.patch(network, clean, corrupted, np.array([5]),
                         np.array([5]), np.array([7]))
  assert found.clean == pytest.approx(induction.CONFIDENCE, abs=0.02)
  assert found.corrupted == pytest.approx(-found.clean, abs=0.02)
  brought = {part for part, share in found.share.items() if share > 0.5}
  assert brought == {Part('head', *induction.INDUCTION), Part('mixer', 2),
                     Part('stream', 2)}
  assert all(abs(share) < 1e-3 or share > 0.99
             for share in found.share.values())
  # 3 no longer stands before the answer: there the other head says it did.
  moved = passages.cut([[1, 4, 5, 2, 8, 3, 9]], 16)
  found = patching.patch(network, clean, moved, np.array([2]), np.array([5]),
                         asked_B=np.array([5]))
  brought = {part for part, share in found.share.items() if share > 0.5}
  assert brought == {Part('head', *induction.PREVIOUS), Part('mixer', 1),
                     Part('stream', 1)}


def test_mean_ablation_costs_the_planted_heads_alone():
  network = induction.induction(12, 16)
  rng = np.random.default_rng(0)
  text = passages.cut([np.tile(rng.permutation(12)[:6], 2).tolist()
                       for _ in range(6)], 16)
  text = text._replace(
    weights_BT=text.weights_BT * (np.arange(12) >= 6))
  rows = ablation.measure(Given(network, text))
  bits = {(row.where['part'], row.where['layer'], row.where.get('head')):
          row.value for row in rows if row.metric == 'ablation_bits'}
  costly = {part for part, value in bits.items() if value > 1}
  assert costly == {('mixer', 1, None), ('mixer', 2, None),
                    ('head', *induction.PREVIOUS),
                    ('head', *induction.INDUCTION)}
  assert max(abs(value) for part, value in bits.items()
             if part not in costly) < 1e-3


def test_a_text_is_shuffled_up_to_its_last_word_and_restored_whole():
  network = trained_like(**CONFIGS['grouped heads'])
  text = passages.cut([list(range(1, 11)), [5, 3, 2, 9, 8, 7]], 12)
  mixed = patching.shuffled(text)
  for row, other, place in zip(text.tokens_BT, mixed.tokens_BT,
                               patching.last(text)):
    assert sorted(row) == sorted(other)
    assert (row[place:] == other[place:]).all()
    assert (row != other).any()
  rows = patching.measure(Given(network, text))
  stream = [row.value for row in rows if row.where.get('part') == 'stream']
  # At the last word the last stream is all that the answer is made of.
  assert stream[-1] == pytest.approx(1, abs=1e-5)


def test_too_short_a_text_gives_no_numbers():
  network = trained_like(**CONFIGS['grouped heads'])
  given = Given(network, passages.cut([[1, 2]], 4))
  assert patching.measure(given) == ablation.measure(given) == []
  text = passages.cut([list(range(11))], 11)
  assert substitution.short(text, 4, 9).tokens_BT.shape == (3, 4)


def test_an_example_is_read_whole_though_its_end_alone_is_asked():
  weights_BT = np.zeros(TEXT.weights_BT.shape, np.float32)
  weights_BT[0, 6] = weights_BT[1, 3] = 1
  asked = TEXT._replace(weights_BT=weights_BT)
  for own, kept in zip(substitution.short(asked, 4, 9), asked):
    np.testing.assert_array_equal(own, kept)
  assert len(substitution.short(asked, 4, 2).tokens_BT) == 1  # as many tokens
  network = trained_like(**CONFIGS['grouped heads'])
  assert ablation.measure(Given(network, asked))
