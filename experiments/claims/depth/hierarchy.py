"""Hierarchy: does each layer climb a level of a tree? (card D2)

Sentences of 2^l leaves grow from a root by a random tree grammar; one leaf is
masked. The model predicts the root and the masked leaf, and exact inference
says what could be known (Garnier-Brun et al., 2025). Nothing that is scored was
seen in training: see `data/sources/held_out.py`.

Prediction. Higher levels become decodable at later layers, half a layer a level
or more, and by as much more than in networks trained on the filtered grammar,
whose leaves are independent given the root: there the same parse exists and is
of no use. After equally many steps the excess loss over Bayes' falls with n up
to n = l, and the last layer of these counts by itself. Where a level emerges it
is used: swapping its value there changes the prediction as exact inference
says. Refuted if levels show no order and l layers are no better than one.
Conditional if levels are ordered, but layers are shown not to help, or the last
one not to, or what emerges is shown to be used less.

Equally many steps of more layers are more FLOPs. So the last step is shown at
equal FLOPs, too: one layer less, trained for as many steps more.

Level 1 is measured and not judged: it has so few strings of leaves that a probe
learns any labels for them (a negative selectivity). The root is not judged for
use: it is the answer, so that to swap it at the last layers swaps the answer.

Full attention sees all leaves at once, and a wide enough layer could hold the
whole table of answers, so this is about what training finds, not about what a
layer could express.

The unit of replication is the grammar, one seed each.

`accelerator` adds the published protocol: objectives apart, P sentences for 200
epochs, batches of 32, Adam at 1e-4 without warm-up, decay, clipping or weight
decay, d = 128 with a feed-forward of 2048, normalised after each branch,
sinusoidal positions. Differences that are left: the root is read at a position
of its own and not from all positions side by side, no dropout (0.1 there), the
mask is drawn with the sentence and not anew in each epoch, batches are not
mixed anew, held-out sentences are held out by what is read, and masked leaves
have 200 epochs like roots (2,000 there).
"""

import functools

from data.config import DataConfig
from data.sources.tree import TreeConfig
from experiments.claims.depth import figures, levels, problems, words
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.sweeps import cost, overrides
from experiments.sweeps.algebra import Cell, Pins, cells, zipped
from experiments.sweeps.experiment import Part
from model import (
  AttentionConfig,
  LearnedPosition,
  ModelConfig,
  PlainFeedForward,
  SinusoidalPosition,
)
from train import programs
from train.config import Config, TrainConfig

# Two heads where the published network has one: worth twice the steps at equal
# cost, and with one the ceiling is not reached in every grammar.
SMALL = Config(
  model=ModelConfig(d_model=32, mixer=AttentionConfig(n_heads=2),
                    position=LearnedPosition(), mask='bidirectional',
                    norm='rms', feed_forward=PlainFeedForward(2.0, 'relu'),
                    base_width=32),
  data=DataConfig(TreeConfig(symbols=4, levels=3), batch_size=128),
  train=TrainConfig(steps=1500, learning_rate=5e-3, weight_decay=0.3,
                    warmup_fraction=0.2, evaluation_batches=8))
BASES = {
  'smoke': overrides.replace(SMALL, {
    'model.unroll': 1,  # a loop compiles faster, which is all it does here
    'data.source.levels': 2, 'data.batch_size': 32, 'train.steps': 10,
    'train.evaluation_batches': 2}),
  'cpu': SMALL,
  'cpu-long': overrides.replace(SMALL, {'train.steps': 4000}),
  'accelerator': Config(
    model=ModelConfig(d_model=128, mixer=AttentionConfig(n_heads=1),
                      position=LearnedPosition(), mask='bidirectional',
                      base_width=128, base_layers=4),
    data=DataConfig(TreeConfig(symbols=4, levels=4), batch_size=128),
    train=TrainConfig(steps=50_000, learning_rate=1e-3, chunk_steps=1000,
                      evaluation_batches=16, checkpoint_every=10_000)),
}
# The last of each is probed.
DEPTHS = {'smoke': (1, 2, 3), 'cpu': (1, 2, 3), 'cpu-long': (1, 2, 3, 4, 6),
          'accelerator': (1, 2, 3, 4, 6)}
