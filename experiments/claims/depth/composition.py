"""Composition: how many links k can n layers join? (card D1)

The prompt shows every link of one 9-cycle; the query asks for the k-th
successor. All facts are in the context, so only the joining is learned.

Prediction. The query can add a hop of its own while the edges double theirs,
so n layers reach k <= 2^n - 1: n = 1 for k = 1, n = 2 for k = 2 and 3, n = 3
for k = 4, and one layer with the parameters of three does not help. Refuted if
both k = 2 and k = 4 are learned as often with one layer fewer.

Arms. plain: n layers. looped: one layer's parameters, n times. wide: one layer
with the parameters of three. chain_of_thought: the intermediate hops written
out, generated freely when tested.

`accelerator` reproduces the published setting instead: k-hop induction over
random strings (Sanford, Hsu and Telgarsky, 2024), k up to 16, n up to 8.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import model
from data.batch import Instance, Source
from data.config import DataConfig
from data.sources.hop_string import HopString, HopStringConfig
from data.sources.pointer_chasing import PointerChasing, PointerChasingConfig
from experiments.claims.depth import figures, problems, words
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps import overrides
from experiments.sweeps.algebra import (
  Cell,
  Pins,
  Sweep,
  as_large_as,
  cells,
  matched,
  product,
)
from experiments.sweeps.experiment import Part
from model import AttentionConfig, ModelConfig
from train.config import Config, TrainConfig

SEEDS = {'smoke': 2, 'cpu': 8, 'accelerator': 8}  # the published table has one
SIDE_SEEDS = 3  # of the arms that no declared effect compares
STEPS = {'smoke': 10, 'cpu': 1500}
EXAMPLES = 2048  # for what is measured beside the held-out accuracy

BASE = Config(
  model=ModelConfig(d_model=32, mixer=AttentionConfig(n_heads=2),
                    position='none', mask='bidirectional', norm='rms',
                    activation='relu', ff_multiple=2.0, base_width=32),
  data=DataConfig(PointerChasingConfig(symbols=9, hops=(1, 2, 3, 4),
                                       queries='all'), batch_size=48),
  # The long warm-up and the decay are what makes three layers learn four links
  # in time; one and two layers learn theirs sooner with them, too.
  train=TrainConfig(learning_rate=8e-3, weight_decay=0.3, warmup_fraction=0.2,
                    evaluation_batches=40),
)

# Settings as published: 100 characters of 4, k from 0 to 16.
PUBLISHED = Config(
  model=ModelConfig(d_model=128, position='learned', vocab_size=30,
                    base_width=128, parameterisation='standard'),
  data=DataConfig(HopStringConfig(length=101, symbols=4,
                                  hops=tuple(range(17))), batch_size=32),
  train=TrainConfig(steps=100_001, learning_rate=1e-4, decay='linear',
                    warmup_fraction=0.01, final_fraction=0.0,
                    evaluation_batches=54, evaluate_every=10_000,
                    checkpoint_every=10_000, chunk_steps=1000),
)


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """The runs of a preset, arm by arm."""
  seeds = range(SEEDS[preset])
  if preset == 'accelerator':
    return tuple(cell for heads in (4, 8) for cell in cells(
      'composition', f'{heads} heads', product(PUBLISHED, {
        'model.mixer.n_heads': (heads,), 'model.n_layers': range(1, 9),
        'train.seed': seeds}, pins)))
  base = overrides.replace(BASE, {'train.steps': STEPS[preset]})
  if preset == 'smoke':
    base = overrides.replace(base, {
      'model.unroll': 1,  # a loop compiles faster, which is all it does here
      'data.batch_size': 8, 'train.evaluation_batches': 2})

  def arm(*n: int, seeds: range = seeds, **fields: str) -> Sweep:
    axes = {path.replace('__', '.'): (v,) for path, v in fields.items()}
    return product(
      base, {**axes, 'model.n_layers': n, 'train.seed': seeds}, pins)

  few = seeds[:SIDE_SEEDS]
  looped = arm(3, seeds=few, model__layers='tied')
  chained = arm(1, seeds=few, model__mask='causal',
                data__source__reasoning='chain_of_thought')
  return (*cells('composition', 'plain', arm(1, 2, 3)),
          *cells('composition', 'wide', matched(arm(1), n_layers=3)),
          *cells('composition', 'looped', () if preset == 'smoke' else looped),
          *cells('composition', 'chain_of_thought', chained))


def notes(preset: str, pins: Pins) -> list[str]:
  """What `fathom plan` adds: how close the wide arm comes."""
  if preset == 'accelerator':
    return ['the published table has one seed']
  wide, = product(BASE, {'model.n_layers': (1,)}, pins)
  return [f'wide: {as_large_as(wide, n_layers=3).describe()}']


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  if preset == 'accelerator':
    return _declare_published()

  def gain(name: str, words: str, hops: int, a: dict, b: dict) -> Effect:
    return Effect(
      name=name, statement=words, unit='accuracy',
      measure=functools.partial(
        samples.paired_difference, metric='accuracy',
        a={**a, 'hops': hops}, b={**b, 'hops': hops}),
      smallest=0.3, positive=able)

  def plain(n: int) -> dict:
    return {'arm': 'plain', 'n_layers': n}

  able = Control(
    'easiest cell', 'One link is learned by 3 layers.',
    functools.partial(samples.average, metric='accuracy',
                      where={**plain(3), 'hops': 1}), at_least=0.95)
  effects = (
    gain('second layer', 'Two links are learned with 2 layers, not with 1.', 2,
         plain(2), plain(1)),
    gain('third layer', 'Four links are learned with 3 layers, not with 2.', 4,
         plain(3), plain(2)),
    gain('depth over width', 'Four links are learned by 3 layers, not by one '
         'layer with as many parameters.', 4, plain(3), {'arm': 'wide'}),
  )
  return Stratum(
    name='composition', title='Composition: joining links in the context',
    prediction='k links need n = ceil(log2(k + 1)) layers, whatever the width.',
    refutation='Two links and four links are learned as often with one layer '
    'fewer.',
    effects=effects,
    rule=Rule(
      supported=tuple((e.name, 'supported') for e in effects),
      refuted=tuple((e.name, 'equivalent') for e in effects[:2])),
    controls=(
      Control('shortcut', 'Going one link on or back answers k = 4 by chance.',
              functools.partial(samples.average, metric='shortcut_accuracy',
                                where={**plain(3), 'hops': 4}), at_most=0.2),
      Control('random weights', 'Untrained, 3 layers answer by chance.',
              functools.partial(samples.average, metric='initial_accuracy',
                                where=plain(3)), at_most=0.2),
    ))


def _declare_published() -> Stratum:
  heads = {'arm': '4 heads'}
  deep = {**heads, 'n_layers': 6, 'hops': 16}
  shallow = {**heads, 'n_layers': 2, 'hops': 16}
  able = Control(
    'easiest cell', 'One link is learned by 6 layers.',
    functools.partial(samples.average, metric='accuracy',
                      where={**heads, 'n_layers': 6, 'hops': 1}),
    at_least=0.95)
  effects = (
    Effect('depth gain', 'Sixteen links: accuracy with 6 layers over 2.',
           'accuracy', functools.partial(samples.paired_difference,
                                         metric='accuracy', a=deep, b=shallow),
           smallest=0.3, positive=able),
    Effect('trend', 'Accuracy at sixteen links rises with n.',
           'rank correlation',
           functools.partial(samples.ordered, metric='accuracy',
                             order=tuple(range(1, 9)),
                             where={**heads, 'hops': 16}),
           smallest=0.5, analysis='trend', positive=able))
  return Stratum(
    name='composition', title='Composition: k-hop induction, as published',
    prediction='The least n that solves k links grows as log2 k.',
    refutation='Sixteen links are solved as well by 2 layers as by 6.',
    effects=effects,
    rule=Rule(supported=tuple((e.name, 'supported') for e in effects),
              refuted=tuple((e.name, 'equivalent') for e in effects)),
    tier='E2')


def measure(run: Subject) -> list[Row]:
  """Held-out accuracy by link count, and what it has to be held against."""
  source, accuracy = run.source, run.scores['accuracy']
  assert isinstance(source, (PointerChasing, HopString))
  hops = source.hops
  if isinstance(source, PointerChasing) and source.chain_of_thought:
    accuracy = generated_accuracy(run)
  rows = [Row('accuracy', float(a), {'hops': k})
          for k, a in zip(hops, accuracy)]
  rows += [Row('loss', float(v), {'hops': k})
           for k, v in zip(hops, run.scores['loss'])]
  if isinstance(source, PointerChasing):
    rows += [Row('shortcut_accuracy', s, {'hops': k})
             for k, s in zip(hops, shortcut_accuracy(run))]
    rows += [Row('chance_accuracy', source.chance),
             Row('initial_accuracy', initial_accuracy(run))]
  return rows


def generated_accuracy(run: Subject) -> np.ndarray:
  """Accuracy of the last hop when the model reads only what it wrote, (k,)."""
  assert isinstance(run.source, PointerChasing)
  return np.asarray(_generated_accuracy(
    run.config.model, run.source, run.params, run.instance))


# Jitted once for all runs of a shape: the model and the source are static.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _generated_accuracy(config: ModelConfig, source: PointerChasing,
                        params: dict, instance: Instance) -> jax.Array:
  batch = source.batch(instance, 0, 'validation', 0, EXAMPLES)

  def say(tokens_BT: jax.Array, position: jax.Array
          ) -> tuple[jax.Array, jax.Array]:
    logits_BTV = model.apply(config, params, tokens_BT).logits_BTV
    emitted_B = logits_BTV[:, position].argmax(-1)
    return source.emit(tokens_BT, position, emitted_B), emitted_B

  _, said_TB = jax.lax.scan(
    say, source.prompt(batch.tokens_BT),
    jnp.arange(source.query_position, source.length))
  hop_B = jnp.asarray(source.hops)[batch.group_B]
  answer_B = said_TB[hop_B - 1, jnp.arange(EXAMPLES)]
  return _by_group(answer_B == source.answers(batch), batch.group_B,
                   len(source.hops))


def initial_accuracy(run: Subject) -> float:
  """Accuracy of the untrained network: what the architecture gives away."""
  return float(_accuracy(run.config.model, run.source, run.initial,
                         run.instance))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _accuracy(config: ModelConfig, source: Source, params: dict,
              instance: Instance) -> jax.Array:
  batch = source.batch(instance, 0, 'validation', 0, EXAMPLES)
  logits_BTV = model.apply(config, params, batch.tokens_BT).logits_BTV
  hits_BT = (logits_BTV.argmax(-1) == batch.targets_BT) * batch.weights_BT
  return hits_BT.sum() / batch.weights_BT.sum()


def shortcut_accuracy(run: Subject) -> list[float]:
  """The better of "one link on" and "one link back", for each k."""
  source = run.source
  assert isinstance(source, PointerChasing)
  batch = jax.tree.map(np.asarray, run.held_out(EXAMPLES))
  v, hops = source.symbols, len(source.hops)
  tails_BT, heads_BT = np.divmod(batch.tokens_BT[:, :v], v)
  asked_B = (batch.tokens_BT[:, source.query_position] - source.first_query
             ) // hops
  forward_B = heads_BT[tails_BT == asked_B[:, None]]
  backward_B = tails_BT[heads_BT == asked_B[:, None]]
  answer_B = np.asarray(source.answers(batch)) - source.first_symbol
  return [max(float(np.mean(guess_B[asked] == answer_B[asked]))
              for guess_B in (forward_B, backward_B))
          for asked in (batch.group_B == k for k in range(hops))]


def _by_group(hits_B: jax.Array, group_B: jax.Array, groups: int) -> jax.Array:
  total = jax.ops.segment_sum(hits_B.astype(jnp.float32), group_B, groups)
  return total / jax.ops.segment_sum(jnp.ones_like(total[group_B]), group_B,
                                     groups)


PART = Part('composition', sweep, measure, declare, figures.composition, notes,
            sentence=words.composition, problem=problems.composition)
