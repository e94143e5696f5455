"""Every instrument that `fathom probe` has; a new one is a name here."""

from experiments.instruments import (
  ablation,
  anisotropy,
  attribution,
  description,
  dimension,
  head_scores,
  lens,
  linear_lens,
  nonlinearity,
  patching,
  similarity,
  sparse_probe,
  word_similarity,
)
from experiments.instruments.instrument import Instrument

# In the order in which they are taken and shown.
INSTRUMENTS: tuple[Instrument, ...] = (
  lens.INSTRUMENT,
  linear_lens.INSTRUMENT,
  similarity.INSTRUMENT,
  dimension.INSTRUMENT,
  dimension.SCALES_INSTRUMENT,
  anisotropy.INSTRUMENT,
  word_similarity.INSTRUMENT,
  description.INSTRUMENT,
  sparse_probe.INSTRUMENT,
  nonlinearity.INSTRUMENT,
  attribution.INSTRUMENT,
  head_scores.INSTRUMENT,
  patching.INSTRUMENT,
  ablation.INSTRUMENT,
)
