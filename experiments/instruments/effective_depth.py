"""Effective depth: how many of its layers a model makes use of.

No single definition is agreed on, so there are three, and they may differ:

* `participation`: (sum e_l)^2 / sum e_l^2 of the effects e_l of leaving block l
  out (KL in bits; of an encoder the relative change of its last stream). It is
  n where all blocks matter alike, and 1 where one alone does. The share of n
  is given beside it.
* `overlap_depth`: the first stream whose five likeliest tokens, by the logit
  lens, are half of the last one's (arXiv 2512.14064). What lies behind only
  refines. Of a vocabulary of ten any five are half of the last ones by luck,
  so where words are few there is no such depth.
* `divergence_depth`: where the logit lens's KL to the last stream falls to half
  of what it is at stream 0, for good; between streams it is interpolated.

All follow from rows of `skipping` and `logit-lens`, which are taken once.
"""

from collections.abc import Sequence

import numpy as np

from experiments.instruments import lens, skipping
from experiments.instruments.instrument import Given, Instrument
from experiments.runs.subject import Row
from model import ModelConfig

OVERLAP = 0.5
CHANCE = 0.25  # of five words: where more overlap by luck, nothing is said


def participation(effects: Sequence[float]) -> float:
  """(sum e)^2 / sum e^2; an effect below 0 is none. NaN where all are 0."""
  effect_N = np.maximum(effects, 0)
  if not effect_N.any():
    return float('nan')
  return float(effect_N.sum() ** 2 / (effect_N ** 2).sum())


def overlap_depth(overlaps: Sequence[float]) -> int:
  """The first stream that overlaps by half; the last one does wholly."""
  return int(np.argmax(np.asarray(overlaps) >= OVERLAP))


def half_life(divergences: Sequence[float]) -> float:
  """Where a curve that ends at 0 falls below half of its start for good.

  NaN where it starts at 0.
  """
  divergence_N = np.asarray(divergences, float)
  half = divergence_N[0] / 2
  if not half > 0:
    return float('nan')
  above = int(np.flatnonzero(divergence_N > half)[-1])
  high, low = divergence_N[above], divergence_N[above + 1]
  return float(above + (high - half) / (high - low))


def measure(given: Given) -> list[Row]:
  """The three definitions, of the model and of a random one.

  What cannot be said has no row: of a model without logits what needs them, of
  a small vocabulary the overlap, of one in which no block does anything the
  first.
  """
  words = not lens.INSTRUMENT.refusal(given)
  skipped = given.once(skipping.INSTRUMENT.measure)
  effect = 'skip_divergence' if words else 'skip_change'
  seen = given.once(lens.INSTRUMENT.measure) if words else []
  rows = []
  for network in (None, 'random'):
    where = {'network': network} if network else {}
    effects = _values(skipped, effect, network)
    found = {'participation': participation(effects)}
    found['participation_share'] = found['participation'] / len(effects)
    if words and CHANCE * given.network.config.vocab_size >= lens.TOP:
      found['overlap_depth'] = overlap_depth(
        _values(seen, 'lens_overlap', network))
    if words:
      found['divergence_depth'] = half_life(
        _values(seen, 'lens_divergence', network))
    rows += [Row(metric, float(value), where)
             for metric, value in found.items() if value == value]
  return rows


def _values(rows: Sequence[Row], metric: str,
            network: str | None) -> list[float]:
  """By layer."""
  own = [row for row in rows
         if row.metric == metric and row.where.get('network') == network]
  return [row.value for row in sorted(own, key=lambda row: row.where['layer'])]


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Nothing beyond what it follows from."""
  del config, tokens, calibration
  return 0.0


INSTRUMENT = Instrument(
  name='effective-depth',
  title='How many layers does it use?',
  says='Three counts that need not agree: how many layers matter when left '
       'out; the first layer at which half of the five likeliest words are '
       'those of the end; and the layer at which half of the way to the final '
       'probabilities is done.',
  source='participation ratio; arXiv 2512.14064; half-life of the logit lens',
  measure=measure, flops=flops,
  metrics={'participation': 'layers that matter when left out',
           'participation_share': 'share of the layers that matter',
           'overlap_depth': 'first layer with half of the last five words',
           'divergence_depth': 'layer at which KL to the end is halved'},
  default=True)
