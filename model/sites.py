"""Where a block can be read and changed: one vocabulary for every mixer."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from model.config import ConfigError, ModelConfig
from model.layout import Layout
from model.rows import Rows

SITES = {
  'resid_pre': 'residual stream entering the block (B,T,D)',
  'attention_pattern': 'attention weights (B,H,T,S); attention only',
  'mixer_hidden': 'what the mixer computes before its output projection: '
                  'attention (B,T,H,K), the others (B,T,D)',
  'mixer_out': 'what the mixer adds to the stream (B,T,D)',
  'resid_mid': 'residual stream after the mixer (B,T,D), which the feed-'
               'forward reads, unless branches are parallel: it then reads '
               'resid_pre',
  'ffn_hidden': 'feed-forward units after the activation (B,T,F)',
  'ffn_out': 'what the feed-forward adds to the stream (B,T,D)',
  'resid_post': 'residual stream leaving the block (B,T,D)',
}

# The dimensions of a site's array, where they are not (B,T,D).
_LETTERS = {'attention_pattern': 'BHTS', 'ffn_hidden': 'BTF'}

# Applied on the device to a site's array inside the layer, so that only what
# is needed is kept; None keeps the whole array.
Reduce = Callable[[jax.Array], jax.Array]
Taps = Mapping[str, Reduce | None]


class Edit(NamedTuple):
  """The affine change `x * scale + shift` of a site, layer by layer.

  Attributes:
    scale: leading axis N, the rest broadcastable to the site's shape.
    shift: likewise.
  """

  scale: jax.Array
  shift: jax.Array


Edits = Mapping[str, Edit]


def replace(n_layers: int, layer: int | jax.Array, value: jax.Array) -> Edit:
  """Puts `value` in the place of the site's array at one layer."""
  value = jnp.asarray(value, jnp.float32)
  chosen = _chosen(n_layers, layer, value.ndim)
  return Edit(jnp.where(chosen, 0.0, 1.0), jnp.where(chosen, value, 0.0))


def add(n_layers: int, layer: int | jax.Array, value: jax.Array) -> Edit:
  """Adds `value` to the site's array at one layer."""
  value = jnp.asarray(value, jnp.float32)
  chosen = _chosen(n_layers, layer, value.ndim)
  return Edit(jnp.ones_like(chosen, jnp.float32), jnp.where(chosen, value, 0.0))


def scale(n_layers: int, layer: int | jax.Array,
          factor: float | jax.Array) -> Edit:
  """Multiplies the site's array at one layer by `factor`."""
  factor = jnp.asarray(factor, jnp.float32)
  chosen = _chosen(n_layers, layer, factor.ndim)
  return Edit(jnp.where(chosen, factor, 1.0),
              jnp.zeros_like(chosen, jnp.float32))


def ablate(n_layers: int, layer: int | jax.Array) -> Edit:
  """Sets the site's array at one layer to zero."""
  return scale(n_layers, layer, 0.0)


def _chosen(n_layers: int, layer: int | jax.Array, ndim: int) -> jax.Array:
  """True at `layer`: shape (N, 1, ..., 1). The layer may be traced."""
  if isinstance(layer, int) and not 0 <= layer < n_layers:
    raise ConfigError(f'edit: layer {layer} is not one of the {n_layers} '
                      f'layers 0 to {n_layers - 1}')
  return (jnp.arange(n_layers) == layer).reshape((n_layers,) + (1,) * ndim)


class Sites:
  """The sites of one block: changes what is edited, keeps what is tapped.

  They are also where the block's activations are laid out over devices, and
  where its mixer finds what is known of the rows.
  """

  def __init__(self, taps: Taps, edits: Edits, layout: Layout | None = None,
               rows: Rows | None = None):
    self._wanted = taps
    self._edits = edits
    self.layout = layout or Layout()
    self.rows = rows or Rows()
    self.taps: dict[str, jax.Array] = {}

  def uses(self, site: str) -> bool:
    """Whether anyone reads or changes this site."""
    return site in self._wanted or site in self._edits

  def at(self, site: str, x: jax.Array) -> jax.Array:
    """Passes `x` through a site: laid out, edited, then read."""
    by_head = site == 'mixer_hidden' and x.ndim == 4
    x = self.layout.constrain(
      x, 'BTHK' if by_head else _LETTERS.get(site, 'BTD'))
    if site in self._edits:
      edit = self._edits[site]
      x = (x * edit.scale + edit.shift).astype(x.dtype)
    if site in self._wanted:
      reduce = self._wanted[site] or (lambda whole: whole)
      self.taps[site] = reduce(x)
    return x


def available(config: ModelConfig) -> tuple[str, ...]:
  """The sites that a model of this config has, in order of computation."""
  absent = set()
  if not config.mixer.has_scores:
    absent.add('attention_pattern')
  if not config.ff_width:
    absent |= {'ffn_hidden', 'ffn_out'}
  return tuple(site for site in SITES if site not in absent)


def check(config: ModelConfig, asked: Iterable[str]) -> None:
  """Raises ConfigError for a site that this model does not have."""
  have = available(config)
  for site in asked:
    if site not in have:
      near = difflib.get_close_matches(str(site), have, n=1)
      raise ConfigError(
        f'site {str(site)[:40]!r}: a model with mixer={config.mixer_name} and '
        f'feed_forward={config.feed_forward_name} has the sites '
        f'{", ".join(have)}{f" (did you mean {near[0]}?)" if near else ""}')
