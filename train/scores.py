"""Held-out scores of trained parameters."""

from typing import Any

import numpy as np

from train import distributed
from train import program as programs
from train.config import Config
from train.feed import Feed
from train.program import Program


def held_out(config: Config, program: Program, feed: Feed, params: Any,
             split: str) -> dict[str, np.ndarray]:
  """Scores of all replicas on the first batches of a split."""
  batches = programs.evaluation_batches(
    config, programs.source_of(config), split)
  return summarise(program.evaluate(
    params, feed.held_out(split, batches), split))


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
