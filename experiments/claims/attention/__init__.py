"""Attention: does it go to what matters?

Claim. Attention weighs how important each token is (B4), and so says how much
each token affects the others (B7).

Prediction, and what would refute it, stand in `importance.py`, with the
numbers.

Controls. A network in which attention is importance by construction; the
attention of a random network; what matters, found twice.

Cost. `cpu`: 4e13 FLOPs, about four minutes of two slow cores; it needs the
model that `make models` links. `smoke`: seconds, and no evidence.

Command. fathom run attention
"""

from experiments.claims.attention import importance, words
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='attention',
  title='Does attention go to what matters?',
  claim=('Attention weighs how important each token is for what comes next, '
         'and says how much each affects the others.'),
  reading=('A token is important if another in its place changes the '
           'probability of the true next token. Tokens that attention rests '
           'on whatever they say (the first, and delimiters) are left out. '
           'Judged on one small model: quantised, instruct, 135 M.'),
  parts=(importance.PART,),
  presets=('smoke', 'cpu'),
  terms=words.TERMS)
