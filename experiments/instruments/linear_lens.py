"""The linear lens: a stream is carried to the last by least squares.

Closed form, in the place of training (compare Din et al., 2023, "Jump to
conclusions"): for each stream, the affine map with the smallest squared error
to the last stream over the positions of other text. What is fitted is the
difference to the identity, so that the ridge penalty draws it to the logit lens
and not to zero: the less the text says, the more the lens is that one. How
strong the penalty is, one half of the windows decides for what is fitted on the
other.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from experiments.instruments import lens, lens_file
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.lens import TOGETHER, Transport
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages, parts
from experiments.runs.subject import Row
from model import ModelConfig

# Of the mean variance of a stream's coordinates; the last is the logit lens.
PENALTIES = (*(10.0 ** power for power in range(-6, 4)), np.inf)
TINY = 1e-30  # of a stream that does not vary
FEWEST = 16  # positions of a half
TRIED = 8  # layers whose penalty is looked for


class Sums(NamedTuple):
  """Sums over positions, which add over parts; `1` is a constant's place.

  Attributes:
    products_NDD: of [x, 1] with itself, (n, D + 1, D + 1).
    slopes_NDD: of [x, 1] with y - x, (n, D + 1, D); y is the last stream.
    squares_N: of y - x.
  """

  products_NDD: jax.Array
  slopes_NDD: jax.Array
  squares_N: jax.Array


def sums(network: Network, passages: Passages) -> Sums:
  """Sums over all positions but each window's first.

  What a network puts at a window's first position is often larger by orders of
  magnitude than all else, and would be all that is fitted.
  """
  length = passages.tokens_BT.shape[1]
  total: Sums | None = None
  for part in parts(passages, max(1, TOGETHER // length)):
    one = _sums(network, part)
    total = one if total is None else merged(total, one)
  assert total, 'no passages'
  return total


def merged(one: Sums, other: Sums) -> Sums:
  """Of what both are sums over."""
  return jax.tree.map(jnp.add, one, other)


@jax.jit
def _sums(network: Network, passages: Passages) -> Sums:
  stream_NBTD = network.stream(passages).astype(jnp.float32)
  counted_BT = passages.valid_BT & (
    jnp.arange(passages.valid_BT.shape[1]) > 0)
  last_BTD = stream_NBTD[-1]

  def of_layer(x_BTD):
    change_BTD = (last_BTD - x_BTD) * counted_BT[..., None]
    x_BTD = jnp.pad(x_BTD, ((0, 0), (0, 0), (0, 1)), constant_values=1)
    x_BTD *= counted_BT[..., None]
    product = functools.partial(jnp.einsum, precision='highest')
    return Sums(product('BTd,BTe->de', x_BTD, x_BTD),
                product('BTd,BTe->de', x_BTD, change_BTD),
                jnp.sum(change_BTD**2))

  return jax.lax.map(of_layer, stream_NBTD[:-1])


class Centred(NamedTuple):
  """Sums of one stream about some means, in float64."""

  products_DD: np.ndarray
  slopes_DD: np.ndarray
  squares: float


class Means(NamedTuple):
  """Of one stream, and of what is missing to the last."""

  x_D: np.ndarray
  change_D: np.ndarray


def means(of: Sums, layer: int) -> Means:
  """In float64."""
  constant_D = np.asarray(of.products_NDD[layer, -1], np.float64)
  change_D = np.asarray(of.slopes_NDD[layer, -1], np.float64)
  return Means(constant_D[:-1] / constant_D[-1], change_D / constant_D[-1])


def centred(of: Sums, layer: int, about: Means) -> Centred:
  """Sums of products of what is left where the means are taken off."""
  products_DD, slopes_DD = (np.asarray(x_NDD[layer], np.float64)
                            for x_NDD in (of.products_NDD, of.slopes_NDD))
  count, sum_D = products_DD[-1, -1], products_DD[-1, :-1]
  crossed_DD = np.outer(sum_D - count * about.x_D / 2, about.x_D)
  return Centred(
    products_DD[:-1, :-1] - crossed_DD - crossed_DD.T,
    slopes_DD[:-1] - np.outer(about.x_D, slopes_DD[-1])
    - np.outer(sum_D - count * about.x_D, about.change_D),
    float(of.squares_N[layer]
          + about.change_D @ (count * about.change_D - 2 * slopes_DD[-1])))


def errors(own: Centred, other: Centred) -> np.ndarray:
  """Squared error on other positions, for each of PENALTIES.

  The maps of all penalties share their eigenvectors, so that an error is a
  quadratic form in what each eigenvector is shrunk by.
  """
  size_D, basis_DD = np.linalg.eigh(own.products_DD)
  slopes_DD = basis_DD.T @ own.slopes_DD
  along_D = (slopes_DD * (basis_DD.T @ other.slopes_DD)).sum(1)
  across_DD = ((basis_DD.T @ other.products_DD @ basis_DD)
               * (slopes_DD @ slopes_DD.T))
  found = []
  for penalty in PENALTIES:
    shrunk_D = 1 / (np.maximum(size_D, 0) + penalty * size_D.mean() + TINY)
    found.append(other.squares - 2 * shrunk_D @ along_D
                 + shrunk_D @ across_DD @ shrunk_D)
  return np.array(found)


def solve(one: Sums, other: Sums) -> Transport:
  """The maps with the least error on what they were not fitted on.

  Args:
    one: over one half of the positions.
    other: over the other half.
  """
  both = merged(one, other)
  n_layers, _, width = both.slopes_NDD.shape
  w_NDD = np.empty((n_layers, width, width), np.float32)
  b_ND = np.empty((n_layers, width), np.float32)
  # The penalties of a few layers, and of each the nearest one's.
  tried = np.unique(np.linspace(0, n_layers - 1, TRIED).round().astype(int))
  penalties = [_penalty(one, other, layer) for layer in tried]
  for layer in range(n_layers):
    penalty = penalties[int(np.argmin(abs(tried - layer)))]
    mean = means(both, layer)
    whole = centred(both, layer, mean)
    change_DD = np.zeros((width, width))
    if np.isfinite(penalty):
      ridge = penalty * np.trace(whole.products_DD) / width + TINY
      change_DD = _ridge(whole, ridge)
    w_NDD[layer] = np.eye(width) + change_DD
    b_ND[layer] = mean.change_D - mean.x_D @ change_DD
  return Transport(jnp.asarray(w_NDD), jnp.asarray(b_ND))


def _ridge(of: Centred, penalty: float) -> np.ndarray:
  """The map with the least squares and penalty, (D, D)."""
  try:
    found: np.ndarray = scipy.linalg.solve(
      of.products_DD + penalty * np.eye(len(of.products_DD)), of.slopes_DD,
      assume_a='pos')
  except np.linalg.LinAlgError:
    # Of few distinct vectors: rounding leaves eigenvalues below zero.
    size_D, basis_DD = np.linalg.eigh(of.products_DD)
    shrunk_D = 1 / (np.maximum(size_D, 0) + penalty)
    found = (basis_DD * shrunk_D) @ (basis_DD.T @ of.slopes_DD)
  return found


def _penalty(one: Sums, other: Sums, layer: int) -> float:
  error = sum(errors(*(centred(half, layer, means(fitted, layer))
                       for half in (fitted, unseen)))
              for fitted, unseen in ((one, other), (other, one)))
  return PENALTIES[int(np.argmin(error))]


def transport(given: Given) -> Transport:
  """Fitted on the calibration, or as the model's folder has it."""
  assert given.calibration
  found = lens_file.kept(given, 'linear_lens', given.calibration, _fit)
  return Transport(**{name: jnp.asarray(x) for name, x in found.items()})


