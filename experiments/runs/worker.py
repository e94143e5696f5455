"""Takes groups of runs, one after the other: train, measure, publish."""

import dataclasses
import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

import train
from data import durable
from data.config import InputError
from experiments.machine import survey
from experiments.runs import manifest, subject
from experiments.runs.store import Store, write_json
from experiments.runs.subject import Row
from experiments.sweeps import identity, plan
from experiments.sweeps.packing import Group, missing
from model.config import ConfigError
from train import loop, metrics, program
from train.stop import Diverged

LEASE_SECONDS = 0.5

OnProgress = Callable[[dict[str, Any]], None]


def use_compilation_cache() -> None:
  """Keeps compiled programs on disk, so a second sweep starts at once."""
  jax.config.update('jax_compilation_cache_dir',
                    str(survey.compilation_cache()))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def work(experiment: str, groups: Sequence[Group], store: Store,
         on_progress: OnProgress = lambda _: None) -> int:
  """Does what is left of the groups that no other worker holds.

  Returns:
    The number of groups that failed; each left a failure.json that says why.
  """
  failed: set[str] = set()
  while True:
    held_elsewhere = False
    for group in groups:
      left = missing(group, store)
      if left is None or left.id in failed:
        continue
      with store.lease(left.id) as mine:
        if not mine:
          held_elsewhere = True
        # Another worker may have finished it while this one was looking.
        elif missing(left, store) and not _try(experiment, left, store,
                                               on_progress):
          failed.add(left.id)
    if not held_elsewhere:
      return len(failed)
    # Whoever holds the rest may die; then this worker takes it over.
    time.sleep(LEASE_SECONDS)


def _try(experiment: str, group: Group, store: Store,
         on_progress: OnProgress) -> bool:
  """Runs a group; one that fails leaves a file that says why."""
  try:
    run(experiment, group, store, on_progress)
  except (ConfigError, InputError):
    raise  # the same for every group: nothing to go on with
  except Exception as error:  # one bad group must not end a sweep
    logging.exception('Group %s failed', group.id)
    write_json(store.group(group.id) / 'failure.json', {
      'stratum': group.stratum, 'runs': group.ids,
      'error': f'{type(error).__name__}: {error}',
      'traceback': traceback.format_exc()})
    return False
  return True


def run(experiment: str, group: Group, store: Store,
        on_progress: OnProgress = lambda _: None) -> None:
  """Trains, measures and publishes one group."""
  folder = store.group(group.id)
  write_json(folder / 'members.json', {
    'stratum': group.stratum, 'runs': group.ids,
    'configs': [identity.as_dict(c) for c in group.configs]})
  (folder / 'failure.json').unlink(missing_ok=True)
  started = time.perf_counter()

  shape = group.configs[0]
  tokens_per_step = len(group.configs) * loop.tokens(program.shape(shape))

  def progress(step: int, tokens_per_second: float) -> None:
    on_progress({'group': group.id, 'stratum': group.stratum, 'step': step,
                 'steps': shape.train.steps,
                 'runs': len(group.configs),
                 'tokens_per_second': tokens_per_second,
                 'tokens_per_step': tokens_per_step})

  hooks = train.Hooks(progress=progress)
  try:
    fitted = train.fit(group.configs, folder, hooks)
  except Diverged as none_left:
    diverged_at: Sequence[int] = none_left.steps
    rows: list[list[Row]] = [[] for _ in group.ids]
    survived = np.zeros(len(rows), bool)
    rate = 0.0
  else:
    scores = train.evaluate(group.configs, fitted, 'validation')
    diverged_at = fitted.diverged.tolist()
    survived = train.survived(fitted) & np.isfinite(scores['loss']).all(-1)
    measure = plan.stratum(experiment, group.stratum).measure
    rows = [measure(trained) if ok else [] for trained, ok in zip(
      subject.unstack(group.configs, fitted, scores), survived)]
    rate = fitted.tokens_per_second
  code = manifest.code()
  timing = {'total': time.perf_counter() - started, **hooks.goodput.seconds,
            'tokens_per_second': rate,
            'runs': len(group.configs),
            'device': jax.devices()[0].device_kind}
  history = curves(folder / 'metrics.jsonl', len(group.configs))
  for r, run_id in enumerate(group.ids):
    store.publish(run_id, {
      'run': run_id,
      'status': 'done' if survived[r] else 'diverged',
      'code': code,
      'diverged_at': diverged_at[r],
      'config': identity.as_dict(group.configs[r]),
      'rows': [dataclasses.asdict(row) for row in (*history[r], *rows[r])],
      'timing': timing,
    })


def curves(path: Path, replicas: int) -> list[list[Row]]:
  """The held-out learning curves in a metrics file, for each replica.

  The training loss stays in the file: it is averaged over chunks, whose length
  is no part of a run's identity.
  """
  rows: list[list[Row]] = [[] for _ in range(replicas)]
  for line in metrics.read(path):
    for r in range(replicas):
      if line['split'] == 'validation' and None not in line['loss'][r]:
        loss = float(np.mean(line['loss'][r]))
        rows[r].append(Row('validation_loss', loss, step=line['step']))
  return rows


def file_progress(path: Path) -> OnProgress:
  """Progress that another process can read, written at most twice a second."""
  last = 0.0

  def write(state: dict[str, Any]) -> None:
    nonlocal last
    now = time.monotonic()
    if now - last < 0.5 and state['step'] < state['steps']:
      return
    last = now
    durable.replace(path, json.dumps(state))

  return write
