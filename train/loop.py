"""The training loop: chunk, metrics, evaluate, save."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from train import distributed, programs, scores
from train.checkpoint import Checkpoints
from train.config import Config
from train.feeds import Feed
from train.goodput import Goodput
from train.metrics import MetricsLog, NoLog
from train.optimizer import Hyper
from train.profile import NoProfile, Profile
from train.programs import Program
from train.replica import State
from train.scores import HeldOut
from train.stop import Divergence, Preempted


class Chunk(NamedTuple):
  """Steps [start, end) and their metrics, still on the device.

  `sums` are those of the evaluation after the last step, for each held-out
  source; none where nothing is evaluated.
  """

  start: int
  end: int
  metrics: dict[str, jax.Array]
  data_wait: float  # seconds
  sums: Sequence[dict[str, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Hooks:
  """What whoever trains wants to say to the loop, and to hear from it.

  Attributes:
    goodput: where the seconds are added up.
    preempted: asked once in every chunk: whether to save and stop.
    on_saved: told of each step that is safely on disk.
    on_line: told of each line of metrics.
    profile: the steps to trace.
    progress: told after every chunk of the step, and of tokens per second.
  """

  goodput: Goodput = dataclasses.field(default_factory=Goodput)
  preempted: Callable[[], bool] = lambda: False
  on_saved: Callable[[int], None] = lambda _: None
  on_line: Callable[[dict[str, Any]], None] = lambda _: None
  profile: Profile | NoProfile = NoProfile()
  progress: Callable[[int, float], None] = lambda *_: None


@dataclasses.dataclass
class Loop:
  """What a run is made of, put together by `ensemble.fit`."""

  config: Config
  program: Program
  hyper: Hyper
  feed: Feed
  held_out: Sequence[HeldOut]
  log: MetricsLog | NoLog
  checkpoints: Checkpoints
  hooks: Hooks

  def train(self, state: State) -> State:
    """Takes the remaining steps, chunk by chunk."""
    config, hooks = self.config.train, self.hooks
    clock, profile = hooks.goodput, hooks.profile
    divergence = Divergence(distributed.fetch(state['diverged']))
    step = first = int(state['step'])
    tokens_per_step = tokens(self.config) * len(self.hyper['seed'])
    pending: Chunk | None = None
    while step < config.steps:
      profile.at(step)
      end = next_stop(step, config, profile.stops)
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
      ends = end == config.steps
      evaluates = _is_due(config.evaluate_every, end) and not ends
      pending = Chunk(step, end, metrics, waited,
                      self._evaluate(state) if evaluates else ())
      step = end
      stops = hooks.preempted() and not ends
      saves = stops or _is_due(config.checkpoint_every, step) or (
        ends and bool(config.checkpoint_every))
      if saves or ends or step in profile.stops:
        ready.append(pending)  # waits for the chunk
        pending = None
      for chunk in ready:
        self._record(chunk, divergence)
      finished = pending.start if pending else step
      spent = clock.seconds['step'] + clock.seconds['data_wait']
      hooks.progress(step, (finished - first) * tokens_per_step
                     / max(spent, 1e-9))
      self._save(state, saves, stops)
      if stops:
        raise Preempted(step)
    profile.at(step)
    with clock.part('checkpoint'):
      self.checkpoints.wait()
    clock.write(at_once=True)
    return state

  def _record(self, chunk: Chunk, divergence: Divergence) -> None:
    """Fetches a chunk's metrics and scores, and writes their lines."""
    clock = self.hooks.goodput
    with clock.part('step'):
      fetched = distributed.fetch(chunk.metrics)
    values = {k: v[:chunk.end - chunk.start] for k, v in fetched.items()}
    self._write({'step': chunk.end, 'split': 'train',
                 **{k: v.mean(0).tolist() for k, v in values.items()},
                 'seconds': round(clock.lap(), 6),
                 'data_wait': round(chunk.data_wait, 4)})
    for held_out, sums in zip(self.held_out, chunk.sums):
      with clock.part('evaluate'):
        found = scores.summarise(sums)
      source = {'source': held_out.name} if held_out.name else {}
      self._write({'step': chunk.end, 'split': 'validation', **source,
                   **{k: v.tolist() for k, v in found.items()},
                   'data_wait': 0.0})
    divergence.check(chunk.start, values['loss'], values['grad_norm'],
                     self._last_saved)

  def _last_saved(self) -> int | None:
    self.checkpoints.wait()  # one may be on its way
    return self.checkpoints.newest

  def _evaluate(self, state: State) -> Sequence[dict[str, jax.Array]]:
    """Scores the run's own source, then the others; waits for no device."""
    with self.hooks.goodput.part('evaluate'):
      params = self.program.params(state)
      return [h.sums(params, 'validation') for h in self.held_out]

  def _save(self, state: State, saves: bool, stops: bool) -> None:
    with self.hooks.goodput.part('checkpoint'):
      self.checkpoints.check()
      if saves:
        self.checkpoints.save(state)
      if stops:
        self.checkpoints.wait()
    self.hooks.goodput.write(at_once=saves)

  def _write(self, line: dict[str, Any]) -> None:
    self.log.write(line)
    self.hooks.on_line(line)


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
  return config.data.batch_size * programs.source_of(config).length
