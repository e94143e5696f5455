"""The training loop: chunk, metrics, evaluate, save."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from train import distributed, scores
from train import program as programs
from train.config import Config
from train.feed import Feed
from train.goodput import Goodput
from train.metrics import MetricsLog, NoLog
from train.optimizer import Hyper
from train.profile import Profile
from train.program import Program
from train.step import State
from train.stop import Divergence, Preempted


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


@dataclasses.dataclass
class Loop:
  """What a run is made of, put together by `ensemble.fit`."""

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
    tokens_per_step = tokens(self.config) * len(self.hyper['seed'])
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


def tokens(config: Config) -> int:
  """How many one replica reads in a step."""
  return config.data.batch_size * programs.source_of(config.data).length
