import numpy as np
import pytest
import tiny

import model
from model import embedding
from model.rows import Rows

ORDER = np.array([3, 0, 5, 1, 4, 2])


def shuffled_gap(config, order, length=tiny.LENGTH):
  """Largest change of the logits when the input's order changes."""
  both = np.stack([np.arange(length), order])
  plain, moved = np.asarray(tiny.logits(config, tiny.params(config), both))
  return np.abs(plain[order] - moved), np.abs(plain - moved)


def test_without_positions_a_bidirectional_model_is_permutation_equivariant():
  config = tiny.config(position='none', mask='bidirectional')
  moved_TV, _ = shuffled_gap(config, ORDER)
  assert moved_TV.max() < 1e-4


@pytest.mark.parametrize('position',
                         ['learned', 'sinusoidal', 'rotary', 'alibi'])
def test_positions_break_permutation_equivariance(position):
  config = tiny.config(position=position, mask='bidirectional')
  moved_TV, _ = shuffled_gap(config, ORDER)
  assert moved_TV.max() > 1e-3


@pytest.mark.parametrize(('n_layers', 'blind'), [(1, True), (2, False)])
def test_one_causal_layer_is_blind_to_the_order_of_the_prefix(n_layers, blind):
  config = tiny.config(position='none', n_layers=n_layers)
  _, gap_TV = shuffled_gap(config, np.array([3, 0, 2, 1, 4, 5]))
  assert (gap_TV[-1].max() < 1e-4) == blind


def test_rotary_scores_depend_on_distance_alone():
  q_BTHK, k_BTHK = tiny.normal(2, 1, 5, 2, 8)

  @tiny.jit
  def turned():
    return [[model.RotaryPosition().turned(x_BTHK, np.arange(5) + start)
             for x_BTHK in (q_BTHK, k_BTHK)] for start in (0, 7)]

  here, there, unturned = (
    np.einsum('bthk,bshk->bhts', *pair)
    for pair in [*turned(), (q_BTHK, k_BTHK)])
  np.testing.assert_allclose(here, there, atol=1e-4)
  assert np.abs(here - unturned).max() > 0.1


def test_alibi_penalty_is_linear_in_distance_and_differs_by_head():
  bias_HTS = embedding.alibi_HTS(2, np.arange(4), np.arange(4))
  np.testing.assert_allclose(bias_HTS[:, 3], -np.outer([1 / 16, 1 / 256],
                                                       [3, 2, 1, 0]))
  np.testing.assert_array_equal(bias_HTS, bias_HTS.swapaxes(1, 2))


def test_sinusoidal_positions_weigh_as_much_as_tokens_at_the_start():
  x_BTD = embedding.Waves().apply(
    {}, np.zeros((1, 50, 64), np.float32), Rows())
  np.testing.assert_allclose(np.sqrt(np.square(x_BTD).mean()), 0.02,
                             rtol=1e-3)
  assert len(np.unique(np.round(x_BTD[0], 6), axis=0)) == 50


def test_more_positions_than_were_learned_is_an_error():
  config = tiny.config(position='learned')
  with pytest.raises(model.ConfigError, match='max_length'):
    model.apply(config, tiny.params(config), tiny.tokens(length=7))
