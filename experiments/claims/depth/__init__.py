"""Layering n gives depth of abstraction.

Claim. Repeating attention and feed-forward layers n times gives a language
model depth of abstraction: what fewer layers understand worse, or only at a
higher price, more layers understand.

Prediction. On three kinds of input, adding layers does what adding width does
not: in composition, one layer less costs accuracy at equal parameters and
FLOPs, or twice the FLOPs (it makes nothing impossible: networks set by hand
answer with fewer layers than trained ones); in hierarchy,
higher levels of a tree become decodable, and usable, at later layers, and the
loss falls towards Bayes' until n reaches the tree's height; in text, held-out
bits per byte fall with n at fixed width and at equal parameters. What would
refute it stands in each stratum's file, with the numbers.

Controls. Random initialisation behind every probe, control tasks, a wide
network of equal parameters, a looped one of equal parameters per layer, the
shortcut baselines of the data, and an easiest cell that must be solved.

Cost. `cpu`: 3.1e13 FLOPs, under ten minutes of two cores that do 28 GFLOP/s
each. `cpu-long`: all arms and families, 4.0e14 FLOPs, two hours. `smoke`: a
minute, nearly all of it compilation, and no evidence. `accelerator`: the
published settings, about 20 hours of one H100; it asks for a corpus.

Command. fathom run depth [--preset=cpu] [--strata=composition,hierarchy,text]
"""

from experiments.claims.depth import composition, hierarchy, text, words
from experiments.sweeps.experiment import Experiment

EXPERIMENT = Experiment(
  name='depth',
  title='Layering n times gives depth of abstraction',
  claim=('Repeating the attention and feed-forward layers n times gives a '
         'language model better depth of abstraction.'),
  reading=('Adding layers, and not merely the parameters that come with '
           'them, buys what a shallower model has to pay more for, or does '
           'not learn: more links, higher levels of a hierarchy, better '
           'predicted text.'),
  parts=(composition.PART, hierarchy.PART, text.PART),
  presets=('smoke', 'cpu', 'cpu-long', 'accelerator'), terms=words.TERMS)
