"""Text: held-out bits per byte against n, and what each layer predicts (D6).

Prediction. More layers lower the bits per byte of held-out prose: at fixed
width, and also against one layer that is wider, so that it holds as many
parameters and costs as many FLOPs. Refuted if the deepest is shown to be within
0.03 bits per byte of one layer at fixed width. If it gains there and is shown
not to gain at equal cost, parameters did it, and the verdict is conditional.

`cpu` compares n = 1 and 4. On bytes, in windows of 64, one layer of twice the
width has the parameters of four in its stack and their FLOPs at once: what
four narrow layers spend on attention it spends on the unembedding. `cpu-long`
has n up to 8, equal parameters and equal FLOPs apart, and the depth gain with
LayerNorm scaling (Sun et al., 2025), since under plain pre-norm deep layers may
do little (the curse of depth), which would say nothing of depth.

Of the learning rates 2, 4, 8 and 16e-3 the third was the best of each arm of
`cpu`, on other seeds; CompleteP carries it to other depths and widths.
The corpus is `data.source.text_path`; by default the English prose that ships
with Python. The unit of replication is the seed (initial weights and order of
the batches), so what is found holds for that corpus.
"""

import functools
from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy import sparse

from data.config import DataConfig
from data.sources.text import TextConfig
from experiments.claims.depth import figures, problems, words
from experiments.instruments import lens, passages
from experiments.instruments.network import Network
from experiments.judge import samples
from experiments.judge.declaration import (
  Control,
  Effect,
  Rule,
  Stratum,
)
from experiments.runs.subject import Row, Subject
from experiments.sweeps import overrides
from experiments.sweeps.algebra import (
  Cell,
  Pins,
  Sweep,
  as_large_as,
  cells,
  derive,
  matched,
  product,
)
from experiments.sweeps.experiment import Part
from model import AttentionConfig, ModelConfig, count
from model.matching import Hold
from train import programs
from train.config import Config, MeshConfig, TrainConfig

DEPTHS = {'smoke': (1, 2), 'cpu': (1, 4), 'cpu-long': (1, 2, 4, 8),
          'accelerator': (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)}
SEEDS = {'smoke': range(2), 'cpu': range(8, 16), 'cpu-long': range(8, 16),
         'accelerator': range(8, 16)}
# The depth whose cost the other depths of a matched family keep.
BASE_DEPTH = {'smoke': 2, 'cpu': 4, 'cpu-long': 8, 'accelerator': 12}
LENS_WINDOWS = 32
# Families beside that of fixed width: what each holds, or the norms it has.
EQUAL: Mapping[str, Hold] = {
  'equal cost': 'stack', 'equal parameters': 'stack',
  'equal FLOPs': 'flops'}
FAMILIES = {
  'smoke': ('equal cost',), 'cpu': ('equal cost',),
  'cpu-long': ('equal parameters', 'equal FLOPs', 'scaled norms'),
  'accelerator': ('equal parameters', 'equal FLOPs', 'scaled norms')}
# Shares by which a family may differ from its base: widths come in steps.
LOOSEST = {'smoke': 0.07, 'cpu': 0.015, 'cpu-long': 0.06, 'accelerator': 0.07}
SMALLEST = 0.03  # bits per byte