def _fit(given: Given, calibration: Passages) -> dict[str, np.ndarray]:
  solved = solve(*(sums(given.network, half) for half in halves(calibration)))
  return {name: np.asarray(x) for name, x in vars(solved).items()}


def halves(passages: Passages) -> tuple[Passages, Passages]:
  """The first windows and the rest, with about as many tokens."""
  after_B = np.cumsum(passages.valid_BT.sum(1))
  count = int(np.argmin(abs(2 * after_B - after_B[-1]))) + 1
  return (Passages(*(x[:count] for x in passages)),
          Passages(*(x[count:] for x in passages)))


def refusal(given: Given) -> str:
  """Refuses what cannot be read, and where there is nothing to fit on."""
  if why := lens.readable(given):
    return why
  if given.calibration is None:
    return ('it is fitted on other text than it reads, and there is none; name '
            'some with --calibration=FILE')
  if min(int(half.valid_BT[:, 1:].sum())
         for half in halves(given.calibration)) < FEWEST:
    return ('it is fitted on two halves of a text, and the calibration has '
            f'{given.calibration.tokens} tokens in '
            f'{len(given.calibration.tokens_BT)} windows; name a longer one '
            'with --calibration=FILE')
  return ''


def _flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  fits = calibration + min(calibration, lens.BASELINE_TOKENS)
  squares = config.n_layers * config.d_model**2
  # An eigenproblem is some thirty products.
  tried = 2 * min(TRIED, config.n_layers) * 30 * config.d_model**3
  return (lens.reading_flops(config, tokens)
          + forward_flops(config, fits) + 4 * fits * squares
          + 2 * (tried + 3 * squares * config.d_model))


def _measure(given: Given) -> list[Row]:
  return lens.rows(given, 'linear', transport)


INSTRUMENT = Instrument(
  name='linear-lens', title='Where predictions form: the linear lens',
  says='The same, each layer first carried to the last by the affine map that '
       'fits best on other text: what the layer knows in other terms than the '
       'output’s counts too.',
  source='compare Din et al., 2023; Belrose et al., 2023', measure=_measure,
  flops=_flops, metrics=lens.METRICS, default=True, refusal=refusal)
