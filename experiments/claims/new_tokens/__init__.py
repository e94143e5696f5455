"""New tokens that are too unlike the old ones need mixed retraining.

Claim (statement A6). If the new tokens that a trained model has to learn have
too little similarity to those that it knows, fine-tuning does not fix it: a mix
of new and old data is needed, and the model is trained again.

It is taken apart, and each part is a stratum: fine-tuning fails where the new
tokens are unlike the old ones and not where they are like them; mixing in old
text mends it; and training again from random parameters gains something over
mixing alone.

Prediction. Cost is what is lost of the old text plus what is missing on the new
text, against retraining, in nats per token; both are exact, since the texts are
Markov chains (`data/sources/new_tokens.py`). Fine-tuning costs at least 0.1
more at similarity 0 than at 1. Replay of old text costs at least 0.1 less than
fine-tuning, and within 0.03 of retraining or less. Retraining costs at least
0.03 less than replay.

Much of the cost is bookkeeping: who expects new tokens in old text as often as
in new text pays log 1/(1 - share), 0.69 nats, however like the old ones they
are. Costs among old tokens, which leave it aside, are shown.

Controls. The parent knows the old text, retraining learns both; rates are
chosen for each method and similarity, and re-warmed and decayed. Shown beside
it: new text that hardly rehearses old rules, shares of replay, text that the
parent writes itself in place of the old text, new rows alone, low rank, and a
model half as wide again.

Cost. `cpu`: 2.6e13 FLOPs, about 13 minutes of a core and 7 of two. `smoke`: a
minute, nearly all of it compilation, and no evidence.

Command. fathom run new-tokens [--preset=cpu]
"""

from experiments.claims.new_tokens import (
  fine_tuning,
  mixing,
  retraining,
  words,
)
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='new-tokens',
  title='New tokens need mixed retraining',
  claim=('New tokens with too little similarity to the old ones cannot be '
         'learned by fine-tuning: it needs a mix of old and new data, and '
         'training again.'),
  reading=('Similarity is the share of the contexts and successors that a new '
           'token takes over from an old one. Fine-tuning fails if the old '
           'text is forgotten or the new one not learned; to train again is '
           'to start from random parameters.'),
  parts=(fine_tuning.PART, mixing.PART, retraining.PART),
  presets=('smoke', 'cpu'),
  terms=words.TERMS)
