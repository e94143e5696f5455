"""One way for runs to go: train a group, keep what came of it.

`fathom train`, a sweep's worker and each of several processes of one run call
the same function. The same command goes on where an earlier one stopped, on
whatever devices and however many processes there are now.

    <folder of the group>/
      members.json or config.json   what it is
      manifest.json                 with what it was made
      metrics.jsonl                 the truth, one line a chunk
      goodput.json                  where the seconds went, over all restarts
      checkpoints/                  see train/checkpoint.py
      logs/                         of every process
      profile/                      traces, where --profile asked for them
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil

import train
from data import durable
from experiments.machine.usage import UsageError
from experiments.runs import logs, manifest
from experiments.runs.logs import log
from experiments.runs.peers import Peers
from experiments.runs.preemption import Preemption
from experiments.runs.store import Store
from experiments.runs.subject import Params, Subject
from experiments.sweeps import cost, identity
from experiments.sweeps.identity import run_id
from experiments.sweeps.packing import Group
from experiments.sweeps.task import Train
from train import distributed, loop, metrics, placement, program
from train.config import Config
from train.goodput import Goodput
from train.metrics import MetricsLog
from train.profile import NoProfile, Profile
from train.stop import Diverged

# Parameters of a run up to which a finished run keeps them in a file of its
# own. Larger ones stay in its last checkpoint, which is as whole.
KEPT_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Telling:
  """Who is told how far a group is.

  Attributes:
    progress: of {run (the first), step, steps, tokens_per_second, tokens_per_step,
      flops_per_second}, in every chunk.
    say: of a line for a person.
  """

  progress: Callable[[dict[str, Any]], None] = lambda _: None
  say: Callable[[str], None] = lambda _: None


@dataclasses.dataclass(frozen=True)
class Executor:
  """What is common to all groups that a process trains.

  Attributes:
    store: where results go.
    preemption: whether to save and stop.
    telling: who is told.
    peers: the other processes of the run, if there are any.
    trace: the steps to trace, [first, last).
    command: as typed, for the manifest.
    starting: seconds that the process took to start, for its first group.
  """

  store: Store
  preemption: Preemption
  telling: Telling = Telling()
  peers: Peers | None = None
  trace: tuple[int, int] | None = None
  command: Sequence[str] = ()
  starting: Iterator[float] = dataclasses.field(
    default_factory=lambda: iter([_since_start()]))

  def execute(self, group: Group) -> list[Subject]:
    """Trains, scores and publishes a group; all processes of a run call it.

    Returns:
      The runs that can be measured, none of them diverged.

    Raises:
      Preempted: it was told to stop, and has saved.
      Diverged: every run of the group met a number that is not finite; each is
        published as diverged.
      CheckpointError: a checkpoint cannot be written, or none can be read.
    """
    folder = self.store.group(group)
    process = jax.process_index()
    (folder / 'failure.json').unlink(missing_ok=True)
    with logs.to_file(folder / 'logs', process):
      try:
        if process == 0:
          self._describe(group, folder)
        return self._fit(group, folder)
      except BaseException:
        log.exception('process %s ends', process)
        raise

  def _fit(self, group: Group, folder: Path) -> list[Subject]:
    first = jax.process_index() == 0
    configs = group.configs
    shape = program.shape(configs[0])
    whole_mesh(shape, len(configs))
    goodput = Goodput(folder / 'goodput.json' if first else None)
    goodput.seconds['start'] = next(self.starting, 0.0)
    profile = self.trace and Profile(*self.trace, folder / 'profile')
    hooks = train.Hooks(
      goodput, self.preemption.told,
      on_saved=lambda step: self.telling.say(f'saved step {step}'),
      on_line=self._line, profile=profile or NoProfile(),
      progress=self._progress(group, shape))
    with contextlib.ExitStack() as stack:
      if profile:
        stack.callback(profile.close)
      stack.callback(_keep, goodput)
      try:
        fitted = train.fit(configs, folder, hooks)
      except Diverged as diverged:
        if first:
          self._publish_diverged(group, folder, diverged, goodput)
        raise
      with goodput.part('evaluate'):
        scores = train.evaluate(configs, fitted, 'validation')
    if first and profile and not profile.taken:
      self.telling.say(f'--profile: steps {self.trace} were not taken just '
                       'now, so there is no trace')
    return self._publish(group, folder, fitted, scores, goodput)

  def _publish(self, group: Group, folder: Path, fitted: train.Fit,
               scores: dict[str, np.ndarray],
               goodput: Goodput) -> list[Subject]:
    """Keeps what came of each run; those that can be measured."""
    params = fetched(fitted.params, len(group.ids))
    survived = train.survived(fitted) & np.isfinite(scores['loss']).all(-1)
    if jax.process_index() != 0:
      return []
    self._write_scores(group, folder, scores)
    history = curves(folder / 'metrics.jsonl', len(group.ids),
                     group.configs[0].train.steps)
    timing = self._timing(group, goodput, fitted.tokens_per_second)
    subjects = []
    for r, run in enumerate(group.ids):
      own = {name: np.asarray(values[r]) for name, values in scores.items()}
      mine = params and jax.tree.map(lambda x, r=r: x[r], params)
      keeps = bool(survived[r]) and mine is not None
      config = group.configs[r]
      self.store.publish(run, {
        'status': 'done' if survived[r] else 'diverged',
        'code': manifest.code(),
        'diverged_at': int(fitted.diverged[r]),
        'config': identity.as_dict(config),
        'scores': {name: values.tolist() for name, values in own.items()},
        'curves': history[r],
        'parameters': self.store.keep_params(run, mine) if keeps else None,
        'timing': timing})
      if survived[r]:
        subjects.append(Subject(
          run, group.tasks[r], own, self._params(run, mine),
          self._initial(fitted, r, config)))
    return subjects

  def _params(self, run: str, mine: Params | None) -> Callable[[], Params]:
    return (lambda: mine) if mine is not None else (
      lambda: self.store.params(run))

  def _initial(self, fitted: train.Fit, r: int,
               config: Config) -> Callable[[], Params]:
    if fitted.initial is None:
      return lambda: train.initial(config)
    return lambda: jax.tree.map(lambda x: x[r], fitted.initial)

  def _publish_diverged(self, group: Group, folder: Path, error: Diverged,
                        goodput: Goodput) -> None:
    history = curves(folder / 'metrics.jsonl', len(group.ids),
                     group.configs[0].train.steps)
    timing = self._timing(group, goodput, 0.0)
    for r, run in enumerate(group.ids):
      self.store.publish(run, {
        'status': 'diverged', 'code': manifest.code(),
        'diverged_at': int(error.steps[r]),
        'config': identity.as_dict(group.configs[r]), 'scores': {},
        'curves': history[r], 'parameters': None, 'timing': timing})

  def _timing(self, group: Group, goodput: Goodput,
              rate: float) -> dict[str, Any]:
    seconds = goodput.total()
    return {
      'total': sum(seconds.values()), 'seconds': seconds,
      'goodput': goodput.share(), 'restarts': goodput.restarts,
      'tokens_per_second': rate, 'runs': len(group.ids),
      'flops_per_second': rate * flops_per_token(group.configs[0]),
      'device': jax.devices()[0].device_kind}

  def _start(self, group: Group) -> list[Callable[[], Params]] | None:
    """The parameters that each run starts from, if they are another run's."""
    parents = [task.start for task in group.tasks if isinstance(task, Train)]
    if None in parents:
      return None
    return [lambda parent=parent: self.store.params(run_id(parent))
            for parent in parents]

  def _progress(self, group: Group, shape: Config
                ) -> Callable[[int, float], None]:
    tokens_per_step = len(group.ids) * loop.tokens(shape)
    flops = flops_per_token(shape)

    def progress(step: int, rate: float) -> None:
      self.telling.progress({
        'run': group.ids[0], 'step': step, 'steps': shape.train.steps, 'tokens_per_second': rate,
        'tokens_per_step': tokens_per_step, 'flops_per_second': rate * flops})
      if self.peers:
        self.peers.at(step)

    return progress

  def _line(self, line: dict[str, Any]) -> None:
    log.info('%s', line)
    if line['split'] != 'train':
      loss = np.mean(np.array(line['loss'], float))
      self.telling.say(f'step {line["step"]}: {line["split"]} loss {loss:.4f}')

  def _write_scores(self, group: Group, folder: Path,
                    scores: dict[str, np.ndarray]) -> None:
    steps = group.configs[0].train.steps
    with MetricsLog(folder / 'metrics.jsonl', steps) as lines:
      lines.write({'step': steps, 'split': 'validation',
                   **{k: v.tolist() for k, v in scores.items()},
                   'data_wait': 0.0})

  def _describe(self, group: Group, folder: Path) -> None:
    """Writes what the runs are before they begin."""
    for run, config in zip(group.ids, group.configs):
      durable.write_json(_made(self.store.run(run)) / 'config.json', {
        'run': run, 'config': identity.as_dict(config)})
    durable.write_json(_made(folder) / 'members.json', {'runs': group.ids})
    mesh = placement.make_mesh(group.configs[0].mesh, replicas=len(group.ids))
    durable.write_json(folder / 'manifest.json', {
      **manifest.collect(group.configs, self.command),
      'device': jax.devices()[0].device_kind, 'devices': jax.device_count(),
      'processes': jax.process_count(), 'mesh': dict(mesh.shape)})


