"""What a model says where something inside it is put in the place of another.

A block is run again with the change, and the blocks above it; those below stay
as they were. One compiled program runs every block, changed or not, so what is
put in its own place changes nothing, to the last bit.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from model import ModelConfig, count
from model.sites import Edit

# The site of each part; of a head it is its share of the last.
SITES = {'stream': 'resid_post', 'mixer': 'mixer_out',
         'feed-forward': 'ffn_out', 'head': 'mixer_hidden'}

Inside = dict[str, jax.Array]  # by site, what it holds in one layer: (B,T,...)


class Part(NamedTuple):
  """A part of one layer.

  Attributes:
    name: in `SITES`.
    layer: 1 to n.
    head: from 0, of a head alone.
  """

  name: str
  layer: int
  head: int | None = None

  @property
  def where(self) -> dict[str, int | str]:
    """The place of its rows."""
    own = {} if self.head is None else {'head': self.head}
    return {'part': self.name, 'layer': self.layer, **own}


def parts(config: ModelConfig, *names: str) -> list[Part]:
  """All parts of those names, layer by layer, that a model has."""
  heads = config.mixer.heads().get('n_heads', 0)
  has = {'stream': True, 'mixer': True, 'feed-forward': config.ff_width > 0,
         'head': heads > 0}
  return [Part(name, layer, head)
          for layer in range(1, config.n_layers + 1)
          for name in names if has[name]
          for head in (range(heads) if name == 'head' else (None,))]


def short(given: Passages, length: int, most: int) -> Passages:
  """Some of the text, evenly spread, as windows of at most `length` tokens.

  Each part of each layer is another run of the model, so a little text has to
  do.

  Examples, each a text of its own, are not cut: what is asked at the end of one
  may stand at its beginning. There are fewer of them where they are longer.

  Args:
    given: the whole.
    length: of a window, which knows nothing of what was before it.
    most: windows; those that score nothing behind their first token are left
      out.
  """
  rows, T = given.tokens_BT.shape
  length = min(length, T)
  if 1 < rows == len(np.unique(given.text_B)):
    most, length = max(1, most * length // T), T
  first = range(0, T, length)

  def windows(x_BT: Any) -> Any:
    padded_BT = np.pad(x_BT, ((0, 0), (0, len(first) * length - T)))
    return padded_BT.reshape(-1, length)

  whole = Passages(windows(given.tokens_BT), windows(given.targets_BT),
                   windows(given.weights_BT), windows(given.valid_BT),
                   np.repeat(given.text_B, len(first)))
  enough = np.flatnonzero(whole.weights_BT[:, 1:].any(1))
  if len(enough) > most:
    enough = enough[np.linspace(0, len(enough) - 1, most).round().astype(int)]
  return Passages(*(x[enough] for x in whole))


def places(where_BT: np.ndarray) -> np.ndarray:
  """(P,): the flat places of what is not 0."""
  return np.flatnonzero(where_BT).astype(np.int32)


class Substitution:
  """A model on a text, one part at a time changed.

  Attributes:
    inside: what each layer holds.
  """

  def __init__(self, network: Network, given: Passages,
               changed_BT: np.ndarray, place_P: np.ndarray):
    """Reads the text once.

    Args:
      network: the model.
      given: the text.
      changed_BT: where parts will be changed.
      place_P: where the model is asked what comes next, see `places`.
    """
    self._network, self._given = network, given
    self._changed_BT, self._place_P = changed_BT, place_P
    sites = {part.where['part'] for part in parts(network.config, *SITES)}
    self._sites = tuple(site for name, site in SITES.items() if name in sites)
    x_BTD = _embed(network, given)
    shapes = jax.eval_shape(lambda: network.through(
      1, x_BTD, given, dict.fromkeys(self._sites))[1])
    self._nothing = {site: jnp.zeros(x.shape, x.dtype)
                     for site, x in shapes.items()}
    self._streams, self.inside = [x_BTD], []
    for layer in range(1, network.config.n_layers + 1):
      x_BTD, held = self._block(layer, x_BTD)
      self._streams.append(x_BTD)
      self.inside.append(held)

  def logits(self, part: Part | None = None,
             other: Inside | None = None) -> jax.Array:
    """(P,V): the logits, with a part changed to what another layer held."""
    n = self._network.config.n_layers
    first = part.layer if part else n + 1
    x_BTD = self._streams[first - 1]
    for layer in range(first, n + 1):
      changed = (part, other) if layer == first else (None, None)
      x_BTD, _ = self._block(layer, x_BTD, *changed)
    return _unembed(self._network, x_BTD, self._place_P)

  def _block(self, layer: int, x_BTD: jax.Array, part: Part | None = None,
             other: Inside | None = None) -> tuple[jax.Array, Inside]:
    own = part and SITES[part.name]
    chosen: dict[str, Any] = {site: np.array(site == own)
                              for site in self._sites}
    if 'mixer_hidden' in chosen:
      heads_H = np.arange(self._nothing['mixer_hidden'].shape[2])
      chosen['mixer_hidden'] = chosen['mixer_hidden'] & (
        heads_H[:, None] == (part.head if part else None))
    return _block(self._network, self._given, np.int32(layer), x_BTD,
                  other or self._nothing, chosen, self._changed_BT)


@jax.jit
def mean(held: Inside, valid_BT: jax.Array) -> Inside:
  """The means over all real tokens, in the place of each."""
  total = jnp.maximum(valid_BT.sum(), 1)

  def one(x: jax.Array) -> jax.Array:
    real = valid_BT.reshape(valid_BT.shape + (1,) * (x.ndim - 2))
    return jnp.broadcast_to(
      jnp.where(real, x, 0).sum((0, 1)) / total, x.shape).astype(x.dtype)

  return {site: one(x) for site, x in held.items()}


@jax.jit
def _embed(network: Network, given: Passages) -> jax.Array:
  return network.embed(given)


@jax.jit
def _unembed(network: Network, x_BTD: jax.Array,
             place_P: jax.Array) -> jax.Array:
  return network.unembed(x_BTD.reshape(1, -1, x_BTD.shape[-1])[:, place_P])[0]


@jax.jit
def _block(network: Network, given: Passages, layer: jax.Array,
           x_BTD: jax.Array, other: Inside, chosen: Mapping[str, jax.Array],
           changed_BT: jax.Array) -> tuple[jax.Array, Inside]:
  edits = {}
  for site, x in other.items():
    here = changed_BT.reshape(changed_BT.shape + (1,) * (x.ndim - 2))
    taken = here & chosen[site]
    edits[site] = Edit(jnp.where(taken, 0.0, 1.0), jnp.where(taken, x, 0.0))
  return network.through(layer, x_BTD, given, dict.fromkeys(other), edits)


def flops(config: ModelConfig, runs: int, rows: int, length: int,
          asked: int) -> float:
  """Of so many runs, half of the layers each, that are asked so much."""
  whole = count.flops(config, length)
  head = count.flops(config, 1).unembedding
  layers = whole.total - whole.unembedding
  return float(runs * (rows * layers / 2 + asked * head) + rows * layers)