GRAMMARS = {'smoke': range(2), 'cpu': range(8, 16), 'cpu-long': range(8, 16),
            'accelerator': range(8, 16)}
HEIGHTS = {'smoke': (2,), 'cpu': (3,), 'cpu-long': (3, 4),
           'accelerator': (4, 5)}

# As published (emanuele-moscato/tree-language): see above.
PUBLISHED = Config(
  model=ModelConfig(n_layers=4, d_model=128, mixer=AttentionConfig(n_heads=1),
                    position=SinusoidalPosition(), mask='bidirectional',
                    norm_placement='post',
                    feed_forward=PlainFeedForward(16.0, 'relu'),
                    parameterisation='standard'),
  data=DataConfig(TreeConfig(symbols=4, levels=4), batch_size=32),
  train=TrainConfig(learning_rate=1e-4, weight_decay=0.0, warmup_fraction=0.0,
                    decay='constant', beta2=0.999, clip_norm=1e9,
                    chunk_steps=1000, evaluation_batches=64,
                    checkpoint_every=100_000))
EPOCHS = 200
SENTENCES = tuple(2**i for i in range(9, 18))  # P


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Every depth on every grammar; the seed of the weights goes with it."""
  def arm(name: str, base: Config, fields: dict) -> tuple[Cell, ...]:
    seeds = GRAMMARS[preset]
    return cells('hierarchy', name, zipped(
      overrides.replace(base, fields),
      {'data.seed': seeds, 'train.seed': seeds}, pins))

  planned: list[Cell] = []
  for height in HEIGHTS[preset]:
    shape = {'data.source.levels': height}
    for n in DEPTHS[preset]:
      planned += arm(f'l = {height}', BASES[preset],
                     {**shape, 'model.n_layers': n})
    planned += arm(filtered(height), BASES[preset], {
      **shape, 'model.n_layers': DEPTHS[preset][-1],
      'data.source.filter_level': height})
    planned += arm(longer(height), BASES[preset], {
      **shape, 'model.n_layers': height - 1,
      'train.steps': _as_dear(BASES[preset], height)})
  if preset == 'accelerator':
    for sentences in SENTENCES[:-1]:
      planned += arm(f'published root, P = {sentences}', PUBLISHED, {
        **_epochs(sentences), 'data.source.objective': 'root'})
    for objective in ('root', 'masked'):
      for n in (1, 2, 3, 4):
        planned += arm(f'published {objective}', PUBLISHED, {
          **_epochs(SENTENCES[-1]), 'model.n_layers': n,
          'data.source.objective': objective})
  return tuple(planned)


def filtered(height: int) -> str:
  """The arm of the grammar without levels between the root and the leaves."""
  return f'l = {height}, filtered'


def longer(height: int) -> str:
  """The arm that has a layer less, and the FLOPs of as many layers as levels.
  """
  return f'l = {height}, equal FLOPs'


def _as_dear(base: Config, height: int) -> int:
  """Steps of height - 1 layers that cost what the base's of height do."""
  less, whole = (cost.train_flops(programs.complete(overrides.replace(base, {
    'data.source.levels': height, 'model.n_layers': n})))
    for n in (height - 1, height))
  return round(base.train.steps * whole / less)


