"""Composition as published: k-hop induction over random strings (card D1-std).

Sanford, Hsu and Telgarsky (2024) train GPT-2s of n layers on strings of four
characters, k from 0 to 16, and find that the least n for k links grows as
log2 k. Their code (chsanford/hop-induction-heads) is copied here: 99 tokens, an
answer asked for at every position (one token says that there is none, another
fills the first), logits read from the normalised stream without an
unembedding, weights that start at 0.02, AdamW as it comes (beta2 0.999, no
clipping), rate 1e-4 with 1,000 steps of warm-up, then linear decay. They
trained 2 to 6 layers once; n = 1, 7 and 8 are new, and so are eight seeds.

Not copied, since our models and optimizer have none of it: dropout of 0.1,
biases on attention's projections, weight decay (0.01) of norms and biases. The
arm `own settings` scores the answerable positions alone, with an unembedding,
beta2 0.95, clipping at 1 and weights scaled by fan in: what is found with both
does not hang on them.
"""

import functools
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy import optimize, stats

from data.config import DataConfig
from data.sources.hop_string import HopStringConfig
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.judge.statistics import Sample
from experiments.sweeps import overrides
from experiments.sweeps.algebra import Cell, Pins, cells, product
from model import LearnedPosition, ModelConfig
from train.config import Config, TrainConfig

STRATUM = 'composition'
DEPTHS = tuple(range(1, 9))
HOPS = tuple(range(17))
JUDGED = HOPS[1:]  # k = 0 asks for the character itself
SEEDS = range(8, 16)
ERROR = 0.1  # below it, k links count as solved
SLOPES = (0.7, 1.3)  # layers for each doubling of k

PUBLISHED = Config(
  model=ModelConfig(d_model=128, position=LearnedPosition(), vocab_size=128,
                    unembedding='none', parameterisation='gpt2'),
  data=DataConfig(HopStringConfig(length=99, symbols=4, hops=HOPS,
                                  trained='all'), batch_size=32),
  train=TrainConfig(steps=100_001, learning_rate=1e-4, weight_decay=0.01,
                    decay='linear', warmup_fraction=0.01, final_fraction=0.0,
                    beta2=0.999, clip_norm=1e9, evaluation_batches=54,
                    evaluate_every=10_000, checkpoint_every=10_000,
                    chunk_steps=1000))
OWN = overrides.replace(PUBLISHED, {
  'model.unembedding': 'separate', 'model.parameterisation': 'standard',
  'model.vocab_size': 30, 'data.source.trained': 'answerable',
  'train.beta2': 0.95, 'train.clip_norm': 1.0})
ARMS = {'4 heads': (PUBLISHED, 4), '8 heads': (PUBLISHED, 8),
        'own settings': (OWN, 4)}


def sweep(pins: Pins) -> tuple[Cell, ...]:
  """Every depth, eight times, with 4 heads, with 8, and with own settings."""
  return tuple(cell for arm, (base, heads) in ARMS.items() for cell in cells(
    STRATUM, arm, product(base, {
      'model.mixer.n_heads': (heads,), 'model.n_layers': DEPTHS,
      'train.seed': SEEDS}, pins)))


def notes() -> list[str]:
  """What `fathom plan` adds."""
  return ['published numbers, in a file of the columns arm, n_layers, hops, '
          'metric (accuracy) and value, are set beside ours by '
          'fathom results depth --preset=accelerator --beside=FILE']


def declare() -> Stratum:
  """What is predicted, and what decides."""
  effects = tuple(Effect(
    f'slope, {arm}', 'With each doubling of k the least n that solves it '
    f'grows by about one ({arm}).', 'layers for each doubling of k',
    functools.partial(slopes, arm=arm), band=SLOPES,
    positive=Control(
      f'able, {arm}', f'Four links are solved by 8 layers ({arm}).',
      functools.partial(samples.average, metric='accuracy', where={
        'arm': arm, 'n_layers': DEPTHS[-1], 'hops': 4}),
      at_least=1 - ERROR)) for arm in ARMS)
  decisive = effects[:2]  # own settings say whether the protocol matters
  return Stratum(
    name=STRATUM, title='Composition: k-hop induction, as published',
    prediction='The least n that solves k links grows as log2 k.',
    refutation=f'The slope lies outside {SLOPES} with 4 heads and with 8.',
    effects=effects,
    rule=Rule(supported=tuple((e.name, 'supported') for e in decisive),
              refuted=tuple((e.name, 'opposite') for e in decisive)),
    tier='E2')


def slopes(table: pl.DataFrame, arm: str) -> Sample:
  """The slope of the least n over log2 k, for each seed."""
  units, accuracy = samples.conditions(table, 'accuracy', [
    {'arm': arm, 'n_layers': n, 'hops': k} for k in JUDGED for n in DEPTHS])
  error_UKN = 1 - accuracy.reshape(len(units), len(JUDGED), len(DEPTHS))
  values = [slope(error_KN, DEPTHS, JUDGED) if np.isfinite(error_KN).all()
            else np.nan for error_KN in error_UKN]
  kept = [i for i, value in enumerate(values) if np.isfinite(value)]
  return Sample(np.array(values)[kept], tuple(units[i][1] for i in kept),
                tuple(units[i][0] for i in kept),
                excluded=len(units) - len(kept))


def slope(error_KN: np.ndarray, depths: Sequence[int],
          hops: Sequence[int]) -> float:
  """The slope b of n_min = a + b log2 k, by maximum likelihood.

  n_min is where the error, interpolated, first crosses `ERROR`; where the
  shallowest network is below it n_min is that or less, and where none is it is
  more than the deepest. Both are modelled as such, with normal noise (Tobin,
  1958): left as the depths they are at, they would flatten the slope.

  Args:
    error_KN: error of each k and n.
    depths: n, rising.
    hops: k, from 1 on.

  Returns:
    Layers for each doubling of k; NaN where fewer than two k have a crossing,
    which no line goes through.
  """
  least_K = np.array([least(error_N, depths) for error_N in error_KN])
  low_K, high_K = least_K <= depths[0], np.isinf(least_K)
  between_K = ~low_K & ~high_K
  if between_K.sum() < 2:
    return np.nan
  x_K = np.log2(hops)

  def surprise(line: np.ndarray) -> float:
    intercept, steepness, log_spread = line
    spread = 0.05 + np.exp(log_spread)  # of error curves on 100 sequences
    fit_K = intercept + steepness * x_K
    return -float(
      stats.norm.logpdf(least_K[between_K], fit_K[between_K], spread).sum()
      + stats.norm.logcdf(depths[0], fit_K[low_K], spread).sum()
      + stats.norm.logsf(depths[-1], fit_K[high_K], spread).sum())

  b, a = np.polyfit(x_K[between_K], least_K[between_K], 1)
  best = optimize.minimize(surprise, (a, b, 0.0), method='Nelder-Mead',
                           options={'maxiter': 2000, 'fatol': 1e-9})
  return float(best.x[1])


def least(error_N: np.ndarray, depths: Sequence[int]) -> float:
  """Where the error first falls below `ERROR`; inf where it never does."""
  below = np.flatnonzero(error_N < ERROR)
  if not len(below):
    return np.inf
  first = below[0]
  if first == 0:
    return float(depths[0])
  before, after = error_N[first - 1], error_N[first]
  share = (before - ERROR) / (before - after)
  return depths[first - 1] + share * (depths[first] - depths[first - 1])
