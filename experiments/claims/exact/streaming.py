"""Layer streaming (card L1, statement A5).

The primer: the whole model must be loaded to apply it.

Literal reading: all weights must be in memory at once. One pass that reads one
layer at a time from the file, and drops it before the next, shows that this is
not so. That it gives the same bits, and that it holds no more than it says, are
what makes it such a pass: controls, without which nothing is shown. (That all
*must* be in memory no pass could show, so this stratum is never supported.)
Charitable reading: all layers must be read for the exact output. It is shown of
random weights; the stratum is conditional if none of their layers can be left
out, and refuted if one can.

What is in memory is measured, not assumed, each time after an array of weights
was read (`experiments.instruments.streaming`).
"""

import functools
import tempfile
from pathlib import Path

import jax
import numpy as np

from experiments.claims.exact import figures, layer, words
from experiments.claims.exact.counterexample import beyond, largest
from experiments.instruments import streaming
from experiments.judge.declaration import Control, Property, Rule, Stratum
from experiments.runs.store import PARAMS, Store
from experiments.runs.subject import Row, Subject
from experiments.sweeps.algebra import Cell, Pins
from experiments.sweeps.experiment import Part
from experiments.sweeps.task import Exact

MIXERS = ('attention', 'gru')
LAYERS = 8
WIDTH = 128
VOCABULARY = 2048
LENGTH = 16


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """A case for each of two kinds of mixer."""
  del preset, pins
  return tuple(Cell('streaming', kind, Exact(('stream', kind, LAYERS)))
               for kind in MIXERS)


def measure(subject: Subject) -> list[Row]:
  """Whether a streamed pass is the whole model's, and what it holds."""
  _, kind, n_layers = subject.case
  config = layer.config(kind, n_layers=n_layers, d_model=WIDTH,
                        vocab_size=VOCABULARY)
  with tempfile.TemporaryDirectory() as folder:
    store = Store(Path(folder))
    store.keep_params('model', jax.device_get(layer.draw(config, 0)))
    tokens_BT = np.random.default_rng(0).integers(VOCABULARY, size=(1, LENGTH))
    return streaming.compared(
      config, streaming.of_file(store.run('model') / PARAMS), tokens_BT,
      streaming.stream)


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  same = Control(
    'the same bits', 'How many logits of a pass that reads one layer at a time '
    'are not those of the whole model, bit for bit.', functools.partial(
      largest, metric='bits_that_differ'), at_most=0.0)
  little = Control(
    'one layer at a time', 'The bytes that it holds, activations between '
    'layers included, over those of the embeddings and of one layer in '
    f'{LAYERS}.', functools.partial(
      largest, metric='bytes_in_memory_over_allowed'), at_most=1.0)
  needed = Property(
    'every layer is needed', 'Of random weights: without any one layer the '
    'logits are others, by more than 1e-3.', functools.partial(
      beyond, metric='change_without_it', at_least=1e-3))
  literal = Property(
    'literal: all at once', 'The exact logits take as many bytes in memory as '
    'the model has, sampled after each array of weights is read (what a block '
    'holds while it is computed is not counted).', functools.partial(
      beyond, metric='share_of_the_model_in_memory', at_least=1.0))
  return Stratum(
    name='streaming',
    title='Layer streaming (A5): the whole model must be loaded to apply it',
    prediction='One layer at a time in memory gives the same bits, so not all '
    'need be there at once; but all must be read: of random weights no layer '
    'can be left out. (Memory is sampled after each array of weights is read.)',
    refutation='Not all need be in memory at once, and of random weights a '
    'layer can be left out.',
    properties=(needed, literal),
    controls=(same, little),
    rule=Rule(
      supported=((needed.name, 'holds'), (literal.name, 'holds')),
      refuted=((needed.name, 'fails'), (literal.name, 'fails')),
      conditional=((needed.name, 'holds'),)),
    tier='E0')


PART = Part('streaming', sweep, measure, declare, figures.none,
            sentence=words.readings)
