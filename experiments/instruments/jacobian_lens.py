"""The Jacobian lens: what a stream is disposed to make the model say later.

Stream l is carried by J_l = E[d h_n / d h_l] (Gurnee et al., 2026,
"Verbalizable Representations Form a Global Workspace in Language Models"): the
derivative of the last stream, summed over the position itself and all after it,
averaged over the positions that are moved and over texts. It is read with the
model's own final norm and head; with J = I it is the logit lens. As published,
a window's first positions count neither as sources nor as targets: much of a
network looks at them whatever they hold.

One backward pass gives a row of J for all layers at once, since every stream
has a shift of its own, zero, whose gradient it is. So J is d_model passes over
a text. Their sums add over texts, and two halves of the texts are kept apart:
what they agree on is what more text would not change.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import lens, lens_file, linear_lens
from experiments.instruments.instrument import (
  JACOBIAN_TOKENS,
  RANDOM,
  Given,
  Instrument,
)
from experiments.instruments.lens import Transport
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig

LONGEST = 128  # tokens of a window, as published
FEWEST = 8
NAME = 'jacobian_lens'  # of the file
SINKS = 16  # first positions that do not count, as published
TOGETHER = 4096  # positions times cotangents that are pulled back at a time

METRICS: Mapping[str, str] = {
  **lens.METRICS,
  'lens_half_agreement': 'cosine of J - I of two halves of the texts',
}


class Sums(NamedTuple):
  """Sums over source positions, which add over texts.

  Attributes:
    w_NDD: of the derivatives, transposed, so that a stream is multiplied by it
      from the right: (n, D of stream l, D of stream n).
    positions: how many sources.
  """

  w_NDD: jax.Array
  positions: jax.Array


def sums(network: Network, passages: Passages, sinks: int) -> Sums:
  """Pulls every direction of the last stream back to all others.

  Args:
    network: causal.
    passages: their weights do not count.
    sinks: how many first positions of a window do not count.
  """
  valid_BT = np.asarray(passages.valid_BT)
  counted_BT = valid_BT & (np.arange(valid_BT.shape[1]) >= sinks)
  return _sums(network, passages, counted_BT)


def merged(one: Sums, other: Sums) -> Sums:
  """Of what both are sums over."""
  return jax.tree.map(jnp.add, one, other)


@jax.jit
def _sums(network: Network, passages: Passages,
          counted_BT: jax.Array) -> Sums:
  n_layers, width = network.config.n_layers, network.config.d_model
  counted_BT1 = counted_BT[..., None].astype(jnp.float32)

  def last(shift_ND: jax.Array) -> jax.Array:
    # Only streams are remembered: what is computed again is computed once for
    # all directions that are pulled back together.
    @jax.checkpoint
    def step(x_BTD, layer, shift_D):
      moved_BTD = (x_BTD + shift_D * counted_BT1).astype(x_BTD.dtype)
      return network.block(layer, moved_BTD, passages)

    def body(x_BTD, layer_and_shift):
      return step(x_BTD, *layer_and_shift), None

    x_BTD, _ = jax.lax.scan(body, network.embed(passages),
                            (jnp.arange(1, n_layers + 1), shift_ND))
    return x_BTD.astype(jnp.float32)

  _, pull = jax.vjp(last, jnp.zeros((n_layers, width)))

  def row(direction_D: jax.Array) -> jax.Array:
    return pull(direction_D * counted_BT1)[0]

  rows_DND = jax.lax.map(row, jnp.eye(width),
                         batch_size=max(1, TOGETHER // counted_BT.size))
  return Sums(rows_DND.transpose(1, 2, 0), jnp.sum(counted_BT1))


def mean(of: Sums) -> Transport:
  """The transport of what was summed."""
  return Transport(of.w_NDD / jnp.maximum(of.positions, 1))


def agreement(one: Sums, other: Sums) -> np.ndarray:
  """Cosine of two estimates of J - I, by stream 0 to n - 1: (n,).

  The identity, which is there without any text, is taken off. Not a number
  where a layer's J is the identity.
  """
  eye_DD = np.eye(one.w_NDD.shape[-1])
  first_NDD, second_NDD = (
    np.asarray(half.w_NDD, np.float64) / float(half.positions) - eye_DD
    for half in (one, other))
  with np.errstate(invalid='ignore'):
    return np.asarray((first_NDD * second_NDD).sum((1, 2)) / np.sqrt(
      (first_NDD**2).sum((1, 2)) * (second_NDD**2).sum((1, 2))))


def summary(rows: Sequence[Row]) -> str:
  """How far what was fitted can be trusted, in a line; '' where none was."""
  values = [row.value for row in rows if row.metric == 'lens_half_agreement'
            and 'network' not in row.where]
  if not values:
    return ''
  return ('Two halves of the texts that the Jacobian lens was fitted on agree '
          'on what it does (cosine of J - I) by '
          f'{min(values):.2f} to {max(values):.2f}, by layer; the middle layer '
          f'by {values[len(values) // 2]:.2f}.')


def windows(calibration: Passages, tokens: int) -> Passages:
  """Windows with about so many tokens in all, evenly spread over the texts.

  Two at least, so that there are two halves; of equal length where the texts
  have so many tokens.
  """
  whole_B = calibration.valid_BT.sum(1)
  length = int(min(LONGEST, max(FEWEST, tokens // 2), whole_B.max()))
  long = np.flatnonzero(whole_B >= length)
  if len(long) < 2:
    long = np.argsort(-whole_B, kind='stable')[:2]
  count = min(max(2, tokens // length), len(long))
  kept = long[np.linspace(0, len(long) - 1, count).round().astype(int)]
  return Passages(*(x[kept, :length] if x.ndim > 1 else x[kept]
                    for x in calibration))


def halves(given: Given) -> tuple[Sums, Sums]:
  """Over two halves of the calibration, or as the model's folder has them."""
  assert given.calibration
  found = lens_file.kept(
    given, NAME, windows(given.calibration, given.jacobian_tokens),
    _fit)
  one, other = (Sums(jnp.asarray(found[f'{half}_NDD']),
                     jnp.asarray(found[f'{half}_positions']))
                for half in ('one', 'other'))
  return one, other


