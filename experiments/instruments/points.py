"""The streams of single positions: the points whose shape is measured."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments.network import Network
from experiments.instruments.passages import Passages, parts

POINTS = 2048  # at most: distances of all pairs grow with their square
TOGETHER = 1024  # positions of a part


class Points(NamedTuple):
  """Every stream at some positions.

  Attributes:
    stream_NVD: float32, on the device; N is the n + 1 streams, V the points.
    first_V: bool, on the host: whether it is the first position of its window.
  """

  stream_NVD: jax.Array
  first_V: np.ndarray


def gather(network: Network, passages: Passages, most: int = POINTS) -> Points:
  """Positions evenly spread over what is read; padding gives no point.

  Args:
    network: whose streams.
    passages: what it reads.
    most: how many points at most.
  """
  place_V2 = np.argwhere(passages.valid_BT)
  if len(place_V2) > most:
    place_V2 = place_V2[np.linspace(0, len(place_V2) - 1, most).round(
      ).astype(int)]
  rows = max(1, TOGETHER // passages.tokens_BT.shape[1])
  part_V = place_V2[:, 0] // rows
  width = int(np.bincount(part_V).max())
  found: list[jax.Array] = []
  kept = []
  for number, part in enumerate(parts(passages, rows)):
    own_V2 = place_V2[part_V == number] - (number * rows, 0)
    if len(own_V2):
      kept.append(len(found) * width + np.arange(len(own_V2)))
      found.append(_streams(network, part, np.pad(
        own_V2, [(0, width - len(own_V2)), (0, 0)])))
  stream_NVD = jnp.concatenate(found, axis=1)[:, np.concatenate(kept)]
  return Points(stream_NVD, place_V2[:, 1] == 0)


@jax.jit
def _streams(network: Network, part: Passages,
             place_V2: jax.Array) -> jax.Array:
  row_V, column_V = place_V2.T
  return network.stream(part, lambda x_BTD: x_BTD[row_V, column_V].astype(
    jnp.float32))


@functools.partial(jax.jit, static_argnums=1)
def without_largest(points_NVD: jax.Array, dimensions: int) -> jax.Array:
  """The points with the dimensions that vary most set to 0, layer by layer.

  A few dimensions of a language model are far larger than all others and
  decide what is taken over all of them (Kovaleva et al., 2021).
  """
  variance_ND = jnp.var(points_NVD, axis=1)
  _, largest_NK = jax.lax.top_k(variance_ND, dimensions)
  kept_ND = jnp.ones_like(variance_ND).at[
    jnp.arange(len(variance_ND))[:, None], largest_NK].set(0)
  return points_NVD * kept_ND[:, None]
