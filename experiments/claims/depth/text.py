"""Text: held-out bits per byte against n, and what each layer predicts.

Prediction. Each doubling of n lowers the bits per byte of held-out prose, at
fixed width and also when width shrinks so that the parameters stay equal.
Refuted if twelve layers are shown to be within 0.03 bits per byte of one at
fixed width. If only the fixed-width family gains, parameters did it, and the
verdict is conditional.

The corpus is `data.source.text_path`; by default the English prose that
ships with Python. The unit of replication is the seed (initial weights and
order of the batches), so what is found holds for that corpus.
"""

import functools
from typing import Any

import jax
import numpy as np

from data.config import DataConfig
from data.sources.text import TextConfig
from experiments.claims.depth import figures, problems, words
from experiments.instruments import lens
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps import overrides
from experiments.sweeps.algebra import (
  Cell,
  Pins,
  as_large_as,
  cells,
  matched,
  product,
)
from experiments.sweeps.experiment import Part
from model import AttentionConfig, ModelConfig, count
from train.config import Config, MeshConfig, TrainConfig

DEPTHS = {'smoke': (1, 2), 'cpu': (1, 4, 12),
          'accelerator': (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)}
SEEDS = {'smoke': 2, 'cpu': 8, 'accelerator': 8}
# The depth whose parameters the second family keeps.
BASE_DEPTH = {'smoke': 2, 'cpu': 4, 'accelerator': 12}
LENS_WINDOWS = 32
SMALLEST = 0.03  # bits per byte
LENS = jax.jit(lens.logit_lens, static_argnums=0)

