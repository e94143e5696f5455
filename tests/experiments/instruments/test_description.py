"""Description length: what it finds, and what it must not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data.text.tokenizer import ByteTokenizer
from experiments.instruments import (
  codelength,
  description,
  passages,
  properties,
)
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network

EXAMPLES, WIDTH, LAYERS, PLANTED = 512, 6, 3, 1
rng = np.random.default_rng(0)


@pytest.fixture(scope='module')
def planted():
  """Noise in three layers; the second has a bit and, as a product, another."""
  x_NBD = rng.standard_normal((LAYERS, EXAMPLES, WIDTH)).astype(np.float32)
  sign_B = np.sign(x_NBD[PLANTED])
  straight_B = sign_B[:, 0] > 0
  product_B = sign_B[:, 1] * sign_B[:, 2] > 0
  shuffled_B = rng.permutation(straight_B)
  label_PB = np.stack([straight_B, product_B, shuffled_B]).astype(np.int32)
  classes_P = np.full(3, 2, np.int32)
  return {reader: codelength.codes(
    jnp.asarray(x_NBD), label_PB, classes_P, 3, reader)
          for reader in codelength.READERS}


def test_finds_what_was_planted_where_it_was_planted(planted):
  for reader, least in (('linear', .5), ('mlp', .7)):
    bits = np.asarray(planted[reader].bits)
    assert bits[PLANTED, 0] < least
    assert planted[reader].accuracy[PLANTED, 0] > .9
    # Elsewhere nothing is saved, and what is learned by mistake is paid for.
    assert (bits[[0, 2], 0] > .98).all()


def test_a_product_is_read_by_the_hidden_layer_alone(planted):
  assert planted['linear'].bits[PLANTED, 1] > .98
  assert planted['linear'].accuracy[PLANTED, 1] < .6
  assert planted['mlp'].bits[PLANTED, 1] < .85
  assert planted['mlp'].accuracy[PLANTED, 1] > .85


def test_nothing_is_read_of_shuffled_labels(planted):
  for code in planted.values():
    assert (np.asarray(code.bits)[:, 2] > .98).all()
    assert (abs(np.asarray(code.accuracy)[:, 2] - .5) < .12).all()


def test_the_portions_are_the_published_ones():
  assert codelength.ends(1000) == (1, 2, 4, 8, 16, 32, 62, 125, 250, 500, 1000)
  # Of few, no portion is empty.
  assert codelength.ends(50) == (1, 2, 3, 6, 12, 25, 50)


def test_a_linear_reader_is_at_its_minimum():
  x_BD = jnp.asarray(rng.standard_normal((64, 4)), jnp.float32)
  label_B = jnp.asarray(rng.integers(3, size=64))
  absent_V = jnp.array([0, 0, 0, -1e9])
  w_DV = jax.jit(codelength._fit_linear)(absent_V, x_BD, label_B, 64)
  slope = jax.grad(lambda w_DV: codelength._loss(
    codelength._read_linear, absent_V, x_BD, label_B, 64, w_DV))(w_DV)
  assert jnp.abs(slope).max() < 1e-4


def test_a_control_task_is_a_function_of_the_type():
  type_B = rng.integers(40, size=2000)
  asked = properties.Property('x', rng.integers(3, size=2000), 3, type_B)
  control = asked.control(np.random.default_rng(0))
  for kind in range(40):
    assert len(set(control.label_B[type_B == kind])) == 1
  assert len(set(control.label_B)) == 3


TEXT = 'He read 12 Old books, and then 7 More of Them were sold by us. '
CONFIG = model.ModelConfig(
  n_layers=1, d_model=8, mixer=model.AttentionConfig(n_heads=2),
  vocab_size=257, max_length=32, unroll=1)


def given_of(text):
  network = Network(jax.jit(
    lambda key: model.init(CONFIG, key))(jax.random.key(0)), CONFIG)
  tokenizer = ByteTokenizer()
  return Given(network, passages.cut([tokenizer.encode(text)], 32), None,
               tokenizer)


def test_a_text_too_short_says_nothing():
  assert not description.measure(given_of(TEXT[:20]))


def test_labels_are_what_the_text_says():
  given = given_of(TEXT)
  chosen = properties.examples(given.passages, 1000)
  assert len(chosen.row_B) == len(TEXT) - len(given.passages.tokens_BT)
  letters = [TEXT[32 * row + place]
             for row, place in zip(chosen.row_B, chosen.position_B)]
  found = {each.name: each for each in properties.of(chosen, given.tokenizer)}
  assert list(found['capital'].label_B) == [x.isupper() for x in letters]
  assert list(found['digit'].label_B) == [x.isdigit() for x in letters]
  assert 'length' not in found  # bytes have one
  before = found['previous_token']
  assert before.type_B[0] == ord(TEXT[
    32 * chosen.row_B[0] + chosen.position_B[0] - 1])
  assert before.classes <= properties.COMMON + 1
