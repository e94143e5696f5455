import numpy as np
import pytest
import tiny


@pytest.mark.parametrize(('mixer', 'changes'), [
  ('attention', {}), *((mixer, tiny.EVERYTHING) for mixer in (
    'attention', 'gru', 'linear_recurrence'))])
def test_no_position_reads_the_future_and_all_read_the_past(mixer, changes):
  config = tiny.config(mixer, **changes)
  reads_TT = tiny.influence(config, tiny.params(config), tiny.tokens())
  assert not np.triu(reads_TT, 1).any()
  assert np.all(reads_TT[np.tri(tiny.LENGTH, dtype=bool)] > 0)


@pytest.mark.parametrize(('mixer', 'field'), [
  ('convolution', 1 + 1 + 1), ('dilated_convolution', 1 + 1 + 2)])
def test_a_convolution_sees_its_receptive_field_and_no_more(mixer, field):
  config = tiny.config(mixer, window=2, feed_forward='none', **tiny.EVERYTHING)
  reads_TT = tiny.influence(config, tiny.params(config), tiny.tokens())
  sees = np.tri(tiny.LENGTH) - np.tri(tiny.LENGTH, k=-field)
  np.testing.assert_array_equal(reads_TT > 0, sees > 0)


def test_a_bidirectional_model_reads_the_future():
  config = tiny.config(mask='bidirectional')
  reads_TT = tiny.influence(config, tiny.params(config), tiny.tokens())
  assert np.all(reads_TT > 0)
