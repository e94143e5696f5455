"""Real depth: what depth is in a model that people use.

Claim. Repeating layers gives more (B10), with the layers this compounds until
from about ten on it is intractable (B18), and the whole model must be loaded to
be applied (A5): each judged on SmolLM2-135M-Instruct in the 4-bit file in which
it comes (30 layers), with nothing trained. Every number holds for that model:
quantised (Q4_1), instruct, 135 M parameters. One model is one instance; what
is repeated is the text, and a text is a cluster.

Prediction, and what would refute it, stand in each stratum's file, with the
numbers.

Controls. A random network of the same shape, in which none of it may be found;
one layer that a linear map can follow, and a first layer without which nothing
works; the same bits of a pass that holds one layer. Chapters to fit on, to
pilot on and to judge on are different ones.

Cost. `cpu`: about 2.5e13 FLOPs, four processor minutes for each of two workers.
`smoke`: mostly compilation, and no evidence. Needs `make models`; without it
nothing is run, and the verdict says so.

Command. fathom run real-depth [--strata=surrogates,use,streaming]
"""

from experiments.claims.real_depth import streaming, surrogates, use, words
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='real-depth',
  title='Depth in a real model: surrogates, use, streaming',
  claim=('Repeating layers gives more (B10); with the layers it compounds, and '
         'from about ten on it is intractable (B18); the whole model must be '
         'loaded to be applied (A5).'),
  reading=('Each statement is judged on its own, of one pretrained model: '
           'SmolLM2-135M, instruct, quantised to 4 bits (Q4_1). Intractable: '
           'one linear map stops standing for the layers. Gives more: the '
           'later layers are used. The verdict on all together says only '
           'whether they agree.'),
  parts=(surrogates.PART, use.PART, streaming.PART),
  presets=('smoke', 'cpu'),
  terms=words.TERMS)
