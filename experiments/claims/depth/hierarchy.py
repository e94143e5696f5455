"""Hierarchy: does each layer climb a level of a tree? (card D2)

Sentences of 2^l leaves grow from a root by a random tree grammar; one leaf is
masked. The model predicts the root and the masked leaf, and exact inference
says what could be known (Garnier-Brun et al., 2025).

Prediction. Higher levels become decodable at later layers, half a layer a
level or more; the excess loss over Bayes' falls with n up to n = l; and the
layer where a level emerges uses it: swapping the level's value there changes
the prediction as exact inference says. Refuted if levels show no order and one
layer is within 0.02 bit of l layers. Conditional if levels are ordered and the
loss is shown not to need the layers.

Full attention sees all leaves at once, so this is about what training finds,
not about what a layer could express.

The unit of replication is the grammar, one seed each.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import model
from data.config import DataConfig
from data.sources.tree import Tree, TreeConfig
from experiments.claims.depth import figures
from experiments.instruments.tree import decodability, interchange
from experiments.judge import samples
from experiments.judge.declaration import Control, Effect, Rule, Stratum
from experiments.runs.subject import Row, Subject
from experiments.sweeps import overrides
from experiments.sweeps.algebra import Cell, Pins, cells, zipped
from experiments.sweeps.experiment import Part
from model import AttentionConfig, ModelConfig
from train.config import Config, TrainConfig

BASES = {
  'smoke': Config(
    model=ModelConfig(d_model=32, mixer=AttentionConfig(n_heads=1),
                      position='learned',
                      mask='bidirectional', base_width=32, unroll=1),
    data=DataConfig(TreeConfig(symbols=4, levels=2), batch_size=32),
    train=TrainConfig(steps=10, learning_rate=3e-3, evaluation_batches=2)),
  'cpu': Config(
    model=ModelConfig(d_model=32, mixer=AttentionConfig(n_heads=1),
                      position='learned',
                      mask='bidirectional', norm='rms', activation='relu',
                      base_width=32),
    data=DataConfig(TreeConfig(symbols=4, levels=3), batch_size=128),
    train=TrainConfig(steps=1000, learning_rate=3e-3, weight_decay=0.3,
                      warmup_fraction=0.2, evaluation_batches=8)),
  'accelerator': Config(
    model=ModelConfig(d_model=128, mixer=AttentionConfig(n_heads=1),
                      position='learned',
                      mask='bidirectional', base_width=128, base_layers=4),
    data=DataConfig(TreeConfig(symbols=4, levels=4), batch_size=128),
    train=TrainConfig(steps=50_000, learning_rate=1e-3, chunk_steps=1000,
                      evaluation_batches=16, checkpoint_every=10_000)),
}
DEPTHS = {'smoke': (1, 2, 3), 'cpu': (1, 2, 3, 4),
          'accelerator': (1, 2, 3, 4, 6, 8)}
GRAMMARS = {'smoke': 2, 'cpu': 8, 'accelerator': 8}
HEIGHTS = {'smoke': (2,), 'cpu': (3,), 'accelerator': (4, 5)}
EXAMPLES = 4096  # for the excess over Bayes


def sweep(preset: str, pins: Pins) -> tuple[Cell, ...]:
  """Every depth on every grammar; the seed of the weights goes with it."""
  grammars = range(GRAMMARS[preset])
  planned: list[Cell] = []
  for height, n in itertools.product(HEIGHTS[preset], DEPTHS[preset]):
    shaped = overrides.replace(BASES[preset], {
      'data.source.levels': height, 'model.n_layers': n})
    planned += cells('hierarchy', f'l = {height}', zipped(shaped, {
      'data.seed': grammars, 'train.seed': grammars}, pins))
  return tuple(planned)


def declare(preset: str) -> Stratum:
  """What is predicted, and what decides: judged at the lowest height."""
  height, deepest = HEIGHTS[preset][0], DEPTHS[preset][-1]
  arm = {'arm': f'l = {height}'}

  def at(n: int) -> dict:
    return {**arm, 'n_layers': n}

  gain = functools.partial(samples.paired_difference, metric='excess_bits',
                           a=at(1), b=at(height))
  able = Control(
    'selectivity', 'Probes read the levels above the first better than '
    'arbitrary symbols for the same leaves.', functools.partial(
      samples.average, metric='selectivity', where=at(deepest)), at_least=0.1)
  effects = (
    Effect('order of levels', 'A level emerges half a layer or more after the '
           'level below it.', 'layers a level',
           functools.partial(samples.values, metric='abstraction_slope',
                             where=at(deepest)), smallest=0.5,
           positive=able),
    Effect('trend', f'Excess loss falls from n = 1 to n = {height}.',
           'rank correlation',
           functools.partial(
             samples.ordered, metric='excess_bits', where=arm,
             order=tuple(n for n in DEPTHS[preset] if n <= height)[::-1]),
           smallest=0.5, analysis='trend', positive=able
           ) if height > 2 else
    Effect('trend', 'Excess loss falls from n = 1 to n = 2.', 'bits', gain,
           smallest=0.02, positive=able),
    Effect('gain', f'{height} layers come closer to Bayes than one.', 'bits',
           gain, smallest=0.05, positive=able),
    Effect('interchange', 'Where a level emerges, its value is used as exact '
           'inference would.', 'share of predictions',
           functools.partial(samples.values, metric='interchange_at_emergence',
                             where=at(deepest)), smallest=0.6,
           positive=able),
    Effect('any gain', f'{height} layers come closer to Bayes at all.', 'bits',
           gain, smallest=0.02, positive=able),
  )
  return Stratum(
    name='hierarchy', title='Hierarchy: climbing a tree with exact inference',
    prediction='Higher levels emerge at later layers, the loss falls towards '
    f"Bayes' until n = {height}, and what emerges is used.",
    refutation='The levels show no order, and one layer is within 0.02 bit of '
    f'{height}.',
    effects=effects,
    rule=Rule(
      supported=tuple((name, 'supported') for name in (
        'order of levels', 'trend', 'gain', 'interchange')),
      refuted=(('order of levels', 'not supported'),
               ('any gain', 'equivalent')),
      conditional=(('order of levels', 'supported'),
                   ('gain', 'equivalent'))),
    controls=(
      Control('nobody beats Bayes', 'On the symbols that were drawn, no model '
              'does better than exact inference.', functools.partial(
                samples.average, metric='sampled_excess_bits',
                where=at(deepest)), at_least=-0.02),
      Control('random subspace', 'Swapping a random subspace of the same rank '
              'seldom does the same.', functools.partial(
                samples.average, metric='interchange_random',
                where=at(deepest)), at_most=0.4)),
    tier='E2' if preset == 'accelerator' else 'E1')


def measure(run: Subject) -> list[Row]:
  """Excess over Bayes, and what each layer knows and uses of each level."""
  assert isinstance(run.source, Tree)
  height = run.source.levels
  excess = excess_bits(run)
  rows = [Row('loss', float(run.scores['loss'][0])),
          Row('excess_bits', float(excess[:2].mean())),
          Row('excess_bits', float(excess[0]), {'level': height}),
          Row('excess_bits', float(excess[1]), {'level': 0}),
          Row('sampled_excess_bits', float(excess[2]))]
  if run.config.model.n_layers <= height:
    return rows  # the instruments want a layer to spare
  return rows + level_rows(run)


def excess_bits(run: Subject) -> np.ndarray:
  """How far the model is from exact inference, in bits.

  Returns:
    KL(exact posterior || model) at the root and at the masked leaf, which is
    the excess of the loss over Bayes' without the noise of the targets; and the
    excess with that noise, over both, which a leak would make negative.
  """
  assert isinstance(run.source, Tree)
  return np.asarray(_excess_bits(run.config.model, run.source, run.params,
                                 dict(run.instance)))


# Jitted once for all runs of a shape: the model and the source are static.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _excess_bits(config: ModelConfig, source: Tree, params: dict,
                 instance: dict) -> jax.Array:
  batch = source.batch(instance, 0, 'validation', 0, EXAMPLES)
  belief = source.posteriors(instance, batch.tokens_BT)
  exact_BTV = jnp.concatenate([belief[source.levels], belief[0]], axis=1)
  logits_BTV = model.apply(config, params, batch.tokens_BT).logits_BTV
  log_BTV = jax.nn.log_softmax(logits_BTV)[..., :source.symbols]
  bits_BT = jax.scipy.special.rel_entr(
    exact_BTV, jnp.exp(log_BTV)).sum(-1) / jnp.log(2)
  leaf_B = (bits_BT * batch.weights_BT)[:, 1:].sum(-1)
  taken_BT = jnp.take_along_axis(
    jax.nn.log_softmax(logits_BTV), batch.targets_BT[..., None], -1)[..., 0]
  sampled_BT = -taken_BT - source.bayes_loss(instance, batch)
  sampled = (sampled_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
  return jnp.stack([bits_BT[:, source.root_position].mean(), leaf_B.mean(),
                    sampled / jnp.log(2)])


def level_rows(run: Subject) -> list[Row]:
  """The instruments: decodability and interchange, by layer and level."""
  assert isinstance(run.source, Tree)
  seed = run.config.train.seed
  given = (run.config.model, run.params, run.initial, run.source, run.instance,
           seed)
  # To fit on, and as many again to score: 2048 in the cpu preset.
  examples = (2 * run.config.train.evaluation_batches
              * run.config.data.batch_size)
  known = decodability.measure(*given, examples)
  used = interchange.measure(*given, examples)
  grids = {
    'decodability': known.score, 'probe_accuracy': known.accuracy,
    'probe_accuracy_init': known.accuracy_init,
    'probe_accuracy_control': known.accuracy_control,
    'interchange_accuracy': used.accuracy,
    'interchange_accuracy_random': used.accuracy_random,
    'interchange_accuracy_init': used.accuracy_init,
  }
  rows = [Row(metric, float(value), {'layer': layer, 'level': level})
          for metric, grid in grids.items()
          for layer, values in enumerate(grid)
          for level, value in zip(known.levels, values) if np.isfinite(value)]
  rows += [Row('probe_accuracy_bayes', float(v), {'level': level})
           for level, v in zip(known.levels, known.accuracy_bayes)]
  rows += [Row('interchange_ceiling', float(v), {'level': level})
           for level, v in zip(used.levels, used.ceiling) if np.isfinite(v)]

  emerged = decodability.emergence(known.score)
  rows += [Row('emergence_layer', float(layer), {'level': level})
           for level, layer in zip(known.levels, emerged) if layer == layer]
  at = [(int(layer), i) for i, layer in enumerate(emerged) if layer == layer]
  # Where no two levels emerge there is no order, and nothing that is used.
  slope = decodability.abstraction_slope(known.levels, emerged)
  rows += [
    Row('abstraction_slope', slope if np.isfinite(slope) else 0.0),
    Row('interchange_at_emergence', _mean(used.accuracy, at)),
    Row('interchange_random', _mean(used.accuracy_random, at)),
    # Each level at its best layer. At level 1 there are so few pairs of leaves
    # that a probe can learn any labels for them; above, it cannot.
    Row('selectivity', _mean(known.accuracy - known.accuracy_control, [
      (int(known.accuracy[:, i].argmax()), i)
      for i, level in enumerate(known.levels) if level > 1])),
  ]
  return rows


def _mean(grid: np.ndarray, at: list[tuple[int, int]]) -> float:
  """The mean of a grid over (layer, level) places; 0 when there is none."""
  values = [grid[place] for place in at if np.isfinite(grid[place])]
  return float(np.mean(values)) if values else 0.0


PART = Part('hierarchy', sweep, measure, declare, figures.hierarchy)
