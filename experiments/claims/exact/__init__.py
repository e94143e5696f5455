"""What of the primers can be decided exactly.

Claim. Softmax and logits, path lengths, heads, order, feed-forward, activation,
tokenizers and loading are as the two primers say, each judged on its own.

Nothing is trained. A property holds, or fails by a counterexample, which the
report prints; seeds only choose weights and inputs to try, so there is one
preset, and no smaller one that would say less.

Cost. `cpu`: half a minute.

Command. fathom run exact [--strata=softmax,operations,heads,…]
"""

from experiments.claims.exact import (
  activation,
  heads,
  operations,
  order,
  round_trip,
  scores,
  softmax,
  streaming,
)
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='exact',
  title='Eight statements, each judged on its own',
  claim=('Softmax and logits (B14), the length of paths (B13), heads (B12), '
         'order (B5), feed-forward (B8) and activation (B9), tokenizers (B1) '
         'and the loading of a model (A5) are as the primers say.'),
  reading=('Where a statement has two readings, it is supported if both hold, '
           'and conditional if the charitable one holds and the literal one '
           'fails by a counterexample. It is refuted by what is named under '
           '“Would refute it” alone. Not judged: what a reading leaves out, '
           'such as that a tokenizer or positions “must” be used. The verdict '
           'on all together says only that they differ.'),
  parts=(softmax.PART, operations.PART, heads.PART, order.PART, scores.PART,
         activation.PART, round_trip.PART, streaming.PART),
  presets=('cpu',))
