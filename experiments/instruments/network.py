"""A model as instruments read it.

Streams are counted 0 to n: 0 is what enters the first block, l what leaves
block l. So block l, of 1 to n, reads stream l - 1 and writes stream l. What the
final norm makes of stream n belongs to the unembedding and is no stream.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

import model
from experiments.instruments.passages import Passages
from model import Layout, ModelConfig
from model.language_model import Params
from model.sites import Edits, Taps


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Network:
  """A pytree of its parameters: a jitted function takes it as it is.

  Compiled once for each config, layout and shape; two networks of one config
  (seeds, or a random one beside a trained one) share the program.

  Attributes:
    params: those of the stack lead with N.
    config: of the model, its layers looped (`unroll=1`).
    layout: where its arrays live (`train.placement.layout`).
  """

  params: Params
  config: ModelConfig = dataclasses.field(metadata={'static': True})
  layout: Layout = dataclasses.field(
    default=Layout(), metadata={'static': True})

  @property
  def scores_words(self) -> bool:
    """Whether it has logits; an encoder need not."""
    return self.config.unembedding != 'absent'

  def apply(self, passages: Passages, taps: Taps | None = None,
            edits: Edits | None = None) -> model.Output:
    """Runs the model; see `model.apply`."""
    return model.apply(self.config, self.params, passages.tokens_BT, taps,
                       edits, self.layout, self._mask(passages))

  def stream(self, passages: Passages,
             reduce: Callable[[jax.Array], jax.Array] | None = None
             ) -> jax.Array:
    """Streams 0 to n on a new leading axis.

    Args:
      passages: what is read.
      reduce: applied to each (B,T,D) on the device, inside the layer; None
        keeps the whole.
    """
    taps = self.apply(passages, {'resid_post': reduce}).taps
    first = self.embed(passages)
    first = first if reduce is None else reduce(first)
    return jnp.concatenate([first[None], taps['resid_post']])

  def embed(self, passages: Passages) -> jax.Array:
    """Stream 0, (B,T,D)."""
    return model.embed(self.config, self.params, passages.tokens_BT)

  def block(self, layer: int | jax.Array, x_BTD: jax.Array,
            passages: Passages) -> jax.Array:
    """Block `layer`, 1 to n, on the stream before it; may be traced."""
    return self.through(layer, x_BTD, passages)[0]

  def through(self, layer: int | jax.Array, x_BTD: jax.Array,
              passages: Passages, taps: Taps | None = None,
              edits: Edits | None = None
              ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """As `block`, and what was tapped in it; edits are of it alone, without N.
    """
    return model.run_block(self.config, self.params, x_BTD, layer - 1,
                           self._mask(passages), self.layout, taps, edits)

  def layer(self, layer: int | jax.Array) -> Params:
    """The parameters of block `layer`, 1 to n; may be traced."""
    return model.layer_params(self.config, self.params, layer - 1)

  def unembed(self, x_BTD: jax.Array) -> jax.Array:
    """Logits (B,T,V), float32, through the model's own final norm."""
    return model.unembed(self.config, self.params, x_BTD)

  def random(self, seed: int = 0) -> 'Network':
    """The same shape, nothing learned: the baseline of every number."""
    return dataclasses.replace(self, params=_draw(self, seed))

  def in_float32(self) -> 'Network':
    """The same, computed in float32: for differences of what is near."""
    return dataclasses.replace(
      self, config=dataclasses.replace(self.config, dtype='float32'))

  def _mask(self, passages: Passages) -> jax.Array | None:
    # What looks back alone never sees the padding behind it.
    return None if self.config.mask == 'causal' else passages.valid_BT


def forward_flops(config: ModelConfig, tokens: float,
                  length: int = 256) -> float:
  """FLOPs of running all blocks on so many tokens, in windows of a length."""
  length = max(1, min(length, int(tokens)))
  window = model.count.flops(config, length)
  return tokens * (window.mixer + window.feed_forward) / length


@functools.partial(jax.jit, static_argnums=1)
def _draw(network: Network, seed: int) -> Params:
  return model.init(network.config, jax.random.key(seed),
                    layout=network.layout)
