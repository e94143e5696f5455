"""What layers add, how far they turn and how linear they are, where known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from experiments.instruments import (
  blocks,
  contributions,
  influence,
  linear_map,
  linearity,
  passages,
  recoverability,
  skipping,
)
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network
from model import AttentionConfig, ModelConfig, PlainFeedForward

SILENT, LOUD = 2, 3  # blocks that add nothing, and ten times as much


@functools.cache
def drawn(**fields):
  config = ModelConfig(**{
    'n_layers': 4, 'd_model': 16, 'vocab_size': 23, 'unroll': 1,
    'mixer': AttentionConfig(n_heads=2), **fields})
  params = jax.jit(functools.partial(model.init, config, scale=3.0))(
    jax.random.key(0))
  # Embeddings as long as what blocks add.
  longer = jax.tree.map(lambda x: 30 * x, params['token_embedding'])
  return Network({**params, 'token_embedding': longer}, config)


def scaled(network, factors):
  """What each block adds, times a number: its last matrices are."""
  def change(path, x):
    if path[-1].key not in ('w_o_HKD', 'w_down_FD'):
      return x
    return x * np.reshape(factors, (-1,) + (1,) * (x.ndim - 1))
  stack = jax.tree_util.tree_map_with_path(change, network.params['stack'])
  return dataclasses.replace(network, params={**network.params, 'stack': stack})


@functools.cache
def planted():
  return scaled(drawn(), [.3, 0, 10, .3])


def words(length=8, rows=12, seed=0):
  ids = np.random.default_rng(seed).integers(1, 23, (rows, length))
  return passages.cut([*ids, [3, 5]], length)


def values(rows, metric, **where):
  return [row.value for row in rows if row.metric == metric
          and {k: v for k, v in row.where.items() if k != 'layer'} == where]


def test_the_parts_of_the_stream_sum_to_it():
  network, given = planted(), words()
  before, parts = jax.jit(contributions.parts_of)(network, given)
  streams = jax.jit(network.stream)(given)
  whole = parts['mixer'].sum(0) + parts['feed-forward'].sum(0)
  np.testing.assert_allclose(before[0] + whole, streams[-1], atol=1e-4)
  np.testing.assert_allclose(before + parts['both'], streams[1:], atol=1e-4)


def test_what_adds_nothing_and_what_adds_most_are_found():
  rows = contributions.measure(Given(planted(), words()))
  norms = values(rows, 'contribution_norm', part='both')
  assert norms[SILENT - 1] == 0
  assert np.argmax(norms) == LOUD - 1
  assert values(rows, 'contribution_cosine', part='both')[SILENT - 1] == 0
  turned = influence.measure(Given(planted(), words()))
  found = values(turned, 'block_influence')
  assert found[SILENT - 1] == pytest.approx(0, abs=1e-6)
  assert np.argmax(found) == LOUD - 1
  spans = values(turned, 'angular_distance', span=2)
  assert len(spans) == 3
  assert min(spans) > 0
  random = values(rows, 'contribution_norm', part='both', network='random')
  assert random[SILENT - 1] > 0
  assert np.argmax(random) != LOUD - 1


def test_a_cosine_says_whether_it_is_taken_out_or_made_larger():
  x_BTD = jnp.asarray([[[3.0, 4.0]]])
  for added_D, expected in (([-6, -8], -1), ([4, -3], 0), ([.3, .4], 1),
                            ([0, 0], 0)):
    found = blocks.cosine(jnp.asarray(added_D, jnp.float32), x_BTD)
    assert float(found[0, 0]) == pytest.approx(expected)


def test_blocks_that_normalise_the_stream_are_no_sum_of_parts():
  encoder = drawn(norm_placement='post', mask='bidirectional',
                  unembedding='absent', final_norm=False)
  given = Given(encoder, words())
  assert 'norm_placement=post' in contributions.INSTRUMENT.refusal(given)
  assert all(np.isfinite(row.value) for row in influence.measure(given))


def test_a_silent_block_can_go_and_the_loud_one_cannot():
  rows = skipping.measure(Given(planted(), words()), 'skip')
  divergence = values(rows, 'skip_divergence')
  assert divergence[SILENT - 1] == 0  # not nearly
  assert values(rows, 'skip_bits')[SILENT - 1] == 0
  assert values(rows, 'skip_agreement')[SILENT - 1] == 1
  assert values(rows, 'skip_change')[SILENT - 1] == 0
  assert np.argmax(divergence) == LOUD - 1


@pytest.mark.parametrize('mixer', ['attention', 'gru', 'convolution'])
def test_a_skipped_block_is_one_that_adds_nothing(mixer):
  own = {} if mixer == 'attention' else {
    'mixer': model.MIXERS[mixer](), 'position': model.NoPosition()}
  network, given = drawn(**own), words()
  found = values(skipping.measure(Given(network, given), 'skip'),
                 'skip_change')

  @jax.jit
  def run(factor):
    edit = model.sites.scale(4, 1, factor)
    return network.apply(given, {'resid_post': None}, {
      'mixer_out': edit, 'ffn_out': edit}).taps['resid_post'][-1]

  last, ablated = run(1.0), run(0.0)
  expected = blocks.relative(ablated - last, last)
  assert found[1] == pytest.approx(
    float(expected[given.valid_BT].mean()), rel=1e-4)


def test_swapping_and_repeating_do_what_they_say():
  network, given = planted(), words()
  block = jax.jit(lambda layer, x_BTD: network.block(layer, x_BTD, given))
  last = jax.jit(network.stream)(given)[-1]
  orders = {'swap': [1, 3, 2, 4], 'repeat': [1, 2, 2, 3, 4]}
  for change, order in orders.items():
    x_BTD = network.embed(given)
    for layer in order:
      x_BTD = block(layer, x_BTD)
    rows = skipping.measure(Given(network, given), change)
    found = values(rows, f'{change}_cosine')
    assert len(found) == {'swap': 3, 'repeat': 4}[change]
    assert found[1] == pytest.approx(float(blocks.cosine(
      x_BTD, last)[given.valid_BT].mean()), abs=1e-5)
  assert values(skipping.measure(Given(network, given), 'repeat'),
                'repeat_divergence')[SILENT - 1] == 0


def test_an_encoder_is_compared_by_its_last_stream():
  encoder = drawn(norm_placement='post', mask='bidirectional',
                  unembedding='absent', final_norm=False)
  rows = skipping.measure(Given(encoder, words()), 'skip')
  assert {row.metric for row in rows} == {'skip_change', 'skip_cosine'}
  assert all(np.isfinite(row.value) for row in rows)


def test_tied_layers_lose_a_turn_and_are_not_swapped():
  given = Given(drawn(layers='tied'), words())
  found = values(skipping.measure(given, 'skip'), 'skip_divergence')
  np.testing.assert_allclose(found, found[0], rtol=1e-3)
  assert 'model.layers=tied' in skipping.SWAPPING.refusal(given)


def test_every_layer_is_one_program():
  skipping.effects.clear_cache()
  skipping.measure(Given(planted(), words(rows=80)), 'skip')
  assert skipping.effects._cache_size() <= 2  # the baseline scores fewer


def sums_of(x_VD, z_VD):
  valid = np.ones((1, len(x_VD)), bool)
  return jax.tree.map(lambda x: np.asarray(x, float), linear_map.sums(
    x_VD[None], z_VD[None], valid))


def points(count, seed, noise=0.0):
  rng = np.random.default_rng(seed)
  w_DD = np.random.default_rng(9).normal(size=(8, 8))
  x_VD = rng.normal(size=(count, 8)) * np.geomspace(1, 1000, 8) + 5
  return sums_of(x_VD, x_VD @ w_DD / 1000 + 3
                 + noise * rng.normal(size=(count, 8)))


def shares(fit, scored, penalties=linear_map.PENALTIES):
  found = linear_map.score(fit, scored, penalties)
  return found and linear_map.explained(found.left_D, found.z_D)


def test_a_matrix_is_found_and_noise_is_not():
  exact = shares(points(400, 0), points(300, 1), linear_map.ROUNDING)
  assert min(exact.values()) > .9999
  rng = np.random.default_rng(4)
  noise = [sums_of(rng.normal(size=(count, 8)), rng.normal(size=(count, 8)))
           for count in (400, 300)]
  for share in shares(*noise).values():  # held out: the mean, and no better
    assert share == pytest.approx(0, abs=0.02)
  inside = shares(noise[0], noise[0], linear_map.ROUNDING)['as they are']
  assert inside == pytest.approx(8 / 400, abs=0.02)  # in-sample: D / V


def test_sums_of_parts_are_sums_of_the_whole_as_least_squares_has_them():
  rng = np.random.default_rng(2)
  x_VD, z_VD = rng.normal(size=(2, 60, 8)) + 1
  z_VD = z_VD + x_VD[:, ::-1]
  parts = [sums_of(x_VD[:25], z_VD[:25]), sums_of(x_VD[25:], z_VD[25:])]
  own = linear_map.Sums(*map(sum, zip(*parts)))
  found = linear_map.score(own, own, linear_map.ROUNDING)
  ones = np.c_[x_VD, np.ones(60)]
  left = z_VD - ones @ np.linalg.lstsq(ones, z_VD)[0]
  np.testing.assert_allclose(found.left_D, (left ** 2).sum(0), rtol=1e-3)
  y_VD = x_VD + z_VD
  np.testing.assert_allclose(
    found.y_D, ((y_VD - y_VD.mean(0)) ** 2).sum(0), rtol=1e-4)


def test_too_few_points_give_no_row():
  assert linear_map.score(points(12, 0), points(300, 1)) is None
  assert linearity.measure(Given(drawn(), words(rows=1))) == []


@functools.cache
def linear_network():
  """Blocks of a linear feed-forward alone, whose norm divides by nearly 1."""
  network = scaled(drawn(
    norm='rms', norm_epsilon=1e6,
    feed_forward=PlainFeedForward(activation='identity')), [1, 1, 1, 1])
  stack = dict(network.params['stack'])
  stack['mixer'] = jax.tree.map(jnp.zeros_like, stack['mixer'])
  stack['ffn'] = jax.tree.map(lambda x: x * 30, stack['ffn'])
  return dataclasses.replace(network, params={**network.params, 'stack': stack})


def test_a_linear_network_is_linear_and_a_gated_one_is_not():
  given = Given(linear_network(), words(rows=60), words(rows=60, seed=1))
  rows = linearity.measure(given)
  for scored in ('in-sample', 'held-out'):
    for metric in ('linearity', 'linearity_of_change'):
      found = values(rows, metric, scored=scored, dimensions='as they are')
      assert len(found) == 4
      assert min(found) > 0.999
  random = values(rows, 'linearity_of_change', scored='held-out',
                  dimensions='as they are', network='random')
  assert max(random) < 0.999
  recovered = values(recoverability.measure(given), 'recoverability',
                     scored='held-out', dimensions='as they are')
  assert min(recovered) > 0.999


def test_the_baseline_is_fitted_on_as_much():
  given = Given(drawn(), words(rows=8), words(rows=8, seed=1),
                untrained=drawn())
  for one in (linearity, recoverability):
    rows = one.measure(given)
    of_baseline = ['network' in row.where for row in rows]
    assert sum(of_baseline) == len(rows) / 2
    assert ([row.value for row in rows if 'network' in row.where]
            == [row.value for row in rows if 'network' not in row.where])


def test_what_mixes_positions_is_no_matrix_of_one():
  mixes = scaled(drawn(feed_forward=model.NoFeedForward()), [.1] * 4)
  given = Given(mixes, words(rows=60), words(rows=60, seed=1))
  rows = linearity.measure(given)
  kept = values(rows, 'linearity', scored='held-out', dimensions='as they are')
  change = values(rows, 'linearity_of_change', scored='held-out',
                  dimensions='as they are')
  assert all(high > low for high, low in zip(kept, change))
  assert min(kept) > 0.95
  assert max(change) < 0.8
  assert 'model.feed_forward=none' in recoverability.INSTRUMENT.refusal(given)
