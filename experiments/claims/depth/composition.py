"""Composition: what does a layer save that joins links? (card D1)

The prompt shows every link of one 9-cycle; the query asks for the k-th
successor. All facts are in the context, so only the joining is learned.

On nine symbols nothing is out of reach: set by hand, two layers answer up to
four links, and one layer two (`instruments/pointer_chasing/constructed.py`).
What depth may change is the price, in parameters and in FLOPs.

Prediction. Two links: after equal FLOPs two layers are far more accurate than
one layer of equal parameters, which needs at least twice the FLOPs to solve
them. Four links: two layers need at least twice the FLOPs of three. Refuted if
all of these are shown to be smaller.

Arms, all at a constant rate after equally many warm-up steps, so that the curve
of a run is also that of every shorter one; each with the rate that pilots found
best for it. plain: n layers of one width, until three layers solve four links;
two layers for longer, since what they need more of can be seen no sooner.
equal_parameters: one layer with as many in its layers as two plain ones;
accuracy at two links is compared after as many FLOPs as two layers need, and it
is watched for twice as long. chain_of_thought: one layer that writes the
intermediate hops out, and is tested on what it wrote. `cpu-long` has more:
equal_parameters_longer, for as long as plain; one_layer, a ladder of widths,
and one_layer_longer likewise; n = 4; looped, one layer's parameters three
times; wide, one layer with the parameters of three.

`accelerator` copies the published protocol instead (`published.py`): k-hop
induction over random strings, k up to 16, n up to 8.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from data.config import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.claims.depth import figures, links, problems, published, words
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.sweeps import cost, overrides
from experiments.sweeps.algebra import (
  Cell,
  Pins,
  as_large_as,
  cells,
  product,
)
from experiments.sweeps.experiment import Part
from model import AttentionConfig, ModelConfig, NoPosition, PlainFeedForward
from train import programs
from train.config import Config, TrainConfig

SEEDS = {'smoke': range(2), 'cpu': range(8, 16), 'cpu-long': range(8, 16)}
BUDGET = 7 * links.EARLY  # FLOPs: three layers have solved four links by then
# Of two layers, whose price must be seen before they end. Twice what three
# layers need is beyond a quarter more; in `cpu` it can be ruled out alone.
LONGER = {'smoke': BUDGET, 'cpu': 1.25 * BUDGET, 'cpu-long': 2.5 * BUDGET}
WARMUP = 100  # steps
EVALUATIONS = 8  # for each links.EARLY, so that one of them is after it, ...
FEWEST = 56  # ... and at least so many
SOLVED_BY = 7 / 8  # of the seeds, or an arm that should be able is not

BASE = Config(
  model=ModelConfig(d_model=32, mixer=AttentionConfig(n_heads=2),
                    position=NoPosition(), mask='bidirectional', norm='rms',
                    feed_forward=PlainFeedForward(2.0, 'relu'), base_width=32),
  data=DataConfig(PointerChasingConfig(symbols=9, hops=(1, 2, 4),
                                       queries='all'), batch_size=24),
  train=TrainConfig(decay='constant', weight_decay=0.3, evaluation_batches=8),
)


@dataclasses.dataclass(frozen=True)
class Arm:
  """A condition, and the rate that pilots found best for it.

  Attributes:
    name: what its runs are compared as.
    rate: the learning rate.
    n_layers: n.
    d_model: the width.
    as_large: 0, or: instead, the width at which its layers hold as many
      parameters as this many layers of that width.
    fields: others, by dotted path.
    budget: FLOPs of a run.
    longer: whether it is watched for LONGER instead.
  """

  name: str
  rate: float
  n_layers: int = 1
  d_model: int = 32
  as_large: int = 0
  fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  budget: float = BUDGET
  longer: bool = False


CHAIN = {'model.mask': 'causal', 'data.source.reasoning': 'chain_of_thought'}

# The grid of rates is 5e-4, 1e-3, 2e-3, 4e-3.
ARMS = (
  Arm('plain', 1e-3, 2, longer=True),
  Arm('plain', 1e-3, 3),
  Arm('equal_parameters', 2e-3, as_large=2, budget=2 * links.EARLY),
  Arm('chain_of_thought', 2e-3, fields=CHAIN, budget=links.EARLY / 6),
)
LADDER = {32: 1e-3, 64: 2e-3, 128: 4e-3}  # width: rate
MORE_ARMS = (
  Arm('plain', 1e-3, 4),
  Arm('equal_parameters_longer', 1e-3, as_large=2, longer=True),
  *(Arm('one_layer', rate, d_model=d, budget=links.EARLY)
    for d, rate in LADDER.items()),
  *(Arm('one_layer_longer', 1e-3, d_model=d) for d in LADDER),
  Arm('looped', 1e-3, 3, fields={'model.layers': 'tied'}),
  Arm('wide', 1e-3, as_large=3),
)


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """The runs of a preset, arm by arm."""
  if preset == 'accelerator':
    return published.sweep(pins)
  arms = (*ARMS, *MORE_ARMS) if preset == 'cpu-long' else ARMS
  return tuple(cell for arm in arms for cell in cells(
    'composition', arm.name, product(
      _config(arm, preset), {'train.seed': SEEDS[preset]}, pins)))


def _config(arm: Arm, preset: str) -> Config:
  """The config of an arm, with as many steps as its FLOPs allow."""
  config = overrides.replace(BASE, {
    **arm.fields, 'model.n_layers': arm.n_layers,
    'model.d_model': arm.d_model, 'train.learning_rate': arm.rate})
  if arm.as_large:
    config = dataclasses.replace(
      config, model=as_large_as(config, arm.as_large).config)
  if preset == 'smoke':
    return overrides.replace(config, {
      'model.unroll': 1,  # a loop compiles faster, which is all it does here
      'train.steps': 10, 'train.evaluate_every': 2, 'data.batch_size': 8,
      'train.evaluation_batches': 2})
  one = overrides.replace(programs.complete(config), {'train.steps': 1})
  budget = LONGER[preset] if arm.longer else arm.budget
  steps = round(budget / cost.train_flops(one))
  every = steps // max(FEWEST, round(EVALUATIONS * budget / links.EARLY))
  return overrides.replace(config, {
    'train.steps': steps, 'train.warmup_fraction': WARMUP / steps,
    'train.evaluate_every': every, 'train.chunk_steps': every})


def notes(preset: str, pins: Pins) -> list[str]:
  """What `fathom plan` adds: how close the matched arms come."""
  if preset == 'accelerator':
    return published.notes()
  one, = product(BASE, {'model.n_layers': (1,)}, pins)
  return [f'one layer as large as {n}: {as_large_as(one, n).describe()}'
          for n in ((2, 3) if preset == 'cpu-long' else (2,))]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  if preset == 'accelerator':
    return published.declare()
  two, three = _plain(2), _plain(3)
  equal = {'arm': 'equal_parameters'}
  early, late, latest = (f'after {flops / 1e9:,.0f} billion FLOPs'
                         for flops in (
                           links.EARLY, BUDGET, LONGER[preset]))
  effects = [
    _gain('two links, early', f'Two links, {early}: accuracy of two layers '
          'over one layer of equal parameters.', 2, two, equal, sigma=0.1,
          metric='early_accuracy'),
    _price('two links, price', 'Two links: FLOPs until one layer of equal '
           'parameters solves them, over those of two layers.', 2, equal, two),
    _price('four links, price', 'Four links: FLOPs until two layers solve '
           'them, over those of three layers.', 4, two, three),
    _gain('written hops', f'Four links, {early} at most: accuracy of one layer '
          'that writes each hop out over one that answers at once.', 4,
          {'arm': 'chain_of_thought'}, equal, sigma=0.05,
          metric='early_accuracy')]
  if preset == 'cpu-long':
    effects += [
      _gain('two links, late', f'Two links, {latest}: accuracy of two layers '
            'over one layer of equal parameters.', 2, two,
            {'arm': 'equal_parameters_longer'}, sigma=0.1),
      _gain('depth over width', f'Four links, {late}: accuracy of three layers '
            'over one layer of equal parameters.', 4, three, {'arm': 'wide'},
            sigma=0.1)]
  decides = [effect.name for effect in effects[:3]]
  return Stratum(
    name='composition', title='Composition: joining links in the context',
    prediction='One layer less costs accuracy at equal parameters and FLOPs, '
    'or at least twice the FLOPs. It makes nothing impossible: set by hand, '
    'two layers answer four links exactly, and one layer two.',
    refutation='All of these prices are shown to be smaller.',
    effects=tuple(effects),
    rule=Rule(
      supported=tuple((name, 'supported') for name in decides),
      refuted=tuple((name, 'equivalent or opposite') for name in decides),
      conditional=((decides[1], 'supported'),
                   (decides[2], 'equivalent or opposite'))),
    controls=(
      *(Control(f'easiest cell, {words}', f'One link is learned by {words}.',
                functools.partial(samples.average, metric='accuracy',
                                  where={**arm, 'hops': 1}), at_least=0.95)
        for words, arm in (('three layers', three), ('one layer', equal))),
      Control('shortcut', 'Going one link on or back answers k = 4 by chance.',
              functools.partial(samples.average, metric='shortcut_accuracy',
                                where={**three, 'hops': 4}), at_most=0.2),
      Control('random weights', 'Untrained, 3 layers answer by chance.',
              functools.partial(samples.average, metric='initial_accuracy',
                                where=three), at_most=0.2)))


def _plain(n: int) -> dict[str, Any]:
  return {'arm': 'plain', 'n_layers': n}


def _able(hops: int, arm: Mapping[str, Any]) -> Control:
  """The arm that should solve so many links does, in nearly every seed."""
  layers = f"{arm['n_layers']} layers" if 'n_layers' in arm else arm['arm']
  return Control(
    f'{layers.replace("_", " ")}, k = {hops}', f'{hops} links are solved in at '
    'least seven of eight seeds.', functools.partial(
      samples.average, metric='solved', where={**arm, 'hops': hops}),
    at_least=SOLVED_BY)


def _gain(name: str, statement: str, hops: int, a: Mapping[str, Any],
          b: Mapping[str, Any], sigma: float, metric: str = 'accuracy'
          ) -> Effect:
  """How much more accurate one arm is than another, seed by seed."""
  return Effect(
    name, statement, 'accuracy', functools.partial(
      samples.paired_difference, metric=metric, a={**a, 'hops': hops},
      b={**b, 'hops': hops}),
    smallest=0.3, positive=_able(hops, a), sigma=sigma)


def _price(name: str, statement: str, hops: int, slower: Mapping[str, Any],
           faster: Mapping[str, Any]) -> Effect:
  """How many times the FLOPs one arm needs that another needs."""
  return Effect(
    name, statement, 'times the FLOPs', functools.partial(
      samples.time_to_solve, metric='accuracy', solved=links.SOLVED,
      slower={**slower, 'hops': hops}, faster={**faster, 'hops': hops}),
    smallest=2.0, analysis='time to solve', sigma=1.4,
    positive=_able(hops, faster))


PART = Part('composition', sweep, links.measure, declare, figures.composition,
            notes, sentence=words.composition, problem=problems.composition)
