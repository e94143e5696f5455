"""Runs that share a shape, trained together: put together, resumed, scored."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import data
from data.batch import Instance, Source
from model import ConfigError
from train import distributed, feeds, loop, placement, programs
from train.checkpoint import Checkpoints
from train.config import Config
from train.feeds import Feed
from train.loop import Hooks, Loop
from train.metrics import MetricsLog, NoLog
from train.programs import Program
from train.replica import ALIVE, State
from train.scores import HeldOut
from train.start import Load, initial
from train.stop import CheckpointError

# Bytes of all replicas' parameters up to which their initial values are kept.
SMALL = 2**28


@dataclasses.dataclass(frozen=True)
class Fit:
  """What training left behind; arrays lead with R, in the order of configs.

  Attributes:
    params: the parameters after the last update.
    initial: the parameters before the first, on the host; None where they are
      too large to be held twice, or another run's and training was resumed
      (see `start.initial`).
    diverged: int, (R,): the step of the first non-finite value, or -1.
    instance: the data constants; empty where the host streams the data.
    shared: whether the replicas share them.
    feed: where the data come from.
    others: the further sources that the replicas are evaluated on.
    seconds: wall-clock by part (see `train/goodput.py`).
    tokens_per_second: over all replicas, compilation left out.
  """

  params: Any
  initial: Any
  diverged: np.ndarray
  instance: Instance
  shared: bool
  feed: Feed
  others: tuple[HeldOut, ...]
  seconds: dict[str, float]
  tokens_per_second: float


def fit(configs: Sequence[Config], folder: Path, hooks: Hooks | None = None,
        start: Sequence[Load] | None = None) -> Fit:
  """Trains runs that share a shape, together, for exactly `train.steps` steps.

  A folder with checkpoints is resumed from the newest whole one; on one kind
  of device the result is then the same, bit for bit, as without the
  interruption. Told to stop, it saves even where the config asks for no
  checkpoints.

  Args:
    configs: complete configs, equal but for their traced fields.
    folder: where metrics.jsonl and the checkpoints live.
    hooks: what to ask and to tell on the way; nothing when not given.
    start: for each config, what loads the parameters it starts from, a nested
      dict of host arrays; random ones when not given. Tokens that a parent does
      not know start random. Not called where training is resumed.

  Raises:
    ConfigError: what a run is to start from are no parameters of its model.
    Preempted: it was told to stop, and has saved.
    Diverged: every replica met a number that is not finite.
    CheckpointError: a checkpoint cannot be written, or none can be read.
  """
  config = programs.shape(configs[0])
  assert all(programs.shape(c) == config for c in configs), 'shapes differ'
  folder.mkdir(parents=True, exist_ok=True)
  hooks = hooks or Hooks()
  clock = hooks.goodput
  with contextlib.ExitStack() as stack:
    with clock.part('start'):
      mesh = placement.make_mesh(config.mesh, replicas=len(configs))
      source = programs.source_of(config)
      feed, instance, shared = _feed(
        configs, source, mesh, hooks.profile.stops,
        initial=_initial(configs, start))
      stack.callback(feed.close)
      program = programs.build(config, mesh, shared)
      held_out = (HeldOut('', config, source, program, feed),
                  *_others(configs, mesh))
      hyper = _place(programs.hyper(configs), mesh, shared=False)
      checkpoints = stack.enter_context(Checkpoints(
        folder / 'checkpoints', config.train.keep_checkpoints,
        config.train.keep_every, hooks.on_saved))
      newest, before = checkpoints.find(), None
      if newest is None or start is None:
        state = _begin(configs, program, hyper, mesh, start)
        before = _copy(program.params(state))
      if newest is not None:
        state = {}  # there may be no room for two
        state = checkpoints.restore(newest, _abstract(program, hyper, mesh))
      first = int(state['step'])
      log: MetricsLog | NoLog = NoLog()
      if jax.process_index() == 0:
        log = stack.enter_context(
          MetricsLog(folder / 'metrics.jsonl', resume_step=first))
      clock.lose(log.dropped)
    run = Loop(config, program, hyper, feed, held_out, log, checkpoints,
               hooks)
    state = run.train(state)
  tokens = (config.train.steps - first) * len(configs) * loop.tokens(config)
  spent = clock.seconds['step'] + clock.seconds['data_wait']
  return Fit(program.params(state), before,
             distributed.fetch(state['diverged']), instance, shared, feed,
             held_out[1:], clock.seconds, tokens / max(spent, 1e-9))


def evaluate(configs: Sequence[Config], fitted: Fit,
             split: str) -> dict[str, np.ndarray]:
  """Held-out scores of the source it was trained on: see `summarise`."""
  config = programs.shape(configs[0])
  mesh = placement.make_mesh(config.mesh, replicas=len(configs))
  program = programs.build(config, mesh, fitted.shared)
  own = HeldOut('', config, programs.source_of(config), program, fitted.feed)
  return own.scores(fitted.params, split)


def evaluate_others(fitted: Fit,
                    split: str) -> dict[str, dict[str, np.ndarray]]:
  """Held-out scores of the further sources of `data.evaluate`, by name."""
  return {held_out.name: held_out.scores(fitted.params, split)
          for held_out in fitted.others}


def _others(configs: Sequence[Config], mesh: Mesh) -> Iterator[HeldOut]:
  """What scores the further sources."""
  config = programs.shape(configs[0])
  for name, source in programs.others_of(config).items():
    feed, _, shared = _feed(configs, source, mesh, name=name)
    program = programs.build(config, mesh, shared, source)
    yield HeldOut(name, config, source, program, feed)


def saved(config: Config, folder: Path) -> Any:
  """The parameters in the newest checkpoint of one run, as host arrays.

  Args:
    config: complete.
    folder: as given to `fit`.

  Raises:
    CheckpointError: there is none that is whole.
  """
  shape = programs.shape(config)
  mesh = placement.make_mesh(shape.mesh)
  program = programs.build(shape, mesh, shared=True)
  hyper = _place(programs.hyper([config]), mesh, shared=False)
  with Checkpoints(folder / 'checkpoints') as checkpoints:
    newest = checkpoints.find()
    if newest is None:
      raise CheckpointError(f'{folder / "checkpoints"}: holds no checkpoint')
    state = checkpoints.restore(newest, _abstract(program, hyper, mesh))
  params_R = distributed.fetch(program.params(state))
  return jax.tree.map(lambda x: x[0], params_R)


def _begin(configs: Sequence[Config], program: Program, hyper: Any, mesh: Mesh,
           start: Sequence[Load] | None) -> State:
  """The state before the first update."""
  if start is None:
    return program.init(hyper)
  params = [initial(c, load) for c, load in zip(configs, start, strict=True)]
  # What a run alone starts from may be too large to copy.
  stacked = jax.tree.map(
    lambda *x: np.stack(x) if len(x) > 1 else x[0][None], *params)
  return program.begin(hyper, _place(stacked, mesh, shared=False))


def _initial(configs: Sequence[Config],
             start: Sequence[Load] | None) -> Sequence[Load]:
  """What gives the parameters that each run starts from.

  Raises:
    ConfigError: they are random, and the source has them write.
  """
  if start is None:
    if data.writes(programs.source_of(configs[0])):
      raise ConfigError(
        'data.source: random parameters have nothing to replay; start the run '
        'from another: Train(config, start=...)')
    return ()
  return [functools.partial(initial, c, load)
          for c, load in zip(configs, start, strict=True)]


def _copy(params: Any) -> Any:
  """Parameters as host arrays, or None where they are large."""
  size = sum(x.nbytes for x in jax.tree.leaves(params))
  return distributed.fetch(params) if size <= SMALL else None


def _feed(configs: Sequence[Config], source: Source, mesh: Mesh,
          extra: Sequence[int] = (), name: str = '',
          initial: Sequence[Load] = ()) -> tuple[Feed, Instance, bool]:
  """Where the data come from, the constants, and whether all share them."""
  config = programs.shape(configs[0])
  if feeds.streams(source):
    stream = feeds.Stream(source, configs, mesh,
                          lambda s: loop.next_stop(s, config.train, extra))
    return stream, {}, False
  instance, shared = programs.instances(configs, name, initial)
  instance = _place(instance, mesh, shared)
  return feeds.Resident(instance), instance, shared


def _place(tree: Any, mesh: Mesh, shared: bool) -> Any:
  """Puts host arrays on the mesh: whole everywhere, or split over R."""
  return distributed.place(tree, placement.replicated(mesh) if shared
                           else placement.shardings(tree, mesh))


def _abstract(program: Program, hyper: Any, mesh: Mesh) -> State:
  """The shapes of a state, and where it lives."""
  state = jax.eval_shape(program.init, hyper)
  return jax.tree.map(
    lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
    state, placement.shardings(state, mesh))


def survived(fitted: Fit) -> np.ndarray:
  """Which replicas met no non-finite value: bool, (R,)."""
  return fitted.diverged == ALIVE
