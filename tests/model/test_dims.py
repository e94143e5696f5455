import jax
import pytest
import tiny

from model import dims


@pytest.mark.parametrize(('key', 'letters'), [
  ('w_up_DF', 'DF'), ('w_conv_WDD', 'WDD'), ('scale_D', 'D'), ('count', '')])
def test_dimensions_follow_from_the_key(key, letters):
  assert dims.letters(key) == letters


def test_what_the_alphabet_cannot_name_is_an_error():
  with pytest.raises(ValueError, match='w_up_DX'):
    dims.letters('w_up_DX')


@pytest.mark.parametrize('mixer', tiny.MIXERS)
def test_every_parameter_says_its_shape(mixer):
  config = tiny.config(mixer, **{
    **tiny.EVERYTHING, 'n_kv_heads': 1, 'n_layers': 3, 'n_heads': 2,
    'd_head': 12, 'window': 5, 'token_types': 4})
  sizes = {'N': 3, 'D': 8, 'F': 32, 'H': 2, 'G': 1, 'K': 12, 'V': 7, 'W': 5,
           'Y': 4}
  shapes = jax.tree_util.tree_leaves_with_path(tiny.shapes_of(config))
  for path, leaf in shapes:
    stacked = 'N' if path[0].key == 'stack' else ''
    letters = stacked + dims.letters(path[-1].key)
    assert leaf.shape == tuple(sizes[letter] for letter in letters)
