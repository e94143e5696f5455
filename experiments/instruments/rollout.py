"""How far back attention reaches, weighed in three ways.

Raw: the mean over heads. Value-weighted: by the length of what is really added
for each place attended to, which is next to nothing where a head only rests
(Kobayashi et al., 2020). Rollout: through all layers up to this one, down to
the tokens, half of each layer's mass staying where it is for the residual
stream (Abnar and Zuidema, 2020).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import head_scores, passages
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig
from model.sites import Edit

ROWS = 2  # windows at a time: a layer's masses are T^2 numbers each


class Masses(NamedTuple):
  """How much of a place's attention goes where: sums to 1 over S.

  Attributes:
    raw: (..., T, S), the mean over heads.
    value_weighted: likewise, by what heads add together.
    rollout: likewise, from the layer down to the tokens.
  """

  raw: jax.Array
  value_weighted: jax.Array
  rollout: jax.Array


NAMES = {'raw': 'raw', 'value_weighted': 'value-weighted', 'rollout': 'rollout'}


def layer_masses(network: Network, given: Passages, layer: jax.Array,
                 x_BTD: jax.Array, rollout_BTS: jax.Array
                 ) -> tuple[jax.Array, Masses]:
  """One layer's, (B,T,S) each.

  Args:
    network: the model.
    given: what it reads.
    layer: 1 to n, may be traced.
    x_BTD: the stream that enters it.
    rollout_BTS: of the layer below; the identity below the first.

  Returns:
    The stream that leaves it, and the masses.
  """
  same_TS = jnp.eye(x_BTD.shape[1])
  next_BTD, taps = network.through(layer, x_BTD, given,
                                   {'attention_pattern': None})
  pattern_BHTS = taps['attention_pattern']
  # Where every place attends to itself alone, heads read the values.
  _, taps = network.through(
    layer, x_BTD, given, {'mixer_hidden': None},
    {'attention_pattern': Edit(jnp.zeros(()), same_TS)})
  written_BSHD = jnp.einsum('BSHK,HKD->BSHD', taps['mixer_hidden'],
                            network.layer(layer)['mixer']['w_o_HKD'])
  product_BSHh = jnp.einsum('BSHD,BShD->BSHh', written_BSHD, written_BSHD)
  square_BTS = jnp.einsum('BHTS,BhTS,BSHh->BTS', pattern_BHTS, pattern_BHTS,
                          product_BSHh)
  length_BTS = jnp.sqrt(jnp.maximum(square_BTS, 0))
  raw_BTS = pattern_BHTS.mean(1)
  return next_BTD, Masses(
    raw_BTS, length_BTS / jnp.maximum(length_BTS.sum(-1, keepdims=True), 1e-30),
    (raw_BTS + same_TS) / 2 @ rollout_BTS)


def masses(network: Network, given: Passages,
           reduce: Callable[[Masses], Masses] = lambda found: found
           ) -> Masses:
  """Those of all layers, on a leading axis N; traceable.

  Args:
    network: the model.
    given: what it reads.
    reduce: applied to each layer's `Masses` as it is computed.
  """
  def step(carry, layer):
    x_BTD, found = layer_masses(network, given, layer, *carry)
    return (x_BTD, found.rollout), reduce(found)

  B, T = given.tokens_BT.shape
  start = (network.embed(given), jnp.broadcast_to(jnp.eye(T), (B, T, T)))
  layers_N = jnp.arange(1, network.config.n_layers + 1)
  return jax.lax.scan(step, start, layers_N)[1]


@jax.jit
def _sums(network: Network, given: Passages) -> Masses:
  """(N,3) each: shares of the first place and the own, and reach; summed."""
  T = given.tokens_BT.shape[1]
  place_T = jnp.arange(T)
  back_TS = jnp.abs(place_T[:, None] - place_T)
  asked_BT = given.valid_BT & (place_T > 0)

  def read(mass_BTS: jax.Array) -> jax.Array:
    first_BT = mass_BTS[:, :, 0]
    own_BT = jnp.diagonal(mass_BTS, axis1=1, axis2=2)
    kept_BTS = mass_BTS.at[:, :, 0].set(0)
    reach_BT = (kept_BTS * back_TS).sum(-1) / jnp.maximum(
      kept_BTS.sum(-1), 1e-30)
    return (jnp.stack([first_BT, own_BT, reach_BT]) * asked_BT).sum((1, 2))

  return masses(network, given, lambda found: Masses(*map(read, found)))


def measure(given: Given) -> list[Row]:
  """Means over all places but the first, layer by layer."""
  text = given.passages
  asked = int(text.valid_BT[:, 1:].sum())
  if not asked:
    return []
  rows = []
  for network, where in given.networks():
    total = jax.tree.map(lambda *parts: sum(map(np.asarray, parts)), *(
      _sums(network, part) for part in passages.parts(
        text, min(ROWS, len(text.tokens_BT)))))
    for name, table in total._asdict().items():
      rows += [
        Row(metric, float(value) / asked,
            {'layer': layer, 'weighing': NAMES[name], **where})
        for layer, values in enumerate(table, start=1)
        for metric, value in zip(INSTRUMENT.metrics, values, strict=True)]
  return rows


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Every block twice, for the model and for a random one."""
  del calibration
  return 4 * forward_flops(config, tokens)


INSTRUMENT = Instrument(
  name='rollout',
  title='How far back attention reaches',
  says='How much of its attention a place gives to the first token, where '
       'heads rest, and to itself; and how many tokens back it looks with what '
       'does not go to the first. As it is (raw), by what is really added '
       '(value-weighted), and through all layers down to the tokens (rollout).',
  source='Abnar and Zuidema, 2020; Kobayashi et al., 2020',
  measure=measure,
  flops=flops,
  metrics={'attention_to_first': 'share of attention to the first token',
           'attention_to_self': 'share of attention to the token itself',
           'attention_reach': 'how far back (tokens)'},
  refusal=head_scores.without_scores)