CPU = Config(
  model=ModelConfig(d_model=48, mixer=AttentionConfig(n_heads=2), base_width=48,
                    base_layers=2),
  data=DataConfig(TextConfig(length=64), batch_size=8),
  train=TrainConfig(steps=300, learning_rate=4e-3,
                    evaluation_batches=1000),
)
BASES = {
  'smoke': overrides.replace(CPU, {
    'model.unroll': 1, 'train.steps': 10, 'train.evaluation_batches': 4}),
  'cpu': CPU,
  'accelerator': Config(
    model=ModelConfig(d_model=256, mixer=AttentionConfig(n_heads=8),
                      base_width=256, base_layers=4, dtype='bfloat16'),
    data=DataConfig(TextConfig(length=256), batch_size=64),
    train=TrainConfig(steps=20_000, learning_rate=1e-3, chunk_steps=500,
                      evaluate_every=2000, checkpoint_every=2000,
                      evaluation_batches=64),
    mesh=MeshConfig(pack=1)),  # one run fills a device
}


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Two families over n: at fixed width, and at matched parameters."""
  fixed = product(BASES[preset], {
    'model.n_layers': DEPTHS[preset], 'train.seed': range(SEEDS[preset])}, pins)
  return (*cells('text', 'fixed width', fixed),
          *cells('text', 'matched parameters',
                 matched(fixed, BASE_DEPTH[preset])))


def notes(preset: str, pins: Pins) -> list[str]:
  """What `fathom plan` adds: how close the matched family comes."""
  depths = product(BASES[preset], {'model.n_layers': DEPTHS[preset]}, pins)
  return [as_large_as(config, BASE_DEPTH[preset]).describe()
          for config in depths]


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  depths = DEPTHS[preset]
  able = Control('learned context',
                 'One layer beats the frequencies of tokens.',
                 functools.partial(context_gain, depth=depths[0]), at_least=0.1)

  def gain(name: str, words: str, arm: str) -> Effect:
    return Effect(
      name=name, statement=words, unit='bits per byte',
      measure=functools.partial(
        samples.paired_difference, metric='bits_per_byte',
        a={'arm': arm, 'n_layers': depths[0]},
        b={'arm': arm, 'n_layers': depths[-1]}),
      smallest=SMALLEST, positive=able)

  fixed = gain('gain at fixed width', f'{depths[-1]} layers need fewer bits '
               f'per byte than {depths[0]}, at the same width.', 'fixed width')
  equal = gain('gain at equal parameters', f'{depths[-1]} layers need fewer '
                 f'bits per byte than {depths[0]}, with as many parameters.',
                 'matched parameters')
  effects = [fixed, equal]
  if len(depths) > 2:  # two depths have no trend beside the gain
    effects.append(Effect(
      'trend', 'Bits per byte fall with n at fixed width.', 'rank correlation',
      functools.partial(samples.ordered, metric='bits_per_byte',
                        order=depths[::-1], where={'arm': 'fixed width'}),
      smallest=0.5, analysis='trend', positive=able))
  return Stratum(
    name='text', title='Text: predicting prose',
    prediction='Bits per byte fall as n grows, at fixed width and at equal '
    'parameters.',
    refutation=f'{depths[-1]} layers are within {SMALLEST} bits per byte of '
    f'{depths[0]} at fixed width.',
    effects=tuple(effects),
    rule=Rule(
      supported=tuple((effect.name, 'supported') for effect in effects),
      refuted=((fixed.name, 'equivalent'),),
      conditional=((fixed.name, 'supported'),
                   (equal.name, 'equivalent'))),
    controls=(
      Control('equal parameters', 'Parameters of the matched family differ '
              'from its base by at most this share.',
              functools.partial(parameter_mismatch, depths=depths,
                                base=BASE_DEPTH[preset]),
              at_most=0.05),),
    tier='E2' if preset == 'accelerator' else 'E1')


def context_gain(table: Any, depth: int) -> float:
  """Bits per byte saved over a model that knows token frequencies only."""
  where = {'arm': 'fixed width', 'n_layers': depth}
  return (samples.average(table, 'unigram_bits_per_byte', where)
          - samples.average(table, 'bits_per_byte', where))


def parameter_mismatch(table: Any, depths: tuple[int, ...],
                       base: int) -> float:
  """The largest share by which the matched family differs from its base."""
  sizes = {n: samples.average(table, 'stack_parameters', {
    'arm': 'matched parameters', 'n_layers': n}) for n in depths}
  return max(abs(size / sizes[base] - 1) for size in sizes.values())


def measure(run: Subject) -> list[Row]:
  """Bits per byte of the whole model, of each layer's lens, of frequencies."""
  rows = [Row('bits_per_byte', float(run.scores['bits_per_byte'][0])),
          Row('loss', float(run.scores['loss'][0])),
          Row('unigram_bits_per_byte', unigram_bits_per_byte(run)),
          Row('stack_parameters', count.parameters(run.config.model).stack)]
  return rows + lens_rows(run)


def lens_rows(run: Subject) -> list[Row]:
  """The logit lens after each layer, over held-out windows."""
  config, source = run.config, run.source
  batch = run.held_out(LENS_WINDOWS)
  seen = jax.tree.map(np.asarray, LENS(config.model, run.params, batch))
  assert source.bytes_V is not None
  scored = np.asarray(batch.weights_BT) * source.bytes_V[batch.targets_BT]
  per_byte = seen.positions / scored.sum()
  return [row for layer in range(config.model.n_layers + 1) for row in (
    Row('lens_bits_per_byte', float(seen.bits_N[layer] * per_byte),
        {'layer': layer}),
    Row('lens_kl', float(seen.divergence_N[layer]),
        {'layer': layer}))]


def unigram_bits_per_byte(run: Subject) -> float:
  """Held-out bits per byte of the token frequencies of the training split.

  Over what the run itself is scored on: see `data/text/leak.py`.
  """
  source = run.source
  assert source.bytes_V is not None
  counts_V = np.bincount(run.instance['train'], minlength=source.vocab_size)
  share_V = (counts_V + 1) / (counts_V.sum() + source.vocab_size)
  windows = source.evaluation_steps('validation', 1)
  assert windows
  batch = run.held_out(windows)
  targets = np.asarray(batch.targets_BT)[np.asarray(batch.weights_BT) > 0]
  return float(-np.log2(share_V[targets]).sum() / source.bytes_V[targets].sum())


PART = Part('text', sweep, measure, declare, figures.text, notes,
            sentence=words.text, problem=problems.text)
