"""What of the primers can be decided exactly.

Claim. Softmax and logits, path lengths, order, feed-forward, tokenizers and
loading are as the two primers say, in each statement's literal reading and in a
charitable one.

Nothing is trained. A property holds, or fails by a counterexample, which the
report prints; seeds only choose weights and inputs to try, so there is one
preset, and no smaller one that would say less. A stratum is conditional where
the charitable reading holds and the literal one fails.

Cost. `cpu`: half a minute.

Command. fathom run exact [--strata=softmax,operations,order,…]
"""

from experiments.claims.exact import (
  feed_forward,
  operations,
  order,
  round_trip,
  softmax,
  streaming,
)
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='exact',
  title='What can be decided exactly',
  claim=('Softmax and logits (B14), the length of paths (B12, B13), order '
         '(B5), feed-forward and activation (B8, B9), tokenizers (B1) and the '
         'loading of a model (A5) are as the primers say.'),
  reading=('Each statement is read literally and charitably. Supported: both '
           'readings hold. Conditional: the charitable one holds, and the '
           'literal one fails by a counterexample. Refuted: the charitable one '
           'fails too.'),
  parts=(softmax.PART, operations.PART, order.PART, feed_forward.PART,
         round_trip.PART, streaming.PART),
  presets=('cpu',))
