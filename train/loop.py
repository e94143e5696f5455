"""The training loop: mesh, state, restore, chunk, metrics, evaluate, save."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from data.batch import Instance
from train import distributed, scores
from train import feed as feeds
from train import mesh as mesh_lib
from train import program as programs
from train.config import Config
from train.feed import Feed
from train.goodput import Goodput
from train.metrics import MetricsLog, NoLog
from train.optimizer import Hyper
from train.profile import Profile
from train.program import Program
from train.step import ALIVE, State
from train.stop import Divergence, Preempted


@dataclasses.dataclass(frozen=True)
class Fit:
  """What training left behind; arrays lead with R, in the order of configs.

  Attributes:
    params: the parameters after the last update.
    initial: the parameters before the first; None for a run on its own.
    diverged: int, (R,): the step of the first non-finite value, or -1.
    instance: the data constants; empty where the host streams the data.
    shared: whether the replicas share them.
    feed: where the data come from.
    seconds: wall-clock by part (see `train/goodput.py`).
    tokens_per_second: over all replicas, compilation left out.
  """

  params: Any
  initial: Any
  diverged: np.ndarray
  instance: Instance
  shared: bool
  feed: Feed
  seconds: dict[str, float]
  tokens_per_second: float


class Chunk(NamedTuple):
  """Steps [start, end) and their metrics, still on the device."""

  start: int
  end: int
  metrics: dict[str, jax.Array]
  data_wait: float  # seconds


Progress = Callable[[int, float], None]  # step, tokens per second


@dataclasses.dataclass(frozen=True)
class Alone:
  """What one long run asks of the loop, and the replicas of a sweep do not.

  It stops where it diverges, stops and saves when it is told to, and says what
  is saved and where its time goes.

  Attributes:
    goodput: where its seconds are added up.
    preempted: asked once in every chunk: whether to save and stop.
    on_saved: told of each step that is safely on disk.
    on_line: told of each line of metrics.
    profile: the steps to trace.
  """

  goodput: Goodput
  preempted: Callable[[], bool]
  on_saved: Callable[[int], None] = lambda _: None
  on_line: Callable[[dict[str, Any]], None] = lambda _: None
  profile: Profile | None = None


def fit(configs: Sequence[Config], folder: Path,
        progress: Progress = lambda *_: None, alone: Alone | None = None
        ) -> Fit:
  """Trains runs that share a shape, together, for exactly `train.steps` steps.

  A folder with checkpoints is resumed from the newest whole one; on one kind
  of device the result is then the same, bit for bit, as without the
  interruption.

  Args:
    configs: complete configs, equal but for their traced fields.
    folder: where metrics.jsonl and the checkpoints live.
    progress: called once per chunk.
    alone: for a single run that is more than a replica of a sweep.

  Raises:
    Preempted: `alone` was told to stop, and has saved.
    Diverged: `alone` met a number that is not finite.
    CheckpointError: a checkpoint cannot be written, or none can be read.
  """
  config = programs.shape(configs[0])
  assert all(programs.shape(c) == config for c in configs), 'shapes differ'
  folder.mkdir(parents=True, exist_ok=True)
  clock = alone.goodput if alone else Goodput()
  with contextlib.ExitStack() as stack:
    with clock.part('start'):
      mesh = mesh_lib.make(config.mesh, replicas=len(configs))
      profile = alone.profile if alone else None
      feed, instance, shared = _feed(configs, mesh,
                                     profile.stops if profile else ())
      stack.callback(feed.close)
      program = programs.build(config, mesh, shared)
      hyper = _place(programs.hyper(configs), mesh, shared=False)
      state = program.init(hyper)
      initial = None if alone else jax.tree.map(np.asarray, state['params'])
      checkpoints = None
      if config.train.checkpoint_every:
        # Orbax takes seconds to import; short runs start again instead.
        from train.checkpoint import Checkpoints
        checkpoints = stack.enter_context(Checkpoints(
          folder / 'checkpoints', config.train.keep_checkpoints,
          config.train.keep_every,
          alone.on_saved if alone else lambda _: None))
        if (found := checkpoints.find()) is not None:
          like = _abstract(state)
          del state  # there may be no room for two
          state = checkpoints.restore(found, like)
      first = int(state['step'])
      log: MetricsLog | NoLog = NoLog()
      if jax.process_index() == 0:
        log = stack.enter_context(
          MetricsLog(folder / 'metrics.jsonl', resume_step=first))
      clock.lose(log.dropped)
    run = _Run(config, program, hyper, feed, log, checkpoints, clock, progress,
               alone)
    state = run.train(state)
  tokens = (config.train.steps - first) * len(configs) * _tokens(config)
  spent = clock.seconds['step'] + clock.seconds['data_wait']
  return Fit(state['params'], initial, distributed.fetch(state['diverged']),
             instance, shared, feed, clock.seconds, tokens / max(spent, 1e-9))


@dataclasses.dataclass
class _Run:
  """The parts of one call of `fit`, once they are put together."""

  config: Config
  program: Program
  hyper: Hyper
  feed: Feed
  log: MetricsLog | NoLog
  checkpoints: Any
  clock: Goodput
  progress: Progress
  alone: Alone | None

  def train(self, state: State) -> State:
    """Takes the remaining steps, chunk by chunk."""
    config, clock = self.config.train, self.clock
    profile = self.alone and self.alone.profile
    divergence = Divergence() if self.alone else None
    step = first = int(state['step'])
    tokens_per_step = _tokens(self.config) * len(self.hyper['seed'])
    pending: Chunk | None = None
    while step < config.steps:
      if profile:
        profile.at(step)
      end = next_stop(step, config, profile.stops if profile else ())
      waited = clock.seconds['data_wait']
      with clock.part('data_wait'):
        instance = self.feed.take(step, end)
      waited = clock.seconds['data_wait'] - waited
      # Compilation ends when the first call returns.
      with clock.part('compile' if step == first else 'step'):
        state, metrics = self.program.chunk(
          state, end - step, self.hyper, instance)
      # Metrics are fetched one chunk late, while the device works on this one.
      ready = [pending] if pending else []
      pending = Chunk(step, end, metrics, waited)
      step = end
      stops = self.alone is not None and self.alone.preempted()
      evaluates = _is_due(config.evaluate_every, step) and step < config.steps
      saves = self.checkpoints and (_is_due(config.checkpoint_every, step)
                                    or stops or step == config.steps)
      profiled = profile and step in profile.stops
      if evaluates or saves or stops or profiled or step == config.steps:
        ready.append(pending)  # waits for the chunk
        pending = None
      for chunk in ready:
        self._record(chunk, divergence)
      finished = pending.start if pending else step
      self.progress(step, (finished - first) * tokens_per_step
                    / max(clock.seconds['step'] + clock.seconds['data_wait'],
                          1e-9))
      if evaluates:
        self._evaluate(state, step)
      self._save(state, saves, stops)
      if stops and step < config.steps:
        raise Preempted(step)
    if profile:
      profile.at(step)
    with clock.part('checkpoint'):
      if self.checkpoints:
        self.checkpoints.wait()
    clock.write(at_once=True)
    return state

  def _record(self, chunk: Chunk, divergence: Divergence | None) -> None:
    """Fetches a chunk's metrics and writes their line."""
    with self.clock.part('step'):
      fetched = distributed.fetch(chunk.metrics)
    values = {k: v[:chunk.end - chunk.start] for k, v in fetched.items()}
    self._write({'step': chunk.end, 'split': 'train',
                 **{k: v.mean(0).tolist() for k, v in values.items()},
                 'seconds': round(self.clock.lap(), 6),
                 'data_wait': round(chunk.data_wait, 4)})
    if divergence:
      divergence.check(chunk.start, values['loss'], values['grad_norm'],
                       self._last_saved)

  def _last_saved(self) -> int | None:
    if not self.checkpoints:
      return None
    self.checkpoints.wait()  # one may be on its way
    return self.checkpoints.newest

  def _evaluate(self, state: State, step: int) -> None:
    with self.clock.part('evaluate'):
      found = scores.held_out(self.config, self.program, self.feed,
                              state['params'], 'validation')
    self._write({'step': step, 'split': 'validation',
                 **{k: v.tolist() for k, v in found.items()},
                 'data_wait': 0.0})

  def _save(self, state: State, saves: bool, stops: bool) -> None:
    if not self.checkpoints:
      return
    with self.clock.part('checkpoint'):
      self.checkpoints.check()
      if saves:
        self.checkpoints.save(state)
      if stops:
        self.checkpoints.wait()
    self.clock.write(at_once=saves)

  def _write(self, line: dict[str, Any]) -> None:
    self.log.write(line)
    if self.alone:
      self.alone.on_line(line)


