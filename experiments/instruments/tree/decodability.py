"""How well each layer of a network knows each level of a tree.

A node is read where a network can be expected to keep it: the mean of the
residual stream over the node's own leaf positions, and the stream at the
query position, side by side, for every node alike. No position is picked by
its score. A mean over leaves gives something away at once (the bag of leaves
tells a little about their parent); so does mixing by random attention. Both
are there in the network before training, whose score at the same layer is the
zero of the scale. Its one is what exact inference knows from the same tokens:

  D = (accuracy - accuracy_init) / (accuracy_bayes - accuracy_init)

The nodes are those of the bottom-up parse (see `parse`), in a filtered grammar
as in a full one.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

import model
from data import Instance
from data.sources.tree import Tree
from experiments.instruments import probe, stream
from experiments.instruments.tree import nodes, parse
from model.language_model import Params

EXAMPLES = 2048  # to fit the probes on, and as many again to test them
# Where training could raise accuracy by less than this, D is noise over noise:
# a probe's standard error on 2048 examples is about 0.01.
MARGIN = 0.05
# A level emerges where D crosses this share of its highest, and nowhere if that
# is below the floor, under which two random networks and those that have no use
# for a level stay.
SHARE = 0.9
FLOOR = 0.3


class Decodability(NamedTuple):
  """Arrays (n + 1, levels): streams from the embeddings on, then levels.

  Attributes:
    levels: the levels of the columns, ascending; without the leaves.
    accuracy: of probes on the network, held out, mean over a level's nodes.
    accuracy_init: of probes on the network before training.
    accuracy_control: of probes on the network for a random symbol for each
      string of leaves (a control task: Hewitt and Liang, 2019). A parent is
      itself an arbitrary function of its leaves, so what `accuracy` has more
      is what the network computes and the probe could not. It says little of
      level 1, where q^2 strings are few enough for a probe to learn.
    accuracy_bayes: (levels,), of the likeliest symbol under exact inference.
    score: D; NaN where `accuracy_bayes` is within MARGIN of `accuracy_init`.
  """

  levels: tuple[int, ...]
  accuracy: np.ndarray
  accuracy_init: np.ndarray
  accuracy_control: np.ndarray
  accuracy_bayes: np.ndarray
  score: np.ndarray


def measure(config: model.ModelConfig, params: Params, init_params: Params,
            source: Tree, instance: Instance, seed: int,
            examples: int = EXAMPLES) -> Decodability:
  """Measures a network on sentences drawn as in training.

  Compiles once for each config and shape, and the drawing of sentences once
  for each `source` object: pass the same one for all runs of a sweep. The
  parameters, the grammar and the seed are inputs of the programs.

  Args:
    config: the model's.
    params: of the network.
    init_params: of the same network before training.
    source: the tree.
    instance: the grammar.
    seed: of the sentences (of the test split) and of the control task.
    examples: sentences to fit probes on, and as many others to score them.

  Returns:
    Accuracies and D by layer and level.
  """
  tokens_BT, symbols, correct = map(
    np.asarray, _sentences(source, instance, seed, 2 * examples))
  rng = np.random.default_rng(seed)
  control = np.stack([
    probe.control_labels(tokens_BT[:, span_T], source.symbols, rng)
    for span_T in nodes.spans(source)])
  labels = np.stack([symbols, control])
  average = functools.partial(_average_by_level, source)

  def accuracies(params):
    return average(np.asarray(_accuracies(
      config, params, tokens_BT, labels, spans=nodes.spans(source),
      query=source.root_position, classes=source.symbols)))

  accuracy, accuracy_control = accuracies(params)
  accuracy_init, _ = accuracies(init_params)
  accuracy_bayes = average(correct[:, examples:].mean(axis=1))
  return Decodability(
    nodes.levels(source), accuracy, accuracy_init, accuracy_control,
    accuracy_bayes, normalise(accuracy, accuracy_init, accuracy_bayes))


def normalise(accuracy: np.ndarray, accuracy_init: np.ndarray,
              accuracy_bayes: np.ndarray) -> np.ndarray:
  """D: 0 as before training, 1 as exact inference; NaN without room between."""
  room = accuracy_bayes - accuracy_init
  enough = room >= MARGIN
  gain = accuracy - accuracy_init
  return np.where(enough, gain / np.where(enough, room, 1), np.nan)


def emergence(score: np.ndarray) -> np.ndarray:
  """Where each level emerges, in layers.

  Whole layers would say "one later" of any two levels that emerge in turn, so
  the crossing is interpolated between them. From there up, rounded to a whole
  layer, is the first layer that knows the level.

  Args:
    score: D, (n + 1, levels); NaN where it is not measurable.

  Returns:
    (levels,) float: where D, linear between layers, first crosses SHARE of the
    level's highest; NaN for a level that stays below FLOOR or was not
    measurable.
  """
  score = np.where(np.isnan(score), -np.inf, score)
  highest = score.max(axis=0)
  layers = np.full(len(highest), np.nan)
  for level in np.flatnonzero(highest >= FLOOR):
    crossed = SHARE * highest[level]
    after = int(np.argmax(score[:, level] >= crossed))
    below, above = score[max(after - 1, 0), level], score[after, level]
    layers[level] = after - (above - crossed) / (above - below) if after else 0
  return layers


def order(levels: Sequence[int], layers: np.ndarray) -> float:
  """By how many layers a level emerges after the one below it.

  The slope of the emergence layer on the level, by ordinary least squares over
  the levels that emerge: of two levels, a difference. NaN when fewer than two
  do.
  """
  known = ~np.isnan(layers)
  if known.sum() < 2:
    return float('nan')
  return float(scipy.stats.linregress(
    np.asarray(levels)[known], layers[known]).slope)


@functools.partial(jax.jit, static_argnames=('source', 'examples'))
def _sentences(source: Tree, instance: Instance, seed: jax.Array,
               examples: int) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Draws sentences: tokens_BT, their nodes and whether inference gets them.

  Returns:
    tokens_BT; the symbols of the parse (nodes, B); and whether the likeliest
    symbol given the tokens is that one (nodes, B).
  """
  batch, tree = source.parsed_batch(instance, seed, 'test', 0, examples)
  belief = parse.posteriors(source, instance, batch.tokens_BT)
  symbols = nodes.join(source, parse.parse(instance, tree[0]))
  return batch.tokens_BT, symbols.T, (jnp.argmax(belief, -1) == symbols).T


