"""What came of a group of runs, and how it is kept."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import train
from experiments.runs import instrument, manifest
from experiments.runs.store import Store
from experiments.runs.subject import Subject, tokenizer_of
from experiments.sweeps import cost
from experiments.sweeps.packing import Group
from experiments.sweeps.task import Task
from model.language_model import Params
from train import distributed, loop, metrics, serialization
from train.config import Config
from train.goodput import Goodput
from train.metrics import MetricsLog
from train.stop import Diverged

Scores = dict[str, np.ndarray]

# A run of more than this that trains alone, and has checkpoints, leaves its
# parameters in the last of them; all others keep theirs in a file of their own.
LARGE_BYTES = 2**30


def publish(store: Store, group: Group, fitted: train.Fit, scores: Scores,
            others: Mapping[str, Scores], goodput: Goodput) -> list[Subject]:
  """Keeps what came of each run; all processes of a run call it.

  Args:
    store: where.
    group: the runs.
    fitted: what training left behind.
    scores: held-out scores of all replicas, (R, groups) by name.
    others: those on the further sources, by the source's name.
    goodput: where the time went.

  Returns:
    The runs that can be measured, in process 0.
  """
  params = _fetched(fitted.params, group.configs[0])
  survived = train.survived(fitted) & np.isfinite(scores['loss']).all(-1)
  if jax.process_index() != 0:
    return []
  folder, steps = store.group(group), group.configs[0].train.steps
  with MetricsLog(folder / 'metrics.jsonl', steps) as lines:
    for source, values in {'': scores, **others}.items():
      lines.write({'step': steps, 'split': 'validation', 'data_wait': 0.0,
                   **({'source': source} if source else {}),
                   **{name: value.tolist() for name, value in values.items()}})
  points = curves(folder / 'metrics.jsonl', len(group.ids), steps)
  seconds = timing(group, goodput, fitted.tokens_per_second)
  subjects = []
  for r, run in enumerate(group.ids):
    own = _of_replica(scores, r)
    further = {name: _of_replica(each, r) for name, each in others.items()}
    if store.done(run):
      continue  # its parameters are those that were measured
    mine: Params | None = None
    if params and survived[r]:
      mine = jax.tree.map(lambda x, r=r: x[r], params)
    tokenizer = tokenizer_of(group.configs[r])
    if tokenizer and tokenizer.file:
      store.keep_tokenizer(run, *tokenizer.file)
    store.publish(run, {
      'status': 'done' if survived[r] else 'diverged',
      'diverged_at': int(fitted.diverged[r]),
      'scores': _plain(own),
      'others': {name: _plain(each) for name, each in further.items()},
      'curves': points[r], **_described(group.configs[r]), 'timing': seconds,
      'parameters': store.keep_params(run, mine) if mine else None})
    if survived[r]:
      subjects.append(Subject(
        run, group.tasks[r], own, further, points[r],
        _params(store, group.tasks[r], mine),
        _initial(store, fitted, r, group.tasks[r])))
  return subjects


def publish_diverged(store: Store, group: Group, diverged: Diverged,
                     goodput: Goodput) -> None:
  """Keeps that every run of a group diverged."""
  points = curves(store.group(group) / 'metrics.jsonl', len(group.ids),
                  group.configs[0].train.steps)
  for r, run in enumerate(group.ids):
    if store.done(run):
      continue
    store.publish(run, {
      'status': 'diverged', 'diverged_at': int(diverged.steps[r]),
      'message': str(diverged), 'scores': {}, 'others': {}, 'curves': points[r],
      **_described(group.configs[r]), 'timing': timing(group, goodput, 0.0),
      'parameters': None})


def timing(group: Group, goodput: Goodput, rate: float) -> dict[str, Any]:
  """Where the time of a group went, and how fast it was."""
  seconds = goodput.total()
  return {
    'total': sum(seconds.values()), 'seconds': seconds,
    'goodput': goodput.share(), 'restarts': goodput.restarts,
    'tokens_per_second': rate, 'runs': len(group.ids),
    'flops_per_second': rate * flops_per_token(group.configs[0]),
    'device': jax.devices()[0].device_kind}


def flops_per_token(config: Config) -> float:
  """FLOPs of training on one token."""
  return cost.train_flops(config) / (config.train.steps * loop.tokens(config))


def curves(path: Path, replicas: int,
           steps: int) -> list[list[dict[str, Any]]]:
  """The held-out learning curves in a metrics file, for each replica.

  A point is {step, source, loss, accuracy, …}, each score a list by group, and
  `source` there only where it is a further one. Up to the last of `steps`,
  whose scores are those of the run. The training loss stays in the file: it is
  averaged over chunks, whose length is no part of a run's identity.
  """
  points: list[list[dict[str, Any]]] = [[] for _ in range(replicas)]
  for line in metrics.read(path):
    if line['split'] != 'validation' or line['step'] >= steps:
      continue
    for r in range(replicas):
      if None not in line['loss'][r]:
        points[r].append({
          name: value[r] if isinstance(value, list) else value
          for name, value in line.items() if name not in ('split', 'data_wait')
        })
  return points


def _of_replica(scores: Scores, r: int) -> Scores:
  return {name: np.asarray(values[r]) for name, values in scores.items()}


def _plain(scores: Scores) -> dict[str, Any]:
  return {name: values.tolist() for name, values in scores.items()}


def _described(config: Config) -> dict[str, Any]:
  tokenizer = tokenizer_of(config)
  return {'code': manifest.code(), 'config': serialization.as_dict(config),
          **({'tokenizer': tokenizer.name} if tokenizer else {})}


def _fetched(params: Any, config: Config) -> Params | None:
  """Parameters as host arrays; None where they stay in a checkpoint."""
  leaves = jax.tree.leaves(params)
  size = sum(x.nbytes // len(x) for x in leaves)
  alone = len(leaves[0]) == 1
  if size > LARGE_BYTES and alone and config.train.checkpoint_every:
    return None
  tree: Params = distributed.fetch(params)
  return tree


def _params(store: Store, task: Task,
            mine: Params | None) -> Callable[[], Params]:
  return (lambda: mine) if mine else instrument.params(store, task)


def _initial(store: Store, fitted: train.Fit, r: int,
             task: Task) -> Callable[[], Params]:
  if fitted.initial is None:
    return instrument.initial(store, task)
  return lambda: jax.tree.map(lambda x: x[r], fitted.initial)