def curves(path: Path, replicas: int,
           steps: int) -> list[list[dict[str, Any]]]:
  """The held-out learning curves in a metrics file, for each replica.

  Up to the last of `steps`, whose scores are those of the run. The training
  loss stays in the file: it is averaged over chunks, whose length is no part of
  a run's identity.
  """
  points: list[list[dict[str, Any]]] = [[] for _ in range(replicas)]
  for line in metrics.read(path):
    if line['split'] != 'validation' or line['step'] >= steps:
      continue
    for r in range(replicas):
      if None not in line['loss'][r]:
        points[r].append({'step': line['step'],
                          'loss': float(np.mean(line['loss'][r]))})
  return points


def fetched(params: Any, replicas: int) -> Params | None:
  """Parameters as host arrays; None where they are too large to be kept."""
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params))
  if size > KEPT_BYTES * replicas:
    return None
  tree: Params = distributed.fetch(params)
  return tree


def whole_mesh(config: Config, replicas: int) -> jax.sharding.Mesh:
  """The mesh of a group; every process has to have a part in it."""
  mesh = placement.make_mesh(config.mesh, replicas=replicas)
  if jax.process_count() > 1 and mesh.size < jax.device_count():
    raise UsageError(
      f'--config.mesh: {dict(mesh.shape)} uses {mesh.size} of the '
      f'{jax.device_count()} devices of {jax.process_count()} processes; use '
      'all, or start fewer processes')
  return mesh


def flops_per_token(config: Config) -> float:
  """FLOPs of training on one token."""
  return cost.train_flops(config) / (
    config.train.steps * loop.tokens(config))


def _since_start() -> float:
  return time.time() - psutil.Process().create_time()


def _made(folder: Path) -> Path:
  folder.mkdir(parents=True, exist_ok=True)
  return folder


def _keep(goodput: Goodput) -> None:
  with contextlib.suppress(OSError):  # a full disk has been told of already
    goodput.write(at_once=True)