@functools.partial(jax.jit, static_argnames=('config', 'query', 'classes'))
def _accuracies(config: model.ModelConfig, params: Params,
                tokens_BT: jax.Array, labels: jax.Array, spans: jax.Array,
                query: int, classes: int) -> jax.Array:
  """Held-out accuracy of a probe for each task, layer and node.

  Args:
    config: the model's.
    params: the model's.
    tokens_BT: sentences; the first half is for fitting.
    labels: (tasks, nodes, B) int.
    spans: (nodes, T) bool.
    query: the query's position.
    classes: V.

  Returns:
    (tasks, n + 1, nodes).
  """
  share = spans / jnp.sum(spans, axis=1, keepdims=True)

  def gather(x_BTD):
    mean = jnp.einsum('BTD,mT->mBD', x_BTD, share)
    at_query = jnp.broadcast_to(x_BTD[:, query], mean.shape)
    return jnp.concatenate([mean, at_query], axis=-1)

  features = stream.read(config, params, tokens_BT, gather)
  half = len(tokens_BT) // 2

  def score(layer_and_node):
    layer, node = layer_and_node
    x_BD = features[layer, node]
    return jax.vmap(lambda y_B: probe.held_out_accuracy(
      x_BD[:half], y_B[:half], x_BD[half:], y_B[half:], classes))(
        labels[:, node])

  grid = jnp.indices(features.shape[:2]).reshape(2, -1)
  # One after the other: a probe's examples then stay in the processor's cache.
  tasks = jax.lax.map(score, tuple(grid))
  return tasks.T.reshape(-1, *features.shape[:2])


def _average_by_level(source: Tree, per_node: np.ndarray) -> np.ndarray:
  """Means over a level's nodes: (..., nodes) to (..., levels)."""
  level = nodes.level_of_each(source)
  return np.stack([per_node[..., level == k].mean(axis=-1)
                   for k in nodes.levels(source)], axis=-1)
