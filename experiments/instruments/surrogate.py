"""Composite linear surrogates: several blocks at once, by one linear map.

Block i + 1 to block i + k carry stream i to stream i + k. The surrogate is the
affine map of least squares for what they add, closed form with a ridge, fitted
on other text (compare Din et al., 2023; Razzhigaev et al., 2024). How much of
what is added it explains, and whether the model still gives the same answers
with it in the place of those blocks, says how far k blocks are a linear map.

A window's first position is left out of fits and scores, and keeps its stream:
models put there what is larger by orders of magnitude than all else.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments.network import Network
from experiments.instruments.passages import Passages

RIDGE = 0.1  # of unit variances of the inputs, times the number of points


class Maps(NamedTuple):
  """The surrogates from stream i to each later stream j, what is added.

  Attributes:
    x_D, scale_D: what inputs are centred and divided by.
    w_JDD: from those to what is added; 0 up to i. J counts streams.
    z_JD: the mean of what is added.
    spread_JD: its standard deviation.
  """

  x_D: jax.Array
  scale_D: jax.Array
  w_JDD: jax.Array
  z_JD: jax.Array
  spread_JD: jax.Array

  def added(self, x_BTD: jax.Array, j: jax.Array | int) -> jax.Array:
    """What the blocks up to stream j add, by the surrogate."""
    return (x_BTD - self.x_D) / self.scale_D @ self.w_JDD[j] + self.z_JD[j]


@jax.jit
def streams(network: Network, passages: Passages) -> jax.Array:
  """(N + 1,B,T,D), float32; all of them are held."""
  return network.stream(passages).astype(jnp.float32)


@jax.jit
def fit(stream_JBTD: jax.Array, valid_BT: jax.Array, i: jax.Array,
        ridge: float = RIDGE) -> Maps:
  """The surrogates from stream i.

  Args:
    stream_JBTD: streams 0 to n of the text to fit on.
    valid_BT: which positions are real.
    i: the stream that they begin at.
    ridge: the penalty on coefficients of inputs of variance 1, a point.
  """
  counted_P1 = _counted(valid_BT).reshape(-1, 1)
  points_JPD = stream_JBTD.reshape(len(stream_JBTD), -1, stream_JBTD.shape[-1])
  count = counted_P1.sum()

  def moments(points_PD: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean_D = (counted_P1 * points_PD).sum(0) / count
    return mean_D, jnp.sqrt(
      (counted_P1 * (points_PD - mean_D)**2).sum(0) / count)

  x_PD = points_JPD[i]
  x_D, scale_D = moments(x_PD)
  scale_D = jnp.where(scale_D > 0, scale_D, 1.0)
  unit_PD = counted_P1 * (x_PD - x_D) / scale_D
  width = x_PD.shape[-1]
  factor = jax.scipy.linalg.cho_factor(
    unit_PD.T @ unit_PD + ridge * count * jnp.eye(width))

  def one(j: jax.Array, maps: Maps) -> Maps:
    z_PD = points_JPD[j] - x_PD
    z_D, spread_D = moments(z_PD)
    w_DD = jax.scipy.linalg.cho_solve(
      factor, unit_PD.T @ (counted_P1 * (z_PD - z_D)))
    return maps._replace(
      w_JDD=maps.w_JDD.at[j].set(w_DD), z_JD=maps.z_JD.at[j].set(z_D),
      spread_JD=maps.spread_JD.at[j].set(spread_D))

  many = len(points_JPD)
  none = Maps(x_D, scale_D, jnp.zeros((many, width, width)),
              jnp.zeros((many, width)), jnp.ones((many, width)))
  found: Maps = jax.lax.fori_loop(i + 1, many, one, none)
  return found


class Explained(NamedTuple):
  """Shares of the variance of what is added, around each row's own mean.

  Attributes:
    even_JB: its coordinates as if each varied as much (by the spread where the
      map was fitted), of which a few could decide all else.
    raw_JB: as they are.
  """

  even_JB: jax.Array
  raw_JB: jax.Array


@jax.jit
def explained(maps: Maps, stream_JBTD: jax.Array, valid_BT: jax.Array,
              i: jax.Array) -> Explained:
  """How much of what is added the surrogates explain, row by row; 0 up to i."""
  counted_BT1 = _counted(valid_BT)[..., None]
  count_B1 = counted_BT1.sum(1)
  x_BTD = stream_JBTD[i]

  def one(j: jax.Array, shares: Explained) -> Explained:
    z_BTD = stream_JBTD[j] - x_BTD
    left_BTD = z_BTD - maps.added(x_BTD, j)
    mean_BD = (counted_BT1 * z_BTD).sum(1) / count_B1
    whole_BTD = z_BTD - mean_BD[:, None]
    spread_D = jnp.maximum(maps.spread_JD[j], 1e-12)

    def share(weight: jax.Array | float) -> jax.Array:
      left_B, whole_B = ((counted_BT1 * (x * weight)**2).sum((1, 2))
                         for x in (left_BTD, whole_BTD))
      return 1 - left_B / whole_B

    return Explained(shares.even_JB.at[j].set(share(1 / spread_D)),
                     shares.raw_JB.at[j].set(share(1.0)))

  empty_JB = jnp.zeros(stream_JBTD.shape[:2])
  found: Explained = jax.lax.fori_loop(
    i + 1, len(stream_JBTD), one, Explained(empty_JB, empty_JB))
  return found


@jax.jit
def replaced(network: Network, passages: Passages, maps: Maps,
             stream_JBTD: jax.Array, i: jax.Array, j: jax.Array,
             place_BS: jax.Array) -> jax.Array:
  """The likeliest words with the surrogate in the place of blocks i + 1 to j.

  Args:
    network: whose later blocks read what the surrogate gives.
    passages: what is read.
    maps: the surrogates from stream i.
    stream_JBTD: its streams.
    i, j: which are joined; where they are equal, nothing is replaced.
    place_BS: the positions whose words are asked for.

  Returns:
    (B,S).
  """
  x_BTD = stream_JBTD[i]
  first_T1 = (jnp.arange(x_BTD.shape[1]) == 0)[:, None]

  def block(layer: jax.Array, stream_BTD: jax.Array) -> jax.Array:
    return network.block(layer, stream_BTD, passages)

  moved_BTD = jnp.where(first_T1, stream_JBTD[j],
                        x_BTD + jnp.where(j > i, maps.added(x_BTD, j), 0.0))
  end_BTD = jax.lax.fori_loop(j + 1, network.config.n_layers + 1, block,
                              moved_BTD)
  chosen_BSD = jnp.take_along_axis(end_BTD, place_BS[..., None], axis=1)
  return jnp.argmax(network.unembed(chosen_BSD), axis=-1)


def starts(n_layers: int, k: int) -> tuple[int, ...]:
  """Where k blocks begin: first, in the middle and last, after block 1."""
  last = n_layers - k
  return tuple(sorted({1, (1 + last) // 2, last}))


def curve(shares_IJ: np.ndarray, k: int, first: int = 1) -> float:
  """The mean over all places where k blocks can stand, from stream `first`."""
  many = len(shares_IJ)
  return float(np.mean([shares_IJ[i, i + k] for i in range(first, many - k)]))


def spread_out(length: int, most: int) -> Sequence[int]:
  """At most so many positions, evenly spread, the first left out."""
  return [int(i) for i in np.unique(
    np.linspace(1, length - 1, min(most, length - 1)).round())]


def _counted(valid_BT: jax.Array) -> jax.Array:
  return (valid_BT & (jnp.arange(valid_BT.shape[1]) > 0)).astype(jnp.float32)
