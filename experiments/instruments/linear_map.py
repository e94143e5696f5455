"""The best linear map between two sets of points, from sums that add up.

What decides least squares is the number of points, their means and the products
of their coordinates. These are sums over points; those of several texts are
added, and what was fitted on one is scored on another without reading either
again.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from experiments.instruments import blocks
from experiments.instruments.instrument import Given
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig

MOST = 1024  # tokens of the calibration text that are read
IN_SAMPLE, HELD_OUT = 'in-sample', 'held-out'
# Points for each coordinate below which no map is fitted: it would go through
# nearly all of them, whatever they are.
FEWEST = 1.5
# Added to the unit variances of the inputs: what a fit that is scored on other
# points chooses from, and what keeps rounding out of one that is not.
PENALTIES = tuple(10.0 ** power for power in range(-4, 4))
ROUNDING = (1e-6,)


Array = Any  # JAX's as they are made, NumPy's once they are added up


class Sums(NamedTuple):
  """Over points, of inputs x and targets z of one width.

  Attributes:
    count: how many points.
    x_D: their sum.
    z_D: their sum.
    xx_DD: products of inputs with inputs.
    xz_DD: of inputs with targets.
    z2_D: squares of targets.
    y2_D: squares of x + z.
  """

  count: Array
  x_D: Array
  z_D: Array
  xx_DD: Array
  xz_DD: Array
  z2_D: Array
  y2_D: Array


def sums(x_BTD: jax.Array, z_BTD: jax.Array, valid_BT: jax.Array) -> Sums:
  """Of the points that count, float32; added up elsewhere, in float64."""
  x_BTD, z_BTD = (jnp.where(valid_BT[..., None], points, 0).astype(jnp.float32)
                  for points in (x_BTD, z_BTD))

  def products(a_BTD: jax.Array, b_BTD: jax.Array) -> jax.Array:
    return jnp.einsum('BTi,BTj->ij', a_BTD, b_BTD, precision='highest')

  def over(points_BTD: jax.Array) -> jax.Array:
    return jnp.sum(points_BTD, axis=(0, 1))

  return Sums(
    jnp.sum(valid_BT), over(x_BTD), over(z_BTD), products(x_BTD, x_BTD),
    products(x_BTD, z_BTD), over(z_BTD ** 2), over((x_BTD + z_BTD) ** 2))


class Score(NamedTuple):
  """Squares over points, by coordinate.

  Attributes:
    left_D: of what the map leaves of z, and so of x + z.
    z_D: of z around its mean.
    y_D: of x + z around its mean.
  """

  left_D: np.ndarray
  z_D: np.ndarray
  y_D: np.ndarray


def score(fit: Sums, scored: Sums,
          penalties: Sequence[float] = PENALTIES) -> Score | None:
  """Fits a ridge from x to z on some points and scores it on others.

  Its bias, the means, is free. A map to x + z leaves just what one to z leaves:
  its matrix is the other and the identity, towards which it is then shrunk.

  Args:
    fit: sums over the points to fit.
    scored: over those to score, which may be the same.
    penalties: on the coefficients of inputs of variance 1. The one is taken
      whose generalised cross-validation on the points of the fit is best, each
      coordinate of z counting alike (Golub, Heath and Wahba, 1979).

  Returns:
    None where there are too few points to fit.
  """
  if fit.count < FEWEST * (len(fit.x_D) + 1) or scored.count < 2:
    return None
  x_D, z_D = fit.x_D / fit.count, fit.z_D / fit.count
  xx_DD, xz_DD, z2_D, _ = (x / fit.count for x in _centred(fit, x_D, z_D))
  scale_D = np.sqrt(np.maximum(np.diagonal(xx_DD), 0))
  scale_D = np.where(scale_D > 0, scale_D, 1)
  # In the basis of the inputs' correlations every penalty is a division.
  value_D, basis_DD = scipy.linalg.eigh(
    xx_DD / scale_D / scale_D[:, None], driver='evd')
  value_D = np.maximum(value_D, 0)
  turned_DD = basis_DD.T @ (xz_DD / scale_D[:, None])
  share_D = (turned_DD ** 2 / np.where(z2_D > 0, z2_D, np.inf)).sum(1)

  def validation(penalty: float) -> float:
    kept_D = value_D / (value_D + penalty)
    explained = np.sum(share_D / (value_D + penalty) * (2 - kept_D))
    freedom = 1 - (kept_D.sum() + 1) / fit.count
    return float((np.sum(z2_D > 0) - explained) / freedom ** 2)

  penalty = min(penalties, key=validation)
  w_DD = basis_DD @ (turned_DD / (value_D + penalty)[:, None])
  w_DD /= scale_D[:, None]
  xx_DD, xz_DD, z2_D, _ = _centred(scored, x_D, z_D)
  left_D = z2_D - np.sum(w_DD * (2 * xz_DD - xx_DD @ w_DD), axis=0)
  mean_x_D, mean_z_D = scored.x_D / scored.count, scored.z_D / scored.count
  _, _, z2_D, y2_D = _centred(scored, mean_x_D, mean_z_D)
  return Score(np.maximum(left_D, 0), z2_D, y2_D)


def _centred(own: Sums, x_D: np.ndarray, z_D: np.ndarray
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Products and squares around any x and z."""
  count = own.count
  ox_D, oz_D = np.asarray(own.x_D), np.asarray(own.z_D)
  y_D, oy_D = x_D + z_D, ox_D + oz_D
  return (
    own.xx_DD - np.outer(x_D, ox_D) - np.outer(ox_D, x_D)
    + count * np.outer(x_D, x_D),
    own.xz_DD - np.outer(x_D, oz_D) - np.outer(ox_D, z_D)
    + count * np.outer(x_D, z_D),
    own.z2_D - 2 * z_D * oz_D + count * z_D ** 2,
    own.y2_D - 2 * y_D * oy_D + count * y_D ** 2)


