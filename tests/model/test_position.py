"""Positions against their formulas, and wherever a program learns of them."""

import math

import jax
import numpy as np
import pytest
import tiny

import model
from model import embedding
from model.rotary_scaling import LinearScaling, Llama3Scaling, YarnScaling
from model.rows import ContinuedRows, Rows

BASE = 10_000.0
FREQUENCY_J = embedding.frequencies(64, BASE)


@pytest.mark.parametrize(('position', 'turning'), [
  (model.RotaryPosition(), 8), (model.RotaryPosition(base=50.0), 8),
  (model.RotaryPosition(fraction=0.5), 4),
  (model.RotaryPosition(fraction=0.3), 2),
  (model.RotaryPosition(scaling=LinearScaling(4.0)), 8),
  (model.RotaryPosition(scaling=YarnScaling(2.0, attention_factor=1.5)), 8)],
  ids=str)
def test_rotary_turns_pairs_half_of_what_turns_apart(position, turning):
  x_BTHK, position_T = tiny.normal(1, 5, 2, 8), np.array([0, 1, 2, 9, 700])
  frequency_J = position.scaling.scaled(
    position.base ** (-np.arange(turning // 2) / (turning // 2)),
    position.base)
  expected = np.array(x_BTHK, np.float64)
  for t, at in enumerate(position_T):
    for j, frequency in enumerate(frequency_J):
      other = j + turning // 2
      turned = ((x_BTHK[0, t, :, j] + 1j * x_BTHK[0, t, :, other])
                * np.exp(1j * at * frequency) * position.scaling.magnitude())
      expected[0, t, :, j] = turned.real
      expected[0, t, :, other] = turned.imag
  ours = position.turned(x_BTHK, position_T)
  np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_frequencies_are_rounded_as_in_pytorch():
  """1 / 10000 ** (arange(0, 20, 2, dtype=float) / 20) of torch 2.13."""
  np.testing.assert_array_equal(embedding.frequencies(20, BASE), np.float32([
    1.0, 0.39810717, 0.15848932, 0.063095726, 0.025118863, 0.01, 0.0039810706,
    0.0015848933, 0.0006309573, 0.0002511887]))


def test_angles_far_on_are_those_of_a_program_that_learns_of_them():
  q_BTHK, at_T = tiny.normal(1, 3, 2, 20), np.array([4097, 30_011, 131_071])
  turned = model.RotaryPosition().turned
  np.testing.assert_allclose(
    turned(q_BTHK, at_T), jax.jit(turned)(q_BTHK, at_T), atol=1e-5)


def test_linear_scaling_slows_every_pair():
  np.testing.assert_array_equal(
    LinearScaling(8.0).scaled(FREQUENCY_J, BASE), FREQUENCY_J / 8)


def test_llama3_scaling_is_its_published_code():
  scaling = Llama3Scaling(8.0, 1.0, 4.0, 2048)
  expected = []
  for frequency in FREQUENCY_J:
    wavelength = 2 * math.pi / frequency
    if wavelength < 2048 / 4.0:
      expected.append(frequency)
    elif wavelength > 2048 / 1.0:
      expected.append(frequency / 8)
    else:
      smooth = (2048 / wavelength - 1.0) / (4.0 - 1.0)
      expected.append((1 - smooth) * frequency / 8 + smooth * frequency)
  ours = scaling.scaled(FREQUENCY_J, BASE)
  np.testing.assert_allclose(ours, expected, rtol=1e-6)
  share_J = ours / FREQUENCY_J  # all three cases occur
  assert {0, 1, 2} == set(np.digitize(share_J, [0.126, 0.999]))


@pytest.mark.parametrize(('fast', 'slow', 'length'), [
  (32.0, 1.0, 4096), (32.0, 1.0, 64), (1.02, 1.01, 4096)])
def test_yarn_scaling_is_its_published_code(fast, slow, length):
  """`find_correction_range` and `linear_ramp_mask` of jquesnelle/yarn."""
  width = 2 * len(FREQUENCY_J)

  def dimension(rotations):
    return (width * math.log(length / (rotations * 2 * math.pi))
            / (2 * math.log(BASE)))

  low = max(math.floor(dimension(fast)), 0)
  high = min(math.ceil(dimension(slow)), width - 1)
  expected = []
  for j, frequency in enumerate(FREQUENCY_J):
    ramp = min(max((j - low) / (high - low if high != low else 0.001), 0), 1)
    expected.append(frequency / 16 * ramp + frequency * (1 - ramp))
  scaling = YarnScaling(16.0, length, fast, slow)
  np.testing.assert_allclose(scaling.scaled(FREQUENCY_J, BASE), expected,
                             rtol=1e-6)
  assert scaling.magnitude() == pytest.approx(0.1 * math.log(16) + 1)
  assert YarnScaling(16.0, attention_factor=1.25).magnitude() == 1.25


@pytest.mark.parametrize('position', model.POSITIONS)
def test_positions_that_only_the_program_knows_act_the_same(position):
  config = tiny.config(position=position, max_length=9)
  q_BTHK = tiny.normal(2, 3, 2, 8)
  at_BT = np.array([[4, 5, 6], [0, 2, 8]])

  def act(at):
    turned = config.position.turned(q_BTHK, at)
    penalty = config.position.penalty_HTS(2, at, np.arange(9))
    return turned, 0.0 if penalty is None else penalty

  known, traced = act(at_BT), jax.jit(act)(at_BT)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
               known, traced)
  for b, at_T in enumerate(at_BT):  # and one array for all rows
    turned, penalty = act(at_T)
    np.testing.assert_allclose(known[0][b], turned[b], atol=1e-6)
    if position == 'alibi':
      np.testing.assert_allclose(known[1][b], penalty, atol=1e-6)


@pytest.mark.parametrize('name', ['learned', 'sinusoidal'])
def test_what_is_added_goes_on_where_a_row_does(name):
  config = tiny.config(position=name, max_length=9)
  module = config.position.module(config)
  params = tiny.params(config).get('position_embedding', {})

  def added(length, rows):
    x_BTD = np.zeros((2, length, 8), np.float32)
    return module.apply({'params': params}, x_BTD, rows)

  whole_BTD = added(9, Rows())
  start_B = np.array([4, 0])
  rows = ContinuedRows(start_B=start_B, count_B=np.full(2, 3), memory={})
  for b, own_TD in enumerate(added(3, rows)):
    assert np.abs(own_TD).max() > 1e-3
    np.testing.assert_allclose(
      own_TD, whole_BTD[0, start_B[b]:start_B[b] + 3], atol=1e-6)


def test_widths_are_multiples_of_what_turns_in_pairs():
  for fraction, step in ((1.0, 2), (0.25, 8), (0.5, 4), (2 / 3, 3)):
    position = model.RotaryPosition(fraction=fraction)
    assert position.head_step() == step
    position.validate_head(step)
    if step > 2:
      with pytest.raises(model.ConfigError):
        position.validate_head(step // 2)