def _fit(given: Given, calibration: Passages) -> dict[str, np.ndarray]:
  sinks = min(SINKS, calibration.tokens_BT.shape[1] // 4)
  found: dict[str, np.ndarray] = {}
  for name, half in zip(('one', 'other'), linear_lens.halves(calibration)):
    w_NDD, positions = sums(given.network, half, sinks)
    found |= {f'{name}_NDD': np.asarray(w_NDD),
              f'{name}_positions': np.asarray(positions)}
  return found


def transport(given: Given) -> Transport:
  """Of both halves together."""
  return mean(merged(*given.once(halves)))


def _refusal(given: Given) -> str:
  if why := linear_lens.refusal(given):
    return why
  if given.network.config.mask != 'causal':
    return ('it sums over a position and those after it, and here every '
            f'position sees all (model.mask={given.network.config.mask})')
  return ''


def _flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  fitted = min(calibration, JACOBIAN_TOKENS)
  return (lens.reading_flops(config, tokens)
          + _fit_flops(config, fitted) * (1 + 1 / lens.BASELINE_SHARE))


def _fit_flops(config: ModelConfig, tokens: int) -> float:
  passes = 2 + config.d_model  # forward twice
  return passes * forward_flops(config, tokens)


def _known_flops(given: Given) -> float:
  config, flops = given.network.config, 0.0
  for own in (given, lens.baseline(given)):
    assert own.calibration
    fitted = windows(own.calibration, own.jacobian_tokens)
    if not lens_file.is_kept(own, NAME, fitted, _fit):
      flops += _fit_flops(config, fitted.tokens)
  return flops + lens.reading_flops(config, given.passages.tokens)


def _measure(given: Given) -> list[Row]:
  found = lens.rows(given, 'jacobian', transport)
  for own, where in ((given, {}), (lens.baseline(given), RANDOM)):
    found += [
      Row('lens_half_agreement', float(value),
          {'lens': 'jacobian', 'layer': layer, **where})
      for layer, value in enumerate(agreement(*own.once(halves)))
      if np.isfinite(value)]
  return found


INSTRUMENT = Instrument(
  name='jacobian-lens', title='Where predictions form: the Jacobian lens',
  says='What each layer is disposed to make the model say here or later: a '
       'stream is carried to the last by how the last moves with it, on '
       'average. Where the two halves of the texts disagree, more text is '
       'needed.',
  source='Gurnee et al., 2026', measure=_measure, flops=_flops,
  known_flops=_known_flops,
  metrics=METRICS, default=True, refusal=_refusal)
