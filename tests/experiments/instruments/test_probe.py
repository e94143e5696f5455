"""Linear probes: what they find, and what they must not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.instruments import probe

CLASSES = 4
WIDTH = 12
EXAMPLES = 1000


def planted(noise, seed=0, width=WIDTH):
  """Features that hold a class as a linear code plus noise."""
  rng = np.random.default_rng(seed)
  y_B = rng.integers(CLASSES, size=2 * EXAMPLES)
  code_VD = rng.standard_normal((CLASSES, width))
  x_BD = code_VD[y_B] + noise * rng.standard_normal((len(y_B), width))
  return jnp.asarray(x_BD, jnp.float32), jnp.asarray(y_B)


@jax.jit
def accuracy(x_BD, y_B):
  return probe.held_out_accuracy(
    x_BD[:EXAMPLES], y_B[:EXAMPLES], x_BD[EXAMPLES:], y_B[EXAMPLES:], CLASSES)


def test_reads_a_planted_code():
  assert accuracy(*planted(noise=0.1)) == 1


def test_noise_and_shuffled_labels_read_at_chance():
  x_BD, y_B = planted(noise=0.1)
  rng = np.random.default_rng(1)
  noise_BD = jnp.asarray(rng.standard_normal(x_BD.shape), jnp.float32)
  chance_error = 4 * np.sqrt(0.25 * 0.75 / EXAMPLES)
  assert accuracy(noise_BD, y_B) == pytest.approx(0.25, abs=chance_error)
  assert accuracy(x_BD, rng.permutation(y_B)) == pytest.approx(
    0.25, abs=chance_error)


def test_a_product_of_features_is_not_linearly_readable():
  rng = np.random.default_rng(2)
  bits_B2 = rng.integers(2, size=(2 * EXAMPLES, 2))
  x_BD = jnp.asarray(np.eye(2)[bits_B2].reshape(-1, 4), jnp.float32)
  x_BD = jnp.pad(x_BD, ((0, 0), (0, WIDTH - 4)))
  assert accuracy(x_BD, jnp.asarray(bits_B2[:, 0] ^ bits_B2[:, 1])) < 0.6


def test_blind_to_invertible_maps_and_scale():
  x_BD, y_B = planted(noise=2.0)
  map_DD = np.random.default_rng(3).standard_normal((WIDTH, WIDTH))
  mapped_BD = 100 * x_BD @ map_DD + 7
  assert 0.5 < accuracy(x_BD, y_B) < 0.95
  assert abs(accuracy(mapped_BD, y_B) - accuracy(x_BD, y_B)) < 0.003


def test_whitening_keeps_what_varies_and_drops_rounding_error():
  x_BD, _ = planted(noise=1.0, width=3)
  flat_BD = jnp.concatenate([x_BD, jnp.full((len(x_BD), 2), 1e3)], axis=1)
  white_BD = probe.fit_whitening(flat_BD)(flat_BD)
  np.testing.assert_allclose(
    np.cov(white_BD.T, bias=True), np.diag([1, 1, 1, 0, 0]), atol=1e-3)
  first_BD = probe.fit_whitening(flat_BD, components=2)(flat_BD)
  np.testing.assert_allclose(first_BD, white_BD[:, :2], atol=1e-4)


@pytest.mark.parametrize('noise', [0.1, 2.0])
def test_fixed_steps_reach_the_minimum(noise):
  x_BD, y_B = planted(noise, seed=4)
  x_BD = probe.fit_whitening(x_BD)(x_BD)

  @jax.jit
  @jax.grad
  def gradient(fitted):
    logits_BV = x_BD @ fitted.w_VD.T + fitted.b_V
    log_BV = jax.nn.log_softmax(logits_BV)
    return (probe.PENALTY / 2 * jnp.sum(fitted.w_VD**2)
            - jnp.mean(log_BV[jnp.arange(len(y_B)), y_B]))

  parts = gradient(probe.fit(x_BD, y_B, CLASSES))
  assert max(jnp.linalg.norm(part) for part in parts) < 1e-4


def test_a_grid_is_its_probes_one_by_one():
  grid = [planted(noise, seed=5) for noise in (0.5, 2.0, 8.0)]
  x, y = (jnp.stack(arrays) for arrays in zip(*grid))
  together = jax.jit(jax.vmap(accuracy))(x, y)
  # One example of a thousand may fall the other way by rounding.
  np.testing.assert_allclose(together, [accuracy(*one) for one in grid],
                             atol=0.0011)


def test_control_labels_are_a_random_function_of_the_type():
  rng = np.random.default_rng(6)
  types_BT = rng.integers(20, size=(4000, 2))
  labels_B = probe.control_labels(types_BT, CLASSES, rng)
  of_type = {}
  for type_T, label in zip(map(tuple, types_BT), labels_B):
    assert of_type.setdefault(type_T, label) == label
  share = np.bincount(list(of_type.values()), minlength=CLASSES) / len(of_type)
  np.testing.assert_allclose(share, 0.25, atol=0.1)
