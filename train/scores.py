"""Held-out scores of trained parameters."""

import dataclasses
from typing import Any

import jax
import numpy as np

from data.batch import Source
from train import distributed, programs
from train.config import Config
from train.feeds import Feed
from train.programs import Program


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """The held-out examples of a source, and what scores models on them.

  Attributes:
    name: of the source; '' for the one that a run is trained on.
    config: the shape of the runs.
    source: where the examples come from.
    program: built for this source.
    feed: what the program reads.
  """

  name: str
  config: Config
  source: Source
  program: Program
  feed: Feed

  def scores(self, params: Any, split: str) -> dict[str, np.ndarray]:
    """Scores of all replicas on the first batches of a split."""
    return summarise(self.sums(params, split))

  def sums(self, params: Any, split: str) -> dict[str, jax.Array]:
    """What `summarise` makes scores of, still on the device."""
    batches = programs.evaluation_batches(self.config, self.source, split)
    return self.program.evaluate(
      params, self.feed.held_out(split, batches), split)


def summarise(sums: dict[str, Any]) -> dict[str, np.ndarray]:
  """Sums of shape (batches, R, groups) → scores of shape (R, groups).

  Returns:
    loss (nats per scored position), accuracy, and bits_per_byte for text.
  """
  total = {k: v.astype(np.float64).sum(0)
           for k, v in distributed.fetch(sums).items()}
  weight = np.maximum(total['weight'], 1)
  scores = {'loss': total['nats'] / weight,
            'accuracy': total['correct'] / weight}
  if 'bytes' in total:
    scores['bits_per_byte'] = total['nats'] / np.log(2) / total['bytes']
  return scores
