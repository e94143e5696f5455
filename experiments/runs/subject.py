"""What a trained run hands to its measurement, and what comes back."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import train
from data.batch import Batch, Instance, Source
from experiments.sweeps import overrides
from train import program
from train.config import Config


@dataclasses.dataclass(frozen=True)
class Trained:
  """One run after training.

  Attributes:
    config: the run's config, complete; its layers looped and never unrolled,
      since instruments compile for a few passes.
    source: where its batches came from.
    instance: the constants of that source (the grammar, the corpus).
    params: the parameters after the last update.
    initial: the parameters before the first: the random-init baseline.
    scores: held-out loss, accuracy (and bits_per_byte), each of shape
      (groups,); see `train.evaluate`.
  """

  config: Config
  source: Source
  instance: Instance
  params: Any
  initial: Any
  scores: dict[str, np.ndarray]

  def held_out(self, examples: int) -> Batch:
    """The first held-out examples, the same for every run."""
    return _held_out(self.source, self.instance, examples)


# Compiled whole: one operation after the other costs more.
@functools.partial(jax.jit, static_argnums=(0, 2))
def _held_out(source: Source, instance: Instance, examples: int) -> Batch:
  return source.batch(instance, 0, 'validation', 0, examples)


@dataclasses.dataclass(frozen=True)
class Row:
  """One measured number, a row of the results table."""

  metric: str
  value: float
  layer: int | None = None
  level: int | None = None
  hops: int | None = None
  step: int | None = None


def unstack(configs: Sequence[Config], fitted: train.Fit,
            scores: dict[str, np.ndarray]) -> list[Trained]:
  """Splits an ensemble into its runs."""
  params = jax.tree.map(np.asarray, fitted.params)
  source = program.source_of(program.shape(configs[0]).data)

  def one(tree: Any, r: int) -> Any:
    return jax.tree.map(lambda x: x[r], tree)

  return [
    Trained(overrides.replace(config, {'model.unroll': 1}), source,
            fitted.instance if fitted.shared else one(fitted.instance, r),
            one(params, r), one(fitted.initial, r), one(scores, r))
    for r, config in enumerate(configs)
  ]
