"""Mean ablation: what is lost where a part says the same everywhere.

What a head, a mixer or a feed-forward writes is replaced by its mean over the
text (Wang et al., 2023). That takes away all that it tells about this place and
leaves what it always adds, on which later layers may rely.
"""

import jax
import jax.numpy as jnp

from experiments.instruments import passages, substitution
from experiments.instruments.instrument import Given, Instrument, scores_words
from experiments.instruments.lens import BITS_PER_NAT
from experiments.instruments.substitution import Substitution
from experiments.runs.subject import Row
from model import ModelConfig

WINDOWS, LENGTH = 8, 64
ASKED = 128  # tokens whose prediction is scored, at most
PARTS = ('mixer', 'feed-forward', 'head')


def measure(given: Given) -> list[Row]:
  """What each part is worth; nothing where no two tokens follow each other."""
  text = passages.scored(
    substitution.short(given.passages, LENGTH, WINDOWS), ASKED)
  if not len(text.tokens_BT):
    return []
  network = given.network
  place_P = substitution.places(text.weights_BT)
  target_P = text.targets_BT.reshape(-1)[place_P]
  runs = Substitution(network, text, text.valid_BT, place_P)
  means = [substitution.mean(held, text.valid_BT) for held in runs.inside]
  whole_PV = runs.logits()
  rows = []
  for part in substitution.parts(network.config, *PARTS):
    bits, divergence = _loss(whole_PV, runs.logits(
      part, means[part.layer - 1]), target_P)
    rows += [Row('ablation_bits', float(bits), part.where),
             Row('ablation_divergence', float(divergence), part.where)]
  return rows


@jax.jit
def _loss(whole_PV: jax.Array, changed_PV: jax.Array,
          target_P: jax.Array) -> tuple[jax.Array, jax.Array]:
  """How much worse the targets are told, and KL(whole || changed), bits."""
  whole_PV, changed_PV = map(jax.nn.log_softmax, (whole_PV, changed_PV))
  apart_PV = whole_PV - changed_PV
  told_P = jnp.take_along_axis(apart_PV, target_P[:, None], axis=1)
  divergence_P = (jnp.exp(whole_PV) * apart_PV).sum(1)
  return BITS_PER_NAT * told_P.mean(), BITS_PER_NAT * divergence_P.mean()


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """A run for each part of each layer, of the layers from there on."""
  del calibration
  rows = min(WINDOWS, -(-tokens // LENGTH))
  return substitution.flops(
    config, len(substitution.parts(config, *PARTS)), rows,
    min(LENGTH, tokens), min(ASKED, tokens))


INSTRUMENT = Instrument(
  name='ablation',
  title='What each head and each half of a layer is worth',
  says='How many bits a token the prediction loses where what a part writes '
       'is replaced by its mean over the text, and how far it moves the '
       f'prediction; on at most {WINDOWS * LENGTH} tokens of it.',
  source='Wang et al., 2023',
  measure=measure,
  flops=flops,
  metrics={'ablation_bits': 'loss of a token (bits)',
           'ablation_divergence': 'change of the prediction (KL, bits)'},
  refusal=scores_words)
