"""Activation patching: where what was read before reaches the prediction.

A model reads a text and a corrupted copy of the same length. What one part held
while it read the text is put into its reading of the copy, and it is asked how
much of the difference between the two comes back (Vig et al., 2020; Meng et
al., 2022; Zhang and Nanda, 2024).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import substitution
from experiments.instruments.instrument import Given, Instrument, scores_words
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.instruments.substitution import Part, Substitution
from experiments.runs.subject import Row
from model import ModelConfig

WINDOWS, LENGTH = 8, 32
PARTS = ('stream', 'mixer', 'feed-forward', 'head')
# Of the logit difference: below that there is nothing to be brought back.
LEAST = 0.1


class Restored(NamedTuple):
  """What patching finds.

  Attributes:
    clean: mean logit difference of the text, answer less foil.
    corrupted: that of the copy.
    share: of what lies between them, by part: 0 nothing comes back, 1 all.
  """

  clean: float
  corrupted: float
  share: dict[Part, float]


def shuffled(given: Passages, seed: int = 0) -> Passages:
  """The words of each window before its last in another order."""
  rng = np.random.default_rng(seed)
  tokens_BT = given.tokens_BT.copy()
  for row, place in zip(tokens_BT, last(given)):
    row[:place] = rng.permutation(row[:place])
  return given._replace(tokens_BT=tokens_BT)


def last(given: Passages) -> np.ndarray:
  """(B,): the last place of each window whose prediction is scored."""
  T = given.weights_BT.shape[1]
  return T - 1 - np.argmax(given.weights_BT[:, ::-1] > 0, axis=1)


def patch(network: Network, clean: Passages, corrupted: Passages,
          place_B: np.ndarray, answer_B: np.ndarray,
          foil_B: np.ndarray | None = None,
          asked_B: np.ndarray | None = None,
          names: tuple[str, ...] = PARTS) -> Restored:
  """Puts what each part held on the clean text into the corrupted one.

  Args:
    network: the model.
    clean: windows.
    corrupted: as many, as long.
    place_B: the one place of each that is patched.
    answer_B: what comes next in the clean text.
    foil_B: what would in the corrupted one; None: what the model says there.
      Windows where this is the answer count for nothing.
    asked_B: the place that is asked what comes next; None: `place_B`.
    names: of the parts.

  Returns:
    A share is of sums over windows, so that those with little to bring back
    weigh little; there are none where the sums differ by less than `LEAST`
    a window.
  """
  B, T = clean.tokens_BT.shape
  changed_BT = np.arange(T) == place_B[:, None]
  asked_B = place_B if asked_B is None else asked_B
  place_P = (np.arange(B) * T + asked_B).astype(np.int32)

  true, onto = (Substitution(network, given, changed_BT, place_P)
                for given in (clean, corrupted))
  without_PV = onto.logits()
  if foil_B is None:
    foil_B = np.asarray(without_PV.argmax(1))
  differ = jnp.asarray(foil_B != answer_B)

  def difference(logits_PV: jax.Array) -> float:
    return float(_difference(logits_PV, answer_B, foil_B, differ))

  whole, none = difference(true.logits()), difference(without_PV)
  share = {} if abs(whole - none) < LEAST else {
    part: (difference(onto.logits(part, true.inside[part.layer - 1])) - none)
    / (whole - none) for part in substitution.parts(network.config, *names)}
  return Restored(whole, none, share)


@jax.jit
def _difference(logits_PV: jax.Array, answer_P: jax.Array, foil_P: jax.Array,
                differ_P: jax.Array) -> jax.Array:
  chosen_P2 = jnp.take_along_axis(
    logits_PV, jnp.stack([answer_P, foil_P], axis=1), axis=1)
  return (differ_P * (chosen_P2[:, 0] - chosen_P2[:, 1])).sum() / jnp.maximum(
    differ_P.sum(), 1)


def measure(given: Given) -> list[Row]:
  """The text against the same words in another order."""
  text = substitution.short(given.passages, LENGTH, WINDOWS)
  if not len(text.tokens_BT):
    return []
  place_B = last(text)
  found = patch(given.network, text, shuffled(text), place_B,
                text.targets_BT[np.arange(len(place_B)), place_B])
  return [
    Row('logit_difference', found.clean, {'text': 'as it is'}),
    Row('logit_difference', found.corrupted, {'text': 'shuffled'}),
    *(Row('restored_share', share, part.where)
      for part, share in found.share.items())]


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """A run for each part of each layer, of the layers from there on."""
  del calibration
  rows = min(WINDOWS, -(-tokens // LENGTH))
  return substitution.flops(
    config, len(substitution.parts(config, *PARTS)), rows,
    min(LENGTH, tokens), rows)


INSTRUMENT = Instrument(
  name='patching',
  title='Where what was read before reaches the prediction',
  says='The model reads a text whose words, all but the last, are shuffled. '
       'Then one part, at the last word, gets what it held on the true text: '
       'the share of the difference between the two that this brings back, in '
       'the score of the true next token against what it says of the shuffled '
       f'one. On at most {WINDOWS} windows of {LENGTH} tokens.',
  source='Vig et al., 2020; Zhang and Nanda, 2024',
  measure=measure,
  flops=flops,
  metrics={'restored_share': 'share that comes back',
           'logit_difference': 'true next token against the other (logits)'},
  refusal=scores_words)