def evaluate(configs: Sequence[Config], fitted: Fit,
             split: str) -> dict[str, np.ndarray]:
  """Held-out scores after training: see `summarise`."""
  config = programs.shape(configs[0])
  mesh = mesh_lib.make(config.mesh, replicas=len(configs))
  program = programs.build(config, mesh, fitted.shared)
  return scores.held_out(config, program, fitted.feed, fitted.params, split)


def next_stop(step: int, train: Any, extra: Sequence[int] = ()) -> int:
  """Where the chunk that starts at `step` ends.

  Chunks end at multiples of `chunk_steps`, of the evaluation and checkpoint
  intervals, at `extra` stops, and at the last step, wherever the run was
  resumed.
  """
  periods = (train.chunk_steps, train.evaluate_every, train.checkpoint_every)
  stops = [step - step % period + period for period in periods if period]
  return min(*stops, *(s for s in extra if s > step), train.steps)


def _is_due(period: int, step: int) -> bool:
  return bool(period) and step % period == 0


def _tokens(config: Config) -> int:
  return config.data.batch_size * programs.source_of(config.data).length


def _feed(configs: Sequence[Config], mesh: Mesh, extra: Sequence[int]
          ) -> tuple[Feed, Instance, bool]:
  """Where the data come from, the constants, and whether all share them."""
  config = programs.shape(configs[0])
  source = programs.source_of(config.data)
  if feeds.streams(source):
    stream = feeds.Stream(source, configs, mesh,
                          lambda s: next_stop(s, config.train, extra))
    return stream, {}, False
  instance, shared = programs.instances(configs)
  instance = _place(instance, mesh, shared)
  return feeds.Resident(instance), instance, shared


def _place(tree: Any, mesh: Mesh, shared: bool) -> Any:
  """Puts host arrays on the mesh: whole everywhere, or split over R."""
  return distributed.place(tree, mesh_lib.replicated(mesh) if shared
                           else mesh_lib.shardings(tree, mesh))


def _abstract(state: State) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding),
    state)


def survived(fitted: Fit) -> np.ndarray:
  """Which replicas met no non-finite value: bool, (R,)."""
  return fitted.diverged == ALIVE