CPU = Config(
  model=ModelConfig(d_model=32, mixer=AttentionConfig(n_heads=2), base_width=32,
                    base_layers=2),
  data=DataConfig(TextConfig(length=64), batch_size=8),
  train=TrainConfig(steps=1400, learning_rate=8e-3, evaluation_batches=1000),
)
BASES = {
  'smoke': overrides.replace(CPU, {
    'model.unroll': 1, 'train.steps': 10, 'train.evaluation_batches': 4}),
  'cpu': CPU,
  # A width with matched ones near it at every n.
  'cpu-long': overrides.replace(CPU, {
    'model.d_model': 40, 'model.base_width': 40, 'train.steps': 4800}),
  'accelerator': Config(
    model=ModelConfig(d_model=256, mixer=AttentionConfig(n_heads=8),
                      base_width=256, base_layers=4, dtype='bfloat16'),
    data=DataConfig(TextConfig(length=256), batch_size=64),
    train=TrainConfig(steps=20_000, learning_rate=1e-3, chunk_steps=500,
                      evaluate_every=2000, checkpoint_every=2000,
                      evaluation_batches=64),
    mesh=MeshConfig(pack=1)),  # one run fills a device
}
SIGMA = 0.05  # of one seed's gain, in bits per byte, in pilots
COUNTED = 2**24  # training tokens whose frequencies are taken


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Families over n: at fixed width, at equal cost, with scaled norms."""
  fixed = product(BASES[preset], {
    'model.n_layers': DEPTHS[preset], 'train.seed': SEEDS[preset]}, pins)
  return tuple(cell for name in ('fixed width', *FAMILIES[preset])
               for cell in cells('text', name, _family(preset, name, fixed)))


def _family(preset: str, name: str, fixed: Sweep) -> Sweep:
  """The runs of fixed width, as one of the families has them."""
  if name in EQUAL:
    return matched(fixed, BASE_DEPTH[preset], EQUAL[name])
  if name == 'scaled norms':
    return derive(fixed, lambda config: config if (
      config.model.n_layers == 1) else overrides.replace(
        config, {'model.norm_placement': 'scaled'}))  # n = 1 is scaled by 1
  return fixed


def notes(preset: str, pins: Pins) -> list[str]:
  """What `fathom plan` adds: how close the matched families come."""
  depths = product(BASES[preset], {'model.n_layers': DEPTHS[preset]}, pins)
  return [f'{name}: {as_large_as(config, BASE_DEPTH[preset], hold).describe()}'
          for name, hold in EQUAL.items() if name in FAMILIES[preset]
          for config in depths]


def asks(preset: str) -> dict[str, str]:
  """A corpus where the embedded prose is too small for the steps."""
  if preset != 'accelerator':
    return {}
  base = BASES[preset]
  train = programs.source_of(base).instance(0)['train']
  read = base.train.steps * base.data.batch_size * base.data.source.length
  return {'data.text_path': (
    'a text file, a folder of them, or what fathom data prepare wrote: its '
    f'{base.train.steps:,} steps would read the embedded prose '
    f'{read / len(train):.0f} times')}


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides."""
  first, *_, last = depths = DEPTHS[preset]
  families = ('fixed width', *FAMILIES[preset])
  words = {
    'fixed width': 'at the same width',
    'equal cost': 'with as many parameters in the layers and as many FLOPs',
    'equal parameters': 'with as many parameters in the layers',
    'equal FLOPs': 'with as many FLOPs',
    'scaled norms': 'at the same width, with LayerNorm scaling'}
  gains = {name: _gain(name, f'{last} layers need fewer bits per byte than '
                       f'{first}, {words[name]}.', name, first, last)
           for name in families}
  effects = list(gains.values())
  if len(depths) > 2:  # two depths have no trend beside the gain
    effects.append(Effect(
      'trend', 'Bits per byte fall with n at fixed width.', 'rank correlation',
      functools.partial(samples.ordered, metric='bits_per_byte',
                        order=depths[::-1], where={'arm': 'fixed width'}),
      smallest=0.5, analysis='trend', sided='greater',
      positive=_learned('fixed width', last)))
    effects.append(_gain(
      'gain of the last layers', f'{last} layers need fewer bits per byte than '
      f'{depths[-2]}, at the same width.', 'fixed width', depths[-2], last))
  equal = [name for name in families if name in EQUAL]
  decisive = [gain.name for gain in gains.values()]
  fixed = gains['fixed width'].name
  return Stratum(
    name='text', title='Text: predicting prose',
    prediction=f'{last} layers predict held-out prose better than {first}, at '
    'fixed width and against a wider one of equal cost.',
    refutation=f'{last} layers are within {SMALLEST} bits per byte of {first} '
    'at fixed width.',
    effects=tuple(effects),
    rule=Rule(
      supported=tuple((name, 'supported') for name in decisive),
      refuted=((fixed, 'equivalent or opposite'), *(
        (gains[name].name, 'not supported') for name in equal)),
      conditional=((fixed, 'supported'), *(
        (gains[name].name, 'equivalent or opposite') for name in equal))),
    controls=tuple(
      Control(f'{name}: {what}', f'The runs of {name} differ in their '
              f'{what} by at most this share.',
              functools.partial(mismatch, arm=name, held=column,
                                base=BASE_DEPTH[preset]),
              at_most=LOOSEST[preset])
      for name in equal for what, column in _held(name).items()),
    tier='E2' if preset == 'accelerator' else 'E1')


def _gain(name: str, words: str, arm: str, fewer: int, more: int) -> Effect:
  """Bits per byte saved by `more` layers over `fewer`, in one family."""
  if not name.startswith('gain'):
    name = f'gain: {name}'
  return Effect(
    name, words, 'bits per byte',
    functools.partial(
      samples.paired_difference, metric='bits_per_byte',
      a={'arm': arm, 'n_layers': fewer}, b={'arm': arm, 'n_layers': more}),
    smallest=SMALLEST, positive=_learned(arm, more), sigma=SIGMA)


