"""Streaming: must a real model be loaded whole? (A5, E3)

What `exact` shows of random weights, on a model that people use, from the file
in which it comes: each layer is read from it when it is its turn (4-bit numbers
widened to 32), and gone before the next. The readings are those of `exact`:
literally, all weights must be in memory at once; charitably, all layers must be
read for the exact output. That the bits are the same, and that no more than the
embeddings and one layer are held, are controls.

Beside it stands how many of the likeliest next words are others without a
layer: exact output and the same answer are not the same demand.
"""

import functools

import numpy as np

from experiments.claims.exact.counterexample import beyond, largest
from experiments.claims.real_depth import figures, texts, words
from experiments.exchange.opening import opened
from experiments.exchange.original import Original
from experiments.instruments import streaming
from experiments.judge.declaration import Control, Property, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps.experiment import Part
from model.pretrained import loading

NAME = 'streaming'


def measure(subject: Subject) -> list[Row]:
  """Whether a streamed pass is the whole model's, and what it holds."""
  own: texts.Size = subject.case
  assert subject.tokenizer
  source = opened(subject.task.path)  # type: ignore[union-attr]
  assert isinstance(source, Original), 'streamed from what others wrote'
  tokens_BT = np.asarray(texts.judged(subject.tokenizer, own).tokens_BT[:1])
  return streaming.compared(subject.model, loading.parameters(source.contents),
                            tokens_BT, streaming.stream)


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  del preset
  same = Control(
    'the same bits', 'How many logits of a pass that reads one layer at a time '
    'from the file are not those of the whole model, bit for bit.',
    functools.partial(largest, metric='bits_that_differ'), at_most=0.0)
  little = Control(
    'one layer at a time', 'The bytes that it holds, activations between '
    'layers included, over those of the embeddings and of one layer.',
    functools.partial(largest, metric='bytes_in_memory_over_allowed'),
    at_most=1.01)  # activations of one short text
  needed = Property(
    'every layer is needed', 'Without any one layer the logits are others, by '
    'more than 1e-3.', functools.partial(
      beyond, metric='change_without_it', at_least=1e-3))
  answers = Property(
    'every layer is needed for the same words', 'Without any one layer, at one '
    'position or more another next word is the likeliest.', functools.partial(
      beyond, metric='answers_that_change_without_it', at_least=1e-9))
  literal = Property(
    'literal: all at once', 'The exact logits take as many bytes in memory as '
    'the model has, sampled after each array of weights is read (what reading '
    'it or a block takes for a moment is not counted).', functools.partial(
      beyond, metric='share_of_the_model_in_memory', at_least=1.0))
  return Stratum(
    name=NAME, title='Layer streaming (A5): the whole model must be loaded to '
    f'apply it ({texts.LABEL})',
    prediction='One layer at a time in memory, read from the file when it is '
    'its turn, gives the same bits, so not all need be there at once; but all '
    'must be read: no layer can be left out.',
    refutation='Not all need be in memory at once, and a layer can be left out '
    'without a change of the logits.',
    properties=(needed, answers, literal),
    controls=(same, little),
    rule=Rule(
      supported=((needed.name, 'holds'), (literal.name, 'holds')),
      refuted=((needed.name, 'fails'), (literal.name, 'fails')),
      conditional=((needed.name, 'holds'),)),
    tier='E3')


PART = Part(NAME, functools.partial(texts.sweep, NAME), measure, declare,
            figures.streaming, sentence=words.streaming, needs=texts.NEEDED)