def explained(left_D: np.ndarray, whole_D: np.ndarray) -> dict[str, float]:
  """Shares of variance, of all coordinates together and as a mean over them.

  A few coordinates that vary a thousand times as much decide the first alone.
  Coordinates that do not vary are left out; {} where none does.
  """
  varies_D = whole_D > 1e-12 * max(float(np.max(whole_D)), 1e-30)
  if not varies_D.any():
    return {}
  return {
    'as they are': float(1 - left_D.sum() / whole_D.sum()),
    'of equal weight': float(np.mean(1 - left_D[varies_D] / whole_D[varies_D]))}


def halves(passages: Passages) -> tuple[Passages, Passages]:
  """Every other window; the second is empty where there is one alone."""
  return (Passages(*(x[0::2] for x in passages)),
          Passages(*(x[1::2] for x in passages)))


def rows(given: Given, program: Callable[[Network, Passages], Sums],
         metrics: Mapping[str, str],
         kinds: Sequence[str] = (HELD_OUT, IN_SAMPLE)) -> list[Row]:
  """Scores of every block's map, of the model and of its baseline.

  Held out, maps are fitted on every other window and on the calibration text,
  and scored on the rest. The baseline's have as many points to fit, since with
  fewer it would score less, whatever it is.

  Args:
    given: what is read.
    program: to sums that lead with N, of blocks 1 to n.
    metrics: each with the field of `Score` that is the whole.
    kinds: which scores.
  """
  found = []
  for network, where in given.networks():
    of = functools.partial(blocks.total, program, network)
    own = [of(half) for half in halves(given.passages) if half.tokens]
    more = ([of(blocks.first(given.calibration, MOST))]
            if given.calibration else [])
    fitted = [*own[:-1], *more]
    for layer in range(network.config.n_layers):
      whole = _at(layer, own)
      scores = {IN_SAMPLE: score(whole, whole, ROUNDING)}
      if fitted:
        scores[HELD_OUT] = score(_at(layer, fitted), _at(layer, own[-1:]))
      found += [
        Row(metric, value, {**where, 'layer': layer + 1, 'scored': kind,
                            'dimensions': dimensions})
        for kind, own_score in scores.items() if own_score and kind in kinds
        for metric, field in metrics.items()
        for dimensions, value in explained(
          own_score.left_D, getattr(own_score, field)).items()]
  return found


def _at(layer: int, own: Sequence[Sums]) -> Sums:
  """One layer's, over the points of all."""
  return Sums(*(sum(x_N[layer] for x_N in field) for field in zip(*own)))


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Reading, with both networks, the products, and solving."""
  read = 2 * (tokens + min(calibration, MOST))
  width = config.d_model
  return forward_flops(config, read) + config.n_layers * (
    4 * read * width ** 2 + 80 * width ** 3)
