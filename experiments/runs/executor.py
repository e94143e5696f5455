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
import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil

import train
from data import durable
from experiments.machine.usage import UsageError
from experiments.runs import instrument, logs, manifest, outcome
from experiments.runs.logs import log
from experiments.runs.peers import Peers
from experiments.runs.preemption import Preemption
from experiments.runs.store import Store
from experiments.runs.subject import Subject
from experiments.sweeps.packing import Group
from train import loop, placement, programs, serialization
from train.config import Config
from train.goodput import Goodput
from train.profile import NoProfile, Profile
from train.start import Load
from train.stop import Diverged


@dataclasses.dataclass(frozen=True)
class Telling:
  """Who is told how far a group is.

  Attributes:
    progress: of {run (the first), step, steps, tokens_per_second,
      tokens_per_step, flops_per_second, loss (nats a token in the steps that
      were fetched last; of a single run)}, in every chunk.
    say: of a line for a person.
    measured: that an instrument was taken of a run.
  """

  progress: Callable[[dict[str, Any]], None] = lambda _: None
  say: Callable[[str], None] = lambda _: None
  measured: Callable[[], None] = lambda: None


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
    shape = programs.shape(configs[0])
    whole_mesh(shape, len(configs))
    goodput = Goodput(folder / 'goodput.json' if first else None)
    goodput.seconds['start'] = next(self.starting, 0.0)
    losses: deque[float] = deque(maxlen=1)  # in the steps fetched last
    profile = self.trace and Profile(*self.trace, folder / 'profile')
    hooks = train.Hooks(
      goodput, self.preemption.told,
      on_saved=lambda step: self.telling.say(f'saved step {step}'),
      on_line=functools.partial(self._line, losses),
      profile=profile or NoProfile(),
      progress=self._progress(group, shape, losses))
    with contextlib.ExitStack() as stack:
      if profile:
        stack.callback(profile.close)
      stack.callback(_keep, goodput)
      try:
        fitted = train.fit(configs, folder, hooks, self._start(group))
      except Diverged as diverged:
        if first:
          outcome.publish_diverged(self.store, group, diverged, goodput)
        raise
      with goodput.part('evaluate'):
        scores = train.evaluate(configs, fitted, 'validation')
        others = train.evaluate_others(fitted, 'validation')
    if first and profile and not profile.taken:
      self.telling.say(f'--profile: steps {self.trace} were not taken just '
                       'now, so there is no trace')
    return outcome.publish(self.store, group, fitted, scores, others,
                           goodput)

  def _start(self, group: Group) -> list[Load] | None:
    """What loads the parameters that each run starts from, if not random."""
    loads = [instrument.start(self.store, task) for task in group.tasks]
    return [load for load in loads if load] or None

  def _progress(self, group: Group, shape: Config, losses: deque[float]
                ) -> Callable[[int, float], None]:
    tokens_per_step = len(group.ids) * loop.tokens(shape)
    flops = outcome.flops_per_token(shape)

    def progress(step: int, rate: float) -> None:
      self.telling.progress({
        'run': group.ids[0], 'step': step, 'steps': shape.train.steps,
        'tokens_per_second': rate, 'tokens_per_step': tokens_per_step,
        'flops_per_second': rate * flops,
        'loss': losses[-1] if losses else None})
      if self.peers:
        self.peers.at(step)

    return progress

  def _line(self, losses: deque[float], line: dict[str, Any]) -> None:
    log.info('%s', line)
    # Of runs side by side a mean says little, and each has its curve.
    if len(line['loss']) > 1:
      return
    loss = float(np.mean(np.array(line['loss'], float)))
    if line['split'] == 'train':
      losses.append(loss)
    else:
      what = f'{line.get("source", "")} {line["split"]} loss'.strip()
      self.telling.say(f'step {line["step"]}: {what} {loss:.4f}')

  def _describe(self, group: Group, folder: Path) -> None:
    """Writes what the runs are before they begin."""
    for run, config in zip(group.ids, group.configs):
      durable.write_json(_made(self.store.run(run)) / 'config.json', {
        'run': run, 'config': serialization.as_dict(config)})
    durable.write_json(_made(folder) / 'members.json', {'runs': group.ids})
    mesh = placement.make_mesh(group.configs[0].mesh, replicas=len(group.ids))
    durable.write_json(folder / 'manifest.json', {
      **manifest.collect(group.configs, self.command),
      'device': jax.devices()[0].device_kind, 'devices': jax.device_count(),
      'processes': jax.process_count(), 'mesh': dict(mesh.shape)})


def whole_mesh(config: Config, replicas: int) -> jax.sharding.Mesh:
  """The mesh of a group; every process has to have a part in it."""
  mesh = placement.make_mesh(config.mesh, replicas=replicas)
  if jax.process_count() > 1 and mesh.size < jax.device_count():
    raise UsageError(
      f'--config.mesh: {dict(mesh.shape)} uses {mesh.size} of the '
      f'{jax.device_count()} devices of {jax.process_count()} processes; use '
      'all, or start fewer processes')
  return mesh


def _since_start() -> float:
  return time.time() - psutil.Process().create_time()


def _made(folder: Path) -> Path:
  folder.mkdir(parents=True, exist_ok=True)
  return folder


def _keep(goodput: Goodput) -> None:
  with contextlib.suppress(OSError):  # a full disk has been told of already
    goodput.write(at_once=True)
