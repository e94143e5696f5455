"""Direct logit attribution: which part wrote the answer.

The stream that the final norm reads is a sum of what the embedding and every
part of every layer wrote. With the norm's scale taken as it is at that place,
the target's logit is a sum of one number for each of them (Elhage et al.,
2021; Wang et al., 2023). What a part does by way of later ones is not in it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import passages
from experiments.instruments.instrument import Given, Instrument, scores_words
from experiments.instruments.network import Network, forward_flops
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row
from model import ModelConfig, parameterisation

ROWS = 2  # windows at a time


class Written(NamedTuple):
  """What each part adds to the target's logit; over those axes, or summed.

  Attributes:
    embedding_BT: what enters the first layer.
    mixer_NBT: each layer's, the bias behind its heads included.
    ffn_NBT: likewise; zeros where there is none.
    head_NBTH: each head's share of its mixer; H is 0 where there are none.
    bias_BT: the final norm's own.
  """

  embedding_BT: jax.Array
  mixer_NBT: jax.Array
  ffn_NBT: jax.Array
  head_NBTH: jax.Array
  bias_BT: jax.Array


def written(network: Network, given: Passages, relative: bool) -> Written:
  """Embedding, mixers, feed-forwards and bias add up to the logit; traceable.

  Args:
    network: whose norms stand before its branches.
    given: what it reads; the targets' logits are explained.
    relative: whether each is less the mean over the vocabulary: what raises
      all logits alike says nothing.
  """
  layers_N = jnp.arange(1, network.config.n_layers + 1)
  first_BTD = network.embed(given)
  last_BTD, _ = jax.lax.scan(
    lambda x_BTD, layer: (network.block(layer, x_BTD, given), None),
    first_BTD, layers_N)
  toward_BTD, bias_BT = _toward(network, given, last_BTD, relative)
  multiplier = parameterisation.residual_multiplier(network.config)
  has_heads = network.config.mixer.has_scores
  taps = ('mixer_out', *(['ffn_out'] if network.config.ff_width else []),
          *(['mixer_hidden'] if has_heads else []))

  def along(x_BTD: jax.Array) -> jax.Array:
    return (x_BTD.astype(jnp.float32) * toward_BTD).sum(-1)

  def step(x_BTD, layer):
    x_BTD, held = network.through(layer, x_BTD, given, dict.fromkeys(taps))
    mixer_BT = along(held['mixer_out'])
    ffn_BT = along(held['ffn_out']) if 'ffn_out' in held else 0 * mixer_BT
    if not has_heads:
      return x_BTD, (mixer_BT, ffn_BT, mixer_BT[..., None][..., :0])
    toward_BTHK = jnp.einsum('HKD,BTD->BTHK',
                             network.layer(layer)['mixer']['w_o_HKD'],
                             toward_BTD)
    head_BTH = multiplier * (held['mixer_hidden'] * toward_BTHK).sum(-1)
    return x_BTD, (mixer_BT, ffn_BT, head_BTH)

  _, (mixer_NBT, ffn_NBT, head_NBTH) = jax.lax.scan(step, first_BTD, layers_N)
  return Written(along(first_BTD), mixer_NBT, ffn_NBT, head_NBTH, bias_BT)


def _toward(network: Network, given: Passages, last_BTD: jax.Array,
            relative: bool) -> tuple[jax.Array, jax.Array]:
  """What streams are multiplied by to give the logit, and what is added."""
  config, params = network.config, network.params
  w_DV = _unembedding_DV(network)
  toward_BTD = w_DV.T[given.targets_BT] - (w_DV.mean(1) if relative else 0)
  toward_BTD = toward_BTD * parameterisation.logit_multiplier(config)
  if not config.final_norm:
    return toward_BTD, jnp.zeros(given.targets_BT.shape)
  x_BTD = last_BTD.astype(jnp.float32)
  centred = config.norm == 'layer'
  if centred:
    x_BTD -= x_BTD.mean(-1, keepdims=True)
  bias_BT = toward_BTD @ params['norm']['b_D'] if centred else jnp.zeros(
    given.targets_BT.shape)
  toward_BTD = toward_BTD * params['norm']['scale_D'] * jax.lax.rsqrt(
    jnp.square(x_BTD).mean(-1, keepdims=True) + config.norm_epsilon)
  if centred:
    toward_BTD -= toward_BTD.mean(-1, keepdims=True)
  return toward_BTD, bias_BT


def _unembedding_DV(network: Network) -> jax.Array:
  params = network.params
  match network.config.unembedding:
    case 'tied':
      return params['token_embedding']['embedding_VD'].T
    case 'none':
      return jnp.eye(network.config.d_model)
  return params['unembedding']['w_DV']


@jax.jit
def _sums(network: Network, given: Passages) -> Written:
  """Sums over scored places, (), (N,) or (N,H)."""
  found = written(network, given, relative=True)
  weights_BT = given.weights_BT
  return Written(
    (found.embedding_BT * weights_BT).sum(),
    (found.mixer_NBT * weights_BT).sum((1, 2)),
    (found.ffn_NBT * weights_BT).sum((1, 2)),
    (found.head_NBTH * weights_BT[..., None]).sum((1, 2)),
    (found.bias_BT * weights_BT).sum())


def measure(given: Given) -> list[Row]:
  """Means over scored places, for the model and for a random one."""
  scored = float(given.passages.weights_BT.sum())
  if not scored:
    return []
  rows = []
  for network, where in given.networks():
    total = jax.tree.map(
      lambda *parts: sum(map(np.asarray, parts)) / scored,
      *(_sums(network, part) for part in passages.parts(
        given.passages, min(ROWS, len(given.passages.tokens_BT)))))
    rows += [Row('direct_logit', float(value), {**place, **where})
             for place, value in _places(total, network.config)]
  return rows


def _places(total: Written, config: ModelConfig
            ) -> Iterator[tuple[dict[str, int | str], jax.Array]]:
  yield {'part': 'embedding', 'layer': 0}, total.embedding_BT
  for layer in range(config.n_layers):
    place = {'layer': layer + 1}
    yield {'part': 'mixer', **place}, total.mixer_NBT[layer]
    if config.ff_width:
      yield {'part': 'feed-forward', **place}, total.ffn_NBT[layer]
    for head, value in enumerate(total.head_NBTH[layer]):
      yield {'part': 'head', **place, 'head': head}, value
  if config.final_norm and config.norm == 'layer':
    yield {'part': 'bias'}, total.bias_BT


def refusal(given: Given) -> str:
  """Refuses what is no sum of parts."""
  if given.network.config.norm_placement == 'post':
    return ('its norms stand behind each branch (model.norm_placement=post), '
            'so the last stream is no sum of what was written')
  return scores_words(given)


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Every block twice, for the model and for a random one."""
  del calibration
  return 4 * forward_flops(config, tokens)


INSTRUMENT = Instrument(
  name='direct-attribution',
  title='Which part writes the answer',
  says='How much each part of each layer, and each head, adds to the score of '
       'the true next token, over the mean of all tokens, directly: what it '
       'does by way of later layers is not in it. With what the embedding adds '
       'the halves of all layers make up the whole score.',
  source='Elhage et al., 2021; Wang et al., 2023',
  measure=measure,
  flops=flops,
  metrics={'direct_logit': 'added to the true token (logits)'},
  refusal=refusal)