def _learned(arm: str, n: int) -> Control:
  """An arm that may be compared at all: it has learned more than pairs."""
  return Control(
    f'learned context: {arm}', f'With n = {n} it beats the frequencies of '
    'pairs of tokens.', functools.partial(context_gain, arm=arm, n=n),
    at_least=0.1)


def _held(family: str) -> dict[str, str]:
  """What a family holds equal, and the column or metric that counts it."""
  parameters = {'parameters of the layers': 'stack_parameters'}
  flops = {'FLOPs': 'train_flops'}
  return {'equal cost': parameters | flops, 'equal parameters': parameters,
          'equal FLOPs': flops}[family]


def context_gain(table: pl.DataFrame, arm: str, n: int) -> float:
  """Bits per byte saved over a model that knows the token before alone."""
  where = {'arm': arm, 'n_layers': n}
  return (samples.average(table, 'bigram_bits_per_byte', where)
          - samples.average(table, 'bits_per_byte', where))


def mismatch(table: pl.DataFrame, arm: str, held: str, base: int) -> float:
  """The largest share by which a family strays from its runs of n = base."""
  runs = table.filter(arm=arm)
  numbers = runs if held in runs.columns else runs.filter(
    metric=held).with_columns(pl.col('value').alias(held))
  if set(numbers['n_layers']) != set(runs['n_layers']):
    raise samples.MissingMeasurement(f'{arm}: no {held}', held, {'arm': arm})
  own = numbers.filter(n_layers=base)[held].to_numpy().mean()
  return float(np.abs(numbers[held].to_numpy() / own - 1).max())


def measure(run: Subject) -> list[Row]:
  """Bits per byte of the whole model, of each layer's lens, of frequencies."""
  facts = run.source.fingerprint
  corpus = {'corpus': run.config.data.source.name}
  return [
    Row('bits_per_byte', float(run.scores['bits_per_byte'][0])),
    Row('loss', float(run.scores['loss'][0])),
    *frequency_rows(run),
    Row('stack_parameters', count.parameters(run.config.model).stack),
    Row('held_out_bytes', facts['held_out_bytes'], corpus),
    Row('left_out', facts['left_out'], corpus),
    *lens_rows(run)]


def lens_rows(run: Subject) -> list[Row]:
  """The logit lens after each layer, over held-out windows."""
  config, source = run.config, run.source
  batch = run.held_out(LENS_WINDOWS)
  network = Network(run.params, config.model)
  seen = lens.read(network, lens.streams(network, passages.of_batch(batch)))
  assert source.bytes_V is not None
  scored = np.asarray(batch.weights_BT) * source.bytes_V[batch.targets_BT]
  per_byte = seen.positions / scored.sum()
  return [row for layer in range(config.model.n_layers + 1) for row in (
    Row('lens_bits_per_byte', float(seen.bits_N[layer] * per_byte),
        {'layer': layer}),
    Row('lens_kl', float(seen.divergence_N[layer]),
        {'layer': layer}))]


def frequency_rows(run: Subject) -> list[Row]:
  """Held-out bits per byte of the frequencies of the training tokens.

  Of tokens alone, and of tokens after the one before them, which fall back on
  the former where a pair is rare; over what the run itself is scored on (see
  `data/text/leak.py`).
  """
  source = run.source
  windows = source.evaluation_steps('validation', 1)
  assert source.bytes_V is not None
  assert windows
  train = np.asarray(run.instance['train'][:COUNTED])
  size = source.vocab_size
  count_V = np.bincount(train, minlength=size)
  share_V = (count_V + 1) / (len(train) + size)
  pairs_VV = sparse.csr_array(
    (np.ones(len(train) - 1), (train[:-1], train[1:])), shape=(size, size))
  batch = run.held_out(windows)
  scored = np.asarray(batch.weights_BT) > 0
  before, after = (np.asarray(x_BT)[scored]
                   for x_BT in (batch.tokens_BT, batch.targets_BT))
  shares = {
    'unigram': share_V[after],
    'bigram': (pairs_VV[before, after] + share_V[after])
              / (pairs_VV.sum(1)[before] + 1)}
  size = source.bytes_V[after].sum()
  return [Row(f'{name}_bits_per_byte', float(-np.log2(share).sum() / size))
          for name, share in shares.items()]


PART = Part('text', sweep, measure, declare, figures.text, notes, asks,
            sentence=words.text, problem=problems.text)
