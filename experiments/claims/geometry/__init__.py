"""Geometry: what the vectors of tokens say, and what they do not.

Claim. A language model gives each token a vector. Similar tokens end up near
each other (B3), in a space of many dimensions (B2); tokens that others are
linked to lie sparse or dense (A2); training stores the probabilities of
transitions in the weights (A3, a sanity check); and vectors that lie far apart
may still be related (A4). Each statement is a stratum, all measured on the
same runs, in worlds whose clusters, links and transition matrix are planted.
B3 is asked of two models that others have trained, too (`real-words`, which is
optional: it needs `make models`, and trains nothing).

Prediction, and what would refute it, stand in each stratum's file, with the
numbers.

Controls. The network before training behind every number; the excess over the
exact entropy rate, so that what was not learned decides nothing; frequency,
removed where it could be the cause; two tables of vectors and one.

Cost. `cpu`: 7.6e12 FLOPs, two to three minutes of two slow cores. `smoke`: half
a minute, nearly all of it compilation, and no evidence. `real-words`: two to
four minutes.

Command. fathom run geometry [--strata=similarity,density,real-words]
"""

from experiments.claims.geometry import (
  density,
  dimension,
  distance,
  real_words,
  similarity,
  transitions,
  words,
)
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='geometry',
  title='Vectors of tokens: near, far, dense and sparse',
  claim=('Similar tokens have near vectors in a space of many dimensions, '
         'sparser around tokens that others are linked to; the weights hold '
         'how likely one token follows another, even where their vectors are '
         'far apart.'),
  reading=('Each statement is judged on its own, in planted worlds where '
           'similarity, links, frequency and transitions are known exactly '
           '(synthetic only). “Closeness and meaning” is of two real models '
           'and what people say, and is run where it is asked for by name.'),
  parts=(similarity.PART, dimension.PART, density.PART, transitions.PART,
         distance.PART, real_words.PART),
  presets=('smoke', 'cpu'),
  terms=words.TERMS)