def _epochs(sentences: int) -> dict[str, int]:
  """The fields of EPOCHS passes over a fixed number of sentences."""
  return {'data.source.examples': sentences,
          'train.steps': EPOCHS * sentences // PUBLISHED.data.batch_size}


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides: judged at the lowest height."""
  height, deepest = HEIGHTS[preset][0], DEPTHS[preset][-1]
  arm = {'arm': f'l = {height}'}

  def at(n: int) -> dict:
    return {**arm, 'n_layers': n}

  def mean(metric: str, where: dict) -> functools.partial[float]:
    return functools.partial(samples.average, metric=metric, where=where)

  def drop(name: str, words: str, fewer: dict, smallest: float,
           sigma: float) -> Effect:
    return Effect(
      name, f'{height} layers come closer to Bayes than {fewer["n_layers"]}, '
      f'{words}.', 'bits', functools.partial(
        samples.paired_difference, metric='excess_bits', a=fewer, b=at(height)),
      smallest=smallest, positive=learned, sigma=sigma)

  emerged = Control(
    'levels are known', 'At its best layer, each judged level is decodable.',
    mean('highest_decodability', at(deepest)), at_least=0.5)
  learned = Control(
    'the task is learned', f'{height} layers learn at least half of what can '
    'be known of the answers.', mean('learned_share', at(height)),
    at_least=0.5)
  effects = (
    Effect('order of levels', 'A level emerges half a layer or more after the '
           'level below it, and by as much more than where the levels are of '
           'no use and none emerges (the filtered grammar).', 'layers a level',
           functools.partial(samples.paired_difference,
                             metric='order_counted', a=at(deepest), b={
                               'arm': filtered(height), 'n_layers': deepest}),
           smallest=0.5, positive=emerged, sigma=0.3),
    Effect('trend', f'Excess loss falls with every layer up to n = {height}.',
           'rank correlation',
           functools.partial(
             samples.ordered, metric='excess_bits', where=arm,
             order=tuple(range(max(height, 3), 0, -1))),
           smallest=0.5, positive=learned, analysis='trend', sigma=0.25),
    drop('gain', 'after equally many steps', at(1), 0.05, 0.09),
    drop('last step', 'after equally many steps (the last step alone)',
         at(height - 1), 0.02, 0.03),
    drop('last step at equal FLOPs', f'which has {height / (height - 1):.2g} '
         'times the steps', {'arm': longer(height), 'n_layers': height - 1},
         0.02, 0.03),
    Effect('interchange', 'Where a level below the root emerges, its value is '
           'used as exact inference would: on a scale from the untrained '
           'network to what this one gets right.', 'share of what it can',
           functools.partial(samples.values, metric='interchange_normalised',
                             where=at(deepest)), smallest=0.6, sigma=0.1,
           positive=Control(
             'ceiling', 'The network gets the pairs right when the input '
             'itself is changed.', mean('interchange_ceiling', at(deepest)),
             at_least=0.8)),
  )
  return Stratum(
    name='hierarchy', title='Hierarchy: climbing a tree with exact inference',
    prediction='Higher levels emerge at later layers; after equally many steps '
    f"the loss falls towards Bayes' until n = {height}; what emerges is used.",
    refutation=f'The levels show no order, and {height} layers are less than '
    '0.05 bit better than one. (Attention sees all leaves at once: this is '
    'about what training finds, not about what a layer could express.)',
    effects=effects,
    rule=Rule(
      supported=tuple((name, 'supported') for name in (
        'order of levels', 'trend', 'gain', 'last step', 'interchange')),
      refuted=(('order of levels', 'equivalent or opposite'),
               ('gain', 'equivalent or opposite')),
      conditional=(
        (('order of levels', 'supported'), ('gain', 'equivalent or opposite')),
        *((('order of levels', 'supported'), ('gain', 'supported'),
           (failing, 'equivalent or opposite'))
          for failing in ('last step', 'interchange')))),
    controls=(
      Control('nobody beats Bayes', 'On the symbols that were drawn, no model '
              'does better than exact inference.',
              mean('sampled_excess_bits', at(deepest)), at_least=-0.02),
      Control('selectivity', 'Where they emerge, probes read the judged levels '
              'better than arbitrary symbols for the same leaves.',
              mean('selectivity', at(deepest)), at_least=0.1),
      Control('the filtered task is learned', 'The network that shows no order '
              'did learn its own task.', mean('learned_share', {
                'arm': filtered(height), 'n_layers': deepest}), at_least=0.5)),
    tier='E2' if preset == 'accelerator' else 'E1')


PART = Part('hierarchy', sweep, levels.measure, declare, figures.hierarchy,
            sentence=words.hierarchy, problem=problems.hierarchy)
