"""What networks know and use of each level of a tree: the numbers of D2."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import model
from data.sources.tree import Tree
from experiments.instruments.tree import decodability, interchange
from experiments.runs.subject import Row, Subject
from model import ModelConfig

EXAMPLES = 4096  # for the excess over Bayes


def measure(run: Subject) -> list[Row]:
  """Excess over Bayes, and what each layer knows and uses of each level."""
  assert isinstance(run.source, Tree)
  height, objective = run.source.levels, run.source.objective
  bits = excess(run)
  asked = {'joint': slice(0, 2), 'root': slice(0, 1), 'masked': slice(1, 2)}[
    objective]
  rows = [Row('loss', float(run.scores['loss'][0])),
          Row('excess_bits', float(bits.excess[asked].mean())),
          Row('learned_share', float(
            1 - bits.excess[asked].sum() / bits.knowable[asked].sum())),
          Row('sampled_excess_bits', float(bits.sampled))]
  rows += [Row('excess_bits', float(value), {'level': level}) for level, value
           in list(zip((height, 0), bits.excess))[asked]]
  if run.config.model.n_layers < height:
    return rows  # no layer for each level
  return rows + level_rows(run)


class Excess(NamedTuple):
  """How far a model is from exact inference, in bits.

  Attributes:
    excess: (2,), KL(exact posterior || model) at the root and at the masked
      leaf, which is the excess of the loss over Bayes' without the noise of
      the targets.
    knowable: (2,), KL(exact posterior || evenly): what a guess lacks.
    sampled: the excess with the noise of the targets, over what is asked,
      which a leak would make negative.
  """

  excess: np.ndarray
  knowable: np.ndarray
  sampled: np.ndarray


def excess(run: Subject) -> Excess:
  """Compares a model with exact inference on held-out sentences."""
  assert isinstance(run.source, Tree)
  return Excess(*map(np.asarray, _excess(
    run.config.model, run.source, run.params, dict(run.instance))))


# Jitted once for all runs of a shape: the model and the source are static.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _excess(config: ModelConfig, source: Tree, params: dict,
            instance: dict) -> tuple[jax.Array, jax.Array, jax.Array]:
  batch = source.batch(instance, 0, 'validation', 0, EXAMPLES)
  belief = source.posteriors(instance, batch.tokens_BT)
  exact_BTV = jnp.concatenate([belief[source.levels], belief[0]], axis=1)
  log_BTV = jax.nn.log_softmax(
    model.apply(config, params, batch.tokens_BT).logits_BTV)

  def lacks(log_BTV):
    bits_BT = jax.scipy.special.rel_entr(
      exact_BTV, jnp.exp(log_BTV[..., :source.symbols])).sum(-1) / jnp.log(2)
    bits_BT *= batch.weights_BT
    return jnp.stack([bits_BT[:, source.root_position].mean(),
                      bits_BT[:, 1:].sum(-1).mean()])

  taken_BT = jnp.take_along_axis(
    log_BTV, batch.targets_BT[..., None], -1)[..., 0]
  sampled_BT = -taken_BT - source.bayes_loss(instance, batch)
  sampled = (sampled_BT * batch.weights_BT).sum() / batch.weights_BT.sum()
  evenly_BTV = jnp.full_like(log_BTV, -jnp.log(source.symbols))
  return lacks(log_BTV), lacks(evenly_BTV), sampled / jnp.log(2)


def level_rows(run: Subject) -> list[Row]:
  """The instruments: decodability and interchange, by layer and level."""
  assert isinstance(run.source, Tree)
  # To fit on, and as many again to score: 2048 in the cpu preset.
  examples = (2 * run.config.train.evaluation_batches
              * run.config.data.batch_size)
  given = (run.config.model, run.params, run.initial, run.source, run.instance,
           run.config.train.seed, examples)
  known = decodability.measure(*given)
  # Level 1 is no level to judge: see above.
  judged = np.array(known.levels) > 1
  emerged = decodability.emergence(known.score)
  # Where no two levels emerge there is no order.
  order = float(np.nan_to_num(decodability.order(
    known.levels, np.where(judged, emerged, np.nan))))
  rows = [
    *_grids(known.levels, {
      'decodability': known.score, 'probe_accuracy': known.accuracy,
      'probe_accuracy_init': known.accuracy_init,
      'probe_accuracy_control': known.accuracy_control}),
    *_by_level('probe_accuracy_bayes', known.levels, known.accuracy_bayes),
    *_by_level('emergence_layer', known.levels, emerged),
    Row('order', order),
    # Under the filter an order the wrong way round counts as none: the mean of
    # the difference is then above a bound only if the order itself is, too.
    Row('order_counted', max(order, 0.0) if run.source.filter_level else order),
    Row('highest_decodability', float(
      np.nan_to_num(known.score).max(0)[judged].min())),
  ]
  if run.source.filter_level:
    return rows  # what its network has no use for is not asked to be used
  used = interchange.measure(*given)
  # The root is what is predicted: to swap it is to swap the answer.
  below = judged & (np.array(known.levels) < run.source.levels)
  if not below.any():
    below = judged
  where = np.where(judged, emerged, np.nan)
  at = [(math.ceil(layer), i) for i, layer in enumerate(where)
        if np.isfinite(layer)]
  selectivity = known.accuracy - known.accuracy_control
  return [
    *rows,
    *_grids(used.levels, {
      'interchange_accuracy': used.accuracy,
      'interchange_accuracy_random': used.accuracy_random,
      'interchange_accuracy_init': used.accuracy_init}),
    *_by_level('interchange_ceiling', used.levels, used.ceiling),
    Row('interchange_ceiling', float(
      np.nan_to_num(used.ceiling)[below].mean())),
    *_by_level('interchange_normalised', used.levels, np.array([
      used.normalised(np.where(np.array(used.levels) == level, emerged, np.nan))
      for level in used.levels])),
    # A level that does not emerge is not used.
    Row('interchange_normalised', float(
      np.nan_to_num(used.normalised(np.where(below, emerged, np.nan)))
      * np.isfinite(emerged[below]).mean())),
    Row('selectivity', min((float(selectivity[a]) for a in at), default=0.0)),
  ]


def _grids(levels: Sequence[int], grids: Mapping[str, np.ndarray]) -> list[Row]:
  """The finite entries of arrays (layers, levels)."""
  return [Row(metric, float(value), {'layer': layer, 'level': level})
          for metric, grid in grids.items()
          for layer, values in enumerate(grid)
          for level, value in zip(levels, values) if np.isfinite(value)]


def _by_level(metric: str, levels: Sequence[int],
              values: np.ndarray) -> list[Row]:
  return [Row(metric, float(value), {'level': level})
          for level, value in zip(levels, values) if np.isfinite(value)]
