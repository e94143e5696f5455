"""Does a second layer help a model join two links? An experiment to begin with.

The prompt shows the links of a ring of seven symbols in random order, and asks
for the symbol that is one link on, or two. The second answer has to be joined
from two links. What is claimed: in so few steps, it takes a second layer.

Everything in this file is yours to change. What it says before the first run is
sealed: change a threshold afterwards, and the report says so.
"""

import functools

import polars as pl

from data import DataConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.judge.record import StratumResult
from experiments.report import figures
from experiments.runs.subject import Row, Subject
from experiments.sweeps import overrides
from experiments.sweeps.algebra import Cell, Pins, cells, product
from experiments.sweeps.experiment import Experiment, Part
from model import AttentionConfig, ModelConfig, NoPosition, PlainFeedForward
from train import Config, TrainConfig

# Eight seeds are the norm; what they cannot show is refused when it is planned.
SEEDS = {'smoke': 2, 'cpu': 8}
STEPS = {'smoke': 10, 'cpu': 400}

# What all runs share. `fathom config template.py` lists every field.
BASE = Config(
  model=ModelConfig(
    d_model=32, mixer=AttentionConfig(n_heads=2), position=NoPosition(),
    mask='bidirectional', norm='rms',
    feed_forward=PlainFeedForward(2.0, 'relu'), base_width=32),
  data=DataConfig(
    PointerChasingConfig(symbols=7, hops=(1, 2), queries='all'),
    batch_size=48),
  train=TrainConfig(
    learning_rate=8e-3, weight_decay=0.3, warmup_fraction=0.2,
    evaluation_batches=40))


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """The runs: one and two layers, with each seed.

  `pins` are the fields that were typed as --config.path=value.
  """
  base = overrides.replace(BASE, {'train.steps': STEPS[preset]})
  axes = {'model.n_layers': (1, 2), 'train.seed': range(SEEDS[preset])}
  return cells('links', 'plain', product(base, axes, pins))


def measure(run: Subject) -> list[Row]:
  """What is taken of a finished run: numbers, and where in it they were taken.

  There is more to look at than scores: `run.params`, `run.initial`,
  `run.held_out(examples)`; see `experiments/instruments/`.
  """
  return [Row(metric, float(value), {'hops': int(hops)})
          for metric in ('accuracy', 'loss')
          for hops, value in zip(run.source.groups, run.scores[metric])]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides; the same for every preset here."""
  del preset
  gain = Effect(
    name='second layer',
    statement='Two links are joined better by two layers than by one.',
    unit='accuracy',
    # Seed by seed, two layers less one.
    measure=functools.partial(
      samples.paired_difference, metric='accuracy',
      a={'n_layers': 2, 'hops': 2}, b={'n_layers': 1, 'hops': 2}),
    smallest=0.2,  # less than this would not matter
    # If neither arm could do it, that they are equal would mean nothing.
    positive=Control(
      'able', 'Two layers join two links at all.',
      functools.partial(samples.average, metric='accuracy',
                        where={'n_layers': 2, 'hops': 2}),
      at_least=0.5))
  return Stratum(
    name='links', title='Links of a ring, joined in the context',
    prediction='Two layers join two links in as many steps, one does not.',
    refutation='One layer joins two links as well as two layers do.',
    effects=(gain,),
    rule=Rule(supported=((gain.name, 'supported'),),
              refuted=((gain.name, 'equivalent'),)),
    # If this fails, nothing was learned that could be compared.
    controls=(Control(
      'easiest question', 'One layer finds the symbol that is one link on.',
      functools.partial(samples.average, metric='accuracy',
                        where={'n_layers': 1, 'hops': 1}),
      at_least=0.95),))


def draw(done: pl.DataFrame, stratum: StratumResult) -> list[figures.Plot]:
  """The figures of the report: accuracy against n, one panel for each k."""
  rows = figures.of_metric(done, 'accuracy')
  panels = [(f'{k} link(s)', rows.filter(hops=k)) for k in (1, 2)]
  plot = figures.describe(
    stratum.name, 'accuracy', 'Accuracy against the number of layers',
    'accuracy', f'Held-out accuracy. {figures.INTERVAL}')
  return [figures.line_plot(plot, panels, 'accuracy', share=True)]


EXPERIMENT = Experiment(
  name='template',
  title='A second layer joins two links',
  claim='With a second layer a language model learns sooner to join two facts.',
  parts=(Part('links', sweep, measure, declare, draw),),
  presets=('smoke', 'cpu'))

# fathom plan template.py                  what would be run
# fathom run template.py --preset=smoke    whether it runs at all
# fathom run template.py                   two minutes on two cores
# The report is runs/template/cpu/report.html.
